//! rpm's transaction lock.
#![forbid(unsafe_code)]

use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::OFlags;

use super::locate::folder;
use crate::sys::root::Root;

/// rpm's transaction lock, in the database's folder.
pub const LOCK: &str = ".rpm.lock";

/// The process that holds rpm's transaction lock, if one does (`F_GETLK`; opening for reading wakes no watcher).
pub fn transaction_lock(root: &Root) -> io::Result<Option<i32>> {
    let path = format!("{}/{LOCK}", folder(root));
    let file = match root.open_with(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // l_type and l_whence are C shorts, their constants C ints.
    #[expect(clippy::cast_possible_truncation, reason = "constants 0 to 2")]
    let mut lock =
        libc::flock { l_type: libc::F_WRLCK as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}

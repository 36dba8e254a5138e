//! The handlers of binfmt_misc that the running kernel knows.
#![forbid(unsafe_code)]

use std::io;

use super::root::Root;
use crate::model::binfmt::Handler;

const FOLDER: &str = "/proc/sys/fs/binfmt_misc";
/// No handler's text is longer: two names and a pattern within a page.
const LIMIT: u64 = 1 << 14;

/// The handlers, in the order in which the kernel asks them: the newest first, as it lists the folder too. None where
/// the file system is not mounted or all are switched off.
pub fn handlers() -> io::Result<Vec<Handler>> {
    let names = match std::fs::read_dir(FOLDER) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let root = Root::running()?;
    let (mut handlers, mut on) = (Vec::new(), false);
    for name in names {
        let name = name?.file_name();
        if name == "register" {
            continue;
        }
        let text = root.read(&format!("{FOLDER}/{}", name.to_string_lossy()), LIMIT)?;
        if name == "status" {
            on = text.starts_with(b"enabled");
        } else {
            handlers.extend(Handler::parse(&text));
        }
    }
    Ok(if on { handlers } else { Vec::new() })
}

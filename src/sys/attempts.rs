//! The file that holds the record of attempts: two places of a page each, of which one is overwritten in place.
//!
//! Overwriting needs no new block, so it works on a full disk, and a write that the power cuts off leaves the other place.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, IFlags, Mode, OFlags};

/// The folder, as its root sees it.
pub const FOLDER: &str = "/etc/imad/state";
/// The file, as its root sees it.
pub const PATH: &str = "/etc/imad/state/attempts";
/// Its name in the folder.
const NAME: &str = "attempts";

const PARTIAL: &str = ".attempts.partial";
const SLOT: usize = 4096;
const LENGTH: usize = 2 * SLOT;

/// What the file's two places hold.
pub type Slots = [Vec<u8>; 2];

/// Reads both places; `None` where there is no such file, or one of another length.
pub fn read(dir: &OwnedFd) -> io::Result<Option<Slots>> {
    let Some(file) = open(dir, OFlags::RDONLY)? else { return Ok(None) };
    let mut slots = [vec![0; SLOT], vec![0; SLOT]];
    for (slot, at) in slots.iter_mut().zip([0, SLOT as u64]) {
        file.read_exact_at(slot, at)?;
    }
    Ok(Some(slots))
}

/// Overwrites the beginning of one place of the file that is there. It is on the disk on return.
pub fn overwrite(dir: &OwnedFd, slot: usize, record: &[u8]) -> io::Result<()> {
    let file = open(dir, OFlags::WRONLY)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    file.write_all_at(record, if slot == 0 { 0 } else { SLOT as u64 })?;
    file.sync_all()
}

/// Makes the file, with a record in its first place: written beside it, synced, renamed, the folder synced.
pub fn create(dir: &OwnedFd, record: &[u8]) -> io::Result<()> {
    const BTRFS_SUPER_MAGIC: i64 = 0x9123_683e;
    let remove = || match rustix::fs::unlinkat(dir, PARTIAL, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(io::Error::from(error)),
    };
    let write = || {
        remove()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(dir, PARTIAL, flags, Mode::RUSR | Mode::WUSR)?);
        if rustix::fs::fstatfs(&file)?.f_type == BTRFS_SUPER_MAGIC {
            // There an overwritten block is a new one, unless the file says no while it is empty.
            rustix::fs::ioctl_setflags(&file, IFlags::NOCOW)?;
        }
        let mut content = record.to_vec();
        content.resize(LENGTH, 0);
        file.write_all(&content)?;
        file.sync_all()?;
        rustix::fs::renameat(dir, PARTIAL, dir, NAME)?;
        Ok(rustix::fs::fsync(dir)?)
    };
    write().inspect_err(|_| {
        // What failed is reported; that its left-over cannot be removed either adds nothing.
        remove().unwrap_or_default();
    })
}

fn open(dir: &OwnedFd, flags: OFlags) -> io::Result<Option<File>> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, NAME, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((metadata.len() == LENGTH as u64).then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::root::Root;

    #[test]
    fn places_are_overwritten_where_they_are() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let dir = Root::open(folder.path()).unwrap().open_dir("/").unwrap();
        assert_eq!(read(&dir).unwrap(), None);
        assert_eq!(overwrite(&dir, 0, b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
        create(&dir, b"one").unwrap();
        let inode = || std::fs::metadata(folder.path().join(NAME)).unwrap().ino();
        let before = inode();
        overwrite(&dir, 1, b"two").unwrap();
        let [first, second] = read(&dir).unwrap().unwrap();
        assert!(first.starts_with(b"one\0") && second.starts_with(b"two\0"));
        assert_eq!(inode(), before);
        // What is no record file is replaced.
        std::fs::write(folder.path().join(NAME), b"short").unwrap();
        assert_eq!(read(&dir).unwrap(), None);
        create(&dir, b"three").unwrap();
        assert!(read(&dir).unwrap().unwrap()[0].starts_with(b"three\0"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_file(folder.path().join(NAME)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join(NAME)).unwrap();
        assert!(read(&dir).is_err());
    }
}

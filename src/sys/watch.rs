//! Watching the package database for the end of a transaction.
//!
//! The last thing that rpm does is to close `.rpm.lock`, which it opened for writing (`IN_CLOSE_WRITE`); a query touches
//! `-wal` and `-shm` only. `rpm --rebuilddb` puts another folder in the place of the watched one, so its parent is
//! watched too.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use super::rpmdb::LOCK;

/// What happened to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// rpm's lock was closed after writing: a transaction ended, or may have.
    LockClosed,
    /// The folder or the database in it was made, moved or deleted.
    FolderReplaced,
    /// Events were lost: look for yourself.
    Lost,
}

/// Watches on the database's folder and its parent.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    folder: std::path::PathBuf,
    in_folder: Option<WatchDescriptor>,
}

impl Watch {
    /// Begins to watch. A folder that is not there yet is awaited through its parent, which must exist.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mut watch = Self { inotify, folder: folder.to_owned(), in_folder: None };
        let parent = folder.parent().unwrap_or(Path::new("/"));
        let mask = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::DELETE;
        watch.inotify.watches().add(parent, mask | WatchMask::ONLYDIR)?;
        watch.watch_folder()?;
        Ok(watch)
    }

    /// Watches the folder that has the name now.
    fn watch_folder(&mut self) -> io::Result<()> {
        if let Some(old) = self.in_folder.take() {
            // The kernel has dropped the watch already where the folder is gone.
            self.inotify.watches().remove(old).unwrap_or_default();
        }
        let mask = WatchMask::CLOSE_WRITE | WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::DELETE;
        match self.inotify.watches().add(&self.folder, mask | WatchMask::ONLYDIR) {
            Ok(descriptor) => self.in_folder = Some(descriptor),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The changes that came since the last call; none where nothing is there to be read.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        let mut buffer = [0; 4096];
        let mut changes = Vec::new();
        let mut replaced = false;
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for event in events {
                let change = if event.mask.contains(EventMask::Q_OVERFLOW) {
                    Some(Change::Lost)
                } else if Some(&event.wd) == self.in_folder.as_ref() {
                    in_folder(event.mask, event.name)
                } else {
                    (event.name == self.folder.file_name()).then_some(Change::FolderReplaced)
                };
                replaced |= matches!(change, Some(Change::FolderReplaced | Change::Lost));
                changes.extend(change.filter(|change| changes.last() != Some(change)));
            }
        }
        if replaced {
            self.watch_folder()?;
        }
        Ok(changes)
    }
}

fn in_folder(mask: EventMask, name: Option<&OsStr>) -> Option<Change> {
    let name = name?.to_str()?;
    if name == LOCK && mask.contains(EventMask::CLOSE_WRITE) {
        return Some(Change::LockClosed);
    }
    let appeared = mask.intersects(EventMask::CREATE | EventMask::MOVED_TO | EventMask::DELETE);
    (name == "rpmdb.sqlite" && appeared).then_some(Change::FolderReplaced)
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_transaction_end_and_no_query() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rpm");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(LOCK), b"").unwrap();
        let mut watch = Watch::new(&folder).unwrap();
        std::fs::write(folder.join("rpmdb.sqlite-shm"), b"x").unwrap();
        std::fs::read(folder.join(LOCK)).unwrap();
        assert_eq!(watch.changes().unwrap(), []);
        std::fs::write(folder.join(LOCK), b"").unwrap();
        assert_eq!(watch.changes().unwrap(), [Change::LockClosed]);
    }

    #[test]
    fn goes_on_after_the_folder_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rpm");
        let mut watch = Watch::new(&folder).unwrap();
        let other = dir.path().join("rpmrebuilddb.1");
        std::fs::create_dir(&other).unwrap();
        std::fs::rename(&other, &folder).unwrap();
        assert_eq!(watch.changes().unwrap(), [Change::FolderReplaced]);
        std::fs::write(folder.join(LOCK), b"").unwrap();
        assert_eq!(watch.changes().unwrap(), [Change::LockClosed]);
    }
}

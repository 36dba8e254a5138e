//! Watching the package database for the end of a transaction.
//!
//! The last thing that rpm does is to close `.rpm.lock`, which it opened for writing (`IN_CLOSE_WRITE`); a query touches
//! `-wal` and `-shm` only. `rpm --rebuilddb` puts another folder in the place of the watched one, a backup may be
//! copied over the database, and a folder that is not there yet is awaited at the deepest folder above it that is.
#![expect(unsafe_code, reason = "AsyncFd wants a promise about the descriptor")]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::root::Root;
use super::rpmdb::{FOLDERS, LOCK, SQLITE};

/// What happened to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// rpm's lock was closed after writing: a transaction ended, or may have.
    LockClosed,
    /// Somebody who had the database open for writing closed it: rpm, or a copy over it.
    DatabaseClosed,
    /// The folder or the database in it was made, moved or deleted.
    FolderReplaced,
    /// Events were lost: look for yourself.
    Lost,
}

/// Why a folder is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// It holds a database, or may.
    Folder,
    /// An entry of this name leads to one.
    Above(OsString),
}

/// Watches on the places of a root where a database is or may come to be.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    watched: Vec<(WatchDescriptor, Role)>,
}

impl Watch {
    /// Begins to watch.
    pub fn new(root: &Root) -> io::Result<Self> {
        let mut watch = Self { inotify: Inotify::init()?, watched: Vec::new() };
        watch.place(root)?;
        Ok(watch)
    }

    /// Lets the current tokio runtime wait for changes.
    pub fn into_async(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is `inotify`'s, which owns it, is never replaced, and lives as long as `self`.
        Ok(unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?)
    }

    /// Watches what is there now; `true` where a database is in a folder that was not there before.
    fn place(&mut self, root: &Root) -> io::Result<bool> {
        let mut watched = Vec::new();
        for folder in FOLDERS {
            watched.push(self.watch_folder(root, folder)?);
        }
        let old = std::mem::replace(&mut self.watched, watched);
        let mut new = false;
        for (place, folder) in FOLDERS.iter().enumerate() {
            let is_folder =
                |watched: &[(WatchDescriptor, Role)]| watched.get(place).is_some_and(|(_, role)| *role == Role::Folder);
            new |= is_folder(&self.watched) && !is_folder(&old) && root.exists(&format!("{folder}/{SQLITE}"));
        }
        for (old, _) in old {
            if !self.watched.iter().any(|(new, _)| *new == old) {
                // The kernel has dropped the watch already where the folder is gone.
                self.inotify.watches().remove(old).unwrap_or_default();
            }
        }
        Ok(new)
    }

    /// Watches a folder, or the deepest one above it that is there.
    fn watch_folder(&mut self, root: &Root, folder: &str) -> io::Result<(WatchDescriptor, Role)> {
        /// Folders that may come and go while they are looked for.
        const RACES: u32 = 16;
        let above = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVE_SELF | WatchMask::DELETE_SELF;
        let inside = above | WatchMask::CLOSE_WRITE | WatchMask::DELETE;
        for _ in 0..RACES {
            let (dir, missing) = deepest(root, folder)?;
            let (mask, role) = match missing {
                None => (inside, Role::Folder),
                Some(ref name) => (above, Role::Above(name.clone())),
            };
            // One inode may be watched for two reasons, and has one watch.
            let mask = mask | WatchMask::MASK_ADD | WatchMask::ONLYDIR;
            let descriptor = self.inotify.watches().add(Root::fd_path(&dir), mask)?;
            if deepest(root, folder)?.1 == missing {
                return Ok((descriptor, role));
            }
        }
        Err(io::Error::other(format!("{folder} comes and goes")))
    }

    /// The changes that came since the last call; none where nothing is there to be read.
    pub fn changes(&mut self, root: &Root) -> io::Result<Vec<Change>> {
        let mut buffer = [0; 4096];
        let mut changes = Vec::new();
        let mut moved = false;
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    changes.push(Change::Lost);
                }
                let mut change = None;
                for (_, role) in self.watched.iter().filter(|(wd, _)| *wd == event.wd) {
                    match role {
                        Role::Folder => change = change.or_else(|| in_folder(event.mask, event.name)),
                        Role::Above(awaited) => moved |= leads_down(event.mask, event.name, awaited),
                    }
                }
                changes.extend(change.filter(|change| changes.last() != Some(change)));
            }
        }
        if moved || changes.iter().any(|change| matches!(change, Change::FolderReplaced | Change::Lost)) {
            let new = self.place(root)?;
            changes.extend(new.then_some(Change::FolderReplaced).filter(|change| !changes.contains(change)));
        }
        Ok(changes)
    }
}

/// The deepest folder on the way that is there, and the name of what is missing in it.
fn deepest(root: &Root, folder: &str) -> io::Result<(OwnedFd, Option<OsString>)> {
    let mut at = folder;
    let mut missing = None;
    loop {
        match root.open_dir(if at.is_empty() { "/" } else { at }) {
            Ok(dir) => return Ok((dir, missing)),
            Err(error) if !at.is_empty() && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
                let (above, name) = at.rsplit_once('/').unwrap_or(("", at));
                missing = Some(name.into());
                at = above;
            }
            Err(error) => return Err(error),
        }
    }
}

const APPEARED: EventMask = EventMask::CREATE.union(EventMask::MOVED_TO);
const GONE: EventMask = EventMask::MOVE_SELF.union(EventMask::DELETE_SELF);

/// Whether the way to the folder is another now.
fn leads_down(mask: EventMask, name: Option<&OsStr>, awaited: &OsStr) -> bool {
    mask.intersects(GONE) || (mask.intersects(APPEARED) && name == Some(awaited))
}

fn in_folder(mask: EventMask, name: Option<&OsStr>) -> Option<Change> {
    if mask.intersects(GONE) {
        return Some(Change::FolderReplaced);
    }
    match name?.to_str()? {
        LOCK if mask.contains(EventMask::CLOSE_WRITE) => Some(Change::LockClosed),
        SQLITE if mask.contains(EventMask::CLOSE_WRITE) => Some(Change::DatabaseClosed),
        SQLITE if mask.intersects(APPEARED | EventMask::DELETE) => Some(Change::FolderReplaced),
        _ => None,
    }
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
    use std::path::PathBuf;

    use super::*;

    fn root() -> (tempfile::TempDir, Root, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let folder = dir.path().join(FOLDERS[0].trim_start_matches('/'));
        (dir, root, folder)
    }

    #[test]
    fn sees_a_transaction_end_and_no_query() {
        let (_dir, root, folder) = root();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(LOCK), b"").unwrap();
        let mut watch = Watch::new(&root).unwrap();
        std::fs::write(folder.join("rpmdb.sqlite-shm"), b"x").unwrap();
        std::fs::read(folder.join(LOCK)).unwrap();
        assert_eq!(watch.changes(&root).unwrap(), []);
        std::fs::write(folder.join(LOCK), b"").unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::LockClosed]);
    }

    #[test]
    fn goes_on_after_the_folder_was_replaced() {
        let (dir, root, folder) = root();
        std::fs::create_dir_all(&folder).unwrap();
        let mut watch = Watch::new(&root).unwrap();
        let other = dir.path().join("rpmrebuilddb.1");
        std::fs::create_dir(&other).unwrap();
        std::fs::rename(&folder, dir.path().join("rpmold.1")).unwrap();
        std::fs::rename(&other, &folder).unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::FolderReplaced]);
        std::fs::write(folder.join(LOCK), b"").unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::LockClosed]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(watch.changes(&root).unwrap().last(), Some(&Change::FolderReplaced));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(SQLITE), b"").unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::FolderReplaced]);
    }

    #[test]
    fn waits_for_folders_that_are_not_there_yet() {
        let (dir, root, folder) = root();
        let mut watch = Watch::new(&root).unwrap();
        std::fs::create_dir(dir.path().join("unrelated")).unwrap();
        assert_eq!(watch.changes(&root).unwrap(), []);
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [], "there is no database in it yet");
        std::fs::write(folder.join(SQLITE), b"").unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::FolderReplaced, Change::DatabaseClosed]);
        // The other place, by a link to the first, as on Fedora.
        std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [], "only on the way to a folder");
        std::os::unix::fs::symlink("../../usr/lib/sysimage/rpm", dir.path().join("var/lib/rpm")).unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::FolderReplaced]);
        std::fs::write(folder.join(LOCK), b"").unwrap();
        assert_eq!(watch.changes(&root).unwrap(), [Change::LockClosed]);
    }
}

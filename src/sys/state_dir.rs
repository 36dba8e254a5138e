//! `/var/lib/imad` of a root: files that only root reads, and that are whole or not there.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::durable;
use super::root::Root;

/// The folder, as its root sees it.
pub const FOLDER: &str = "/var/lib/imad";

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The open folder.
#[derive(Debug)]
pub struct StateDir {
    dir: OwnedFd,
    shown: PathBuf,
}

impl StateDir {
    /// Opens the folder; `None` where there is none.
    pub fn open(root: &Root) -> io::Result<Option<Self>> {
        match root.open_dir(FOLDER) {
            Ok(dir) => Ok(Some(Self { dir, shown: root.path().join(FOLDER.trim_start_matches('/')) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the folder, and makes it where it is missing.
    pub fn create(root: &Root) -> io::Result<Self> {
        if let Some(dir) = Self::open(root)? {
            return Ok(dir);
        }
        make_folders(root, FOLDER, Mode::RWXU)?;
        Self::open(root)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Where a file of it is, for people.
    pub fn shown(&self, name: &str) -> String {
        self.shown.join(name).display().to_string()
    }

    /// Opens a regular file of it; `None` where there is none.
    pub fn file(&self, name: &str, flags: OFlags) -> io::Result<Option<File>> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.dir, name, flags, PRIVATE) {
            Ok(fd) => {
                let file = File::from(fd);
                if file.metadata()?.is_file() {
                    Ok(Some(file))
                } else {
                    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
                }
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a new file under another name; what a killed process left there goes. Mode 0600.
    pub fn begin(&self, name: &str) -> io::Result<File> {
        let partial = partial(name);
        self.remove(&partial)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, &*partial, flags, PRIVATE)?;
        // The umask may have taken bits that the owner needs.
        rustix::fs::fchmod(&file, PRIVATE)?;
        Ok(File::from(file))
    }

    /// Puts a file that was begun into its place: durable first, then under its name.
    pub fn commit(&self, name: &str, file: &File) -> io::Result<()> {
        file.sync_all()?;
        rustix::fs::renameat(&self.dir, &*partial(name), &self.dir, name)?;
        Ok(rustix::fs::fsync(&self.dir)?)
    }

    /// Takes back a file that was begun.
    pub fn abandon(&self, name: &str) -> io::Result<()> {
        self.remove(&partial(name))
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file a second name, under which it stays when the first one is taken: `NAME.damaged`, or with a number
    /// behind where earlier ones are. Of ten, the last is replaced.
    pub fn set_aside(&self, name: &str) -> io::Result<String> {
        for number in 1..=10 {
            let aside = if number == 1 { format!("{name}.damaged") } else { format!("{name}.damaged.{number}") };
            if number == 10 {
                self.remove(&aside)?;
            }
            match rustix::fs::linkat(&self.dir, name, &self.dir, &*aside, AtFlags::empty()) {
                Ok(()) => return Ok(aside),
                Err(rustix::io::Errno::EXIST) => {
                    let inode = |name: &str| {
                        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino)
                    };
                    // Killed after this very step.
                    if inode(&aside)? == inode(name)? {
                        return Ok(aside);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

fn partial(name: &str) -> String {
    format!(".{name}.partial")
}

/// Replaces a file of a root, durably, and makes the folder that it is in where that is missing: for root alone.
pub fn replace(root: &Root, path: &str, content: &[u8]) -> io::Result<()> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    make_folders(root, folder, Mode::RWXU)?;
    let dir = root.open_dir(folder)?;
    durable::replace(&Root::fd_path(&dir).join(name), content)
}

/// Makes a folder of a root and those above it, where they are missing.
pub fn make_folders(root: &Root, path: &str, mode: Mode) -> io::Result<()> {
    let mut at = 0;
    let path = path.trim_start_matches('/');
    while at < path.len() {
        let end = path.get(at..).and_then(|rest| rest.find('/')).map_or(path.len(), |slash| at + slash);
        let parent = root.open_dir(path.get(..at).unwrap_or_default().trim_end_matches('/'))?;
        let is_last = end == path.len();
        let mode = if is_last { mode } else { Mode::from_raw_mode(0o755) };
        match rustix::fs::mkdirat(&parent, path.get(at..end).unwrap_or_default(), mode) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = end + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_private_and_appear_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(StateDir::open(&root).unwrap().is_none());
        let state = StateDir::create(&root).unwrap();
        let mut file = state.begin("x").unwrap();
        file.write_all(b"one").unwrap();
        assert!(state.file("x", OFlags::RDONLY).unwrap().is_none());
        state.commit("x", &file).unwrap();
        let mut text = String::new();
        state.file("x", OFlags::RDONLY).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        let path = dir.path().join("var/lib/imad/x");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::metadata(dir.path().join("var/lib/imad")).unwrap().permissions().mode() & 0o777, 0o700);

        assert_eq!(state.set_aside("x").unwrap(), "x.damaged");
        assert_eq!(state.set_aside("x").unwrap(), "x.damaged");
        for number in 2..12 {
            let file = state.begin("x").unwrap();
            state.commit("x", &file).unwrap();
            let expected = format!("x.damaged.{}", number.min(10));
            assert_eq!(state.set_aside("x").unwrap(), expected);
        }
        // A link is no file of ours.
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("var/lib/imad/y")).unwrap();
        assert!(state.file("y", OFlags::RDONLY).is_err());
    }
}

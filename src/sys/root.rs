//! A root directory, and every path below it, reached without leaving it.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags};

/// Renames that may race with one walk before it is given up.
const RACES: u32 = 64;

/// `/`, or another root that `--root DIR` names. Links, also absolute ones, are followed inside of it
/// (`openat2(2)`, `RESOLVE_IN_ROOT`).
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens a root directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// The running system's root.
    pub fn running() -> io::Result<Self> {
        Self::open(Path::new("/"))
    }

    /// Whether this is the running system's own root.
    pub fn is_running(&self) -> bool {
        self.path == Path::new("/")
    }

    /// The root's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path of this root (absolute or relative, taken from the root either way).
    pub fn open_with(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        // "" is no path to openat2.
        let path = if path.is_empty() { b"/" } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            let name = OsStr::from_bytes(path);
            match rustix::fs::openat2(&self.dir, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // A rename raced with the walk; the kernel asks to try again (openat2(2)).
                Err(rustix::io::Errno::AGAIN) if tries < RACES => tries += 1,
                result => return Ok(result?),
            }
        }
    }

    /// Opens a directory, for use with [`Root::fd_path`].
    pub fn open_dir(&self, path: &str) -> io::Result<OwnedFd> {
        self.open_with(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_with(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK)?;
        read_limited(File::from(file), limit)
    }

    /// Names of a directory's entries, sorted.
    pub fn list(&self, path: &str) -> io::Result<Vec<PathBuf>> {
        let dir = self.open_dir(path)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(PathBuf::from(OsStr::from_bytes(name)));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether this process may make files in a folder (access(2): permissions, a read-only mount, `chattr +i`).
    pub fn may_write(&self, folder: &str) -> io::Result<()> {
        let dir = self.open_dir(folder)?;
        Ok(rustix::fs::accessat(&dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    /// Whether something is at this path.
    pub fn exists(&self, path: &str) -> bool {
        self.open_with(path.as_bytes(), OFlags::PATH).is_ok()
    }

    /// Where an open file is, as this root sees it, links resolved.
    pub fn real_path(&self, fd: impl AsFd) -> io::Result<Vec<u8>> {
        let path = std::fs::read_link(Self::fd_path(&fd))?;
        let inside = path
            .strip_prefix(&self.path)
            .map_err(|_| io::Error::other(format!("{} lies outside of {}", path.display(), self.path.display())))?;
        Ok(Path::new("/").join(inside).into_os_string().into_vec())
    }

    /// A path by which interfaces that take nothing else reach what `fd` stands for.
    pub fn fd_path(fd: impl AsFd) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
    }
}

/// Reads a regular file of at most `limit` bytes to its end.
pub fn read_limited(file: File, limit: u64) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("inside"), b"in").unwrap();
        std::os::unix::fs::symlink("/inside", dir.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../../../etc/passwd", dir.path().join("escape")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(root.read("/absolute", 10).unwrap(), b"in");
        assert_eq!(root.read("../../inside", 10).unwrap(), b"in");
        assert_eq!(root.read("escape", 10).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(root.read("/inside", 1).is_err());
        assert_eq!(root.list("/").unwrap().len(), 3);
    }
}

//! A file that may not be opened for reading, because a rule appraises reads and its label does not please: reached
//! through an `O_PATH` descriptor, which asks no security hook. Its label can be read and written all the same.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags};

use super::file::{OpenError, OpenFile};
use super::root::Root;
use crate::model::label::XATTR_IMA;

/// A regular file, found but not opened.
#[derive(Debug)]
pub struct SealedFile {
    /// Keeps the inode; extended attributes are reached by its path in `/proc`.
    _fd: OwnedFd,
    path: PathBuf,
    /// Device and inode number.
    inode: (u64, u64),
}

impl SealedFile {
    /// Finds a regular file of a root; the last component may not be a link.
    pub fn find(root: &Root, path: &[u8]) -> Result<Self, OpenError> {
        let fd = root.open_with(path, OFlags::PATH | OFlags::NOFOLLOW).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => OpenError::Absent,
            _ => OpenError::Io(error),
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(OpenError::NotRegular);
        }
        let path = Root::fd_path(&fd);
        Ok(Self { _fd: fd, path, inode: (stat.st_dev, stat.st_ino) })
    }

    /// Device and inode number.
    pub const fn inode(&self) -> (u64, u64) {
        self.inode
    }

    /// `security.ima`; `None` where the file has none.
    pub fn label(&self) -> io::Result<Option<Vec<u8>>> {
        // As long as an attribute can be (XATTR_SIZE_MAX).
        let mut value = vec![0; 65536];
        match rustix::fs::getxattr(&self.path, XATTR_IMA, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            Err(rustix::io::Errno::NODATA) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes `security.ima`, or removes it.
    pub fn set_label(&self, label: Option<&[u8]>) -> io::Result<()> {
        match label {
            Some(label) => rustix::fs::setxattr(&self.path, XATTR_IMA, label, XattrFlags::empty())?,
            None => rustix::fs::removexattr(&self.path, XATTR_IMA)?,
        }
        Ok(())
    }

    /// Opens it for reading: here the kernel appraises it.
    pub fn open(&self) -> Result<OpenFile, OpenError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &self.path, flags, Mode::empty()).map_err(io::Error::from)?;
        OpenFile::from_fd(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), b"content").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let file = SealedFile::find(&root, b"/file").unwrap();
        assert_eq!(file.label().unwrap(), None);
        assert_eq!(file.open().unwrap().read(100).unwrap(), b"content");
        assert!(matches!(SealedFile::find(&root, b"/link"), Err(OpenError::NotRegular)));
        assert!(matches!(SealedFile::find(&root, b"/nothing"), Err(OpenError::Absent)));
    }
}

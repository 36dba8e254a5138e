//! Read leases: whether anybody has a file open for writing, or mapped so that it can be written to.
//!
//! `fcntl(2)`, `F_SETLEASE`. A read lease is refused while the inode has a writer (`fs/locks.c:
//! check_conflicting_open()`, `inode_is_open_for_write()`); a mapping keeps its file open, so one that can be written to
//! counts as a writer until it is unmapped. The file must be ours, or we need `CAP_LEASE` (`fs/locks.c:
//! vfs_setlease()`). Whoever opens the file for writing while a lease is held waits until it is given back, or gets
//! `EWOULDBLOCK` with `O_NONBLOCK` (`__break_lease()`): hold it for moments only.
#![expect(unsafe_code, reason = "F_SETLEASE, F_GETLEASE and F_SETSIG have no wrapper in any crate")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `include/uapi/asm-generic/fcntl.h`; libc has no name for it.
const F_SETSIG: i32 = 10;

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum NoLease {
    /// Somebody has the file open for writing, or mapped for it.
    #[error("somebody has it open for writing")]
    Writer,
    /// It is another user's file, and `CAP_LEASE` is missing.
    #[error("it is another user's file, and CAP_LEASE is missing")]
    NotAllowed,
    /// The file system has no leases, or something else is wrong.
    #[error("no lease on it: {0}")]
    Other(io::Error),
}

/// A read lease; given back when dropped.
#[derive(Debug)]
pub struct Lease<F: AsFd> {
    file: F,
}

impl<F: AsFd> Lease<F> {
    /// Takes a read lease on a file that is open for reading; without one it comes back.
    pub fn take(file: F) -> Result<Self, (F, NoLease)> {
        // What tells that the lease is to be given back would be SIGIO, which ends a process that does not know it.
        // SIGURG is ignored by default.
        let taken = fcntl(&file, F_SETSIG, libc::SIGURG).and_then(|_| fcntl(&file, libc::F_SETLEASE, libc::F_RDLCK));
        let Err(error) = taken else { return Ok(Self { file }) };
        let why = match error.raw_os_error() {
            Some(libc::EAGAIN) => NoLease::Writer,
            Some(libc::EACCES) => NoLease::NotAllowed,
            _ => NoLease::Other(error),
        };
        Err((file, why))
    }

    /// Whether nobody has asked to write since (`fs/locks.c: fcntl_getlease()`).
    pub fn is_intact(&self) -> bool {
        fcntl(&self.file, libc::F_GETLEASE, 0).is_ok_and(|kind| kind == libc::F_RDLCK)
    }

    /// The file.
    pub const fn file(&self) -> &F {
        &self.file
    }
}

impl<F: AsFd> Drop for Lease<F> {
    fn drop(&mut self) {
        // It may have been taken away by force (/proc/sys/fs/lease-break-time); then there is nothing to give back.
        fcntl(&self.file, libc::F_SETLEASE, libc::F_UNLCK).unwrap_or_default();
    }
}

/// Whether nobody can write to a file at this moment through what is open or mapped.
pub fn no_writer(file: impl AsFd) -> Result<(), NoLease> {
    Lease::take(file).map(drop).map_err(|(_, why)| why)
}

fn fcntl(file: &impl AsFd, command: i32, argument: i32) -> io::Result<i32> {
    // SAFETY: the descriptor is open as long as it is borrowed; these commands take an int and no pointer.
    let result = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn writers_are_noticed_before_and_while_a_lease_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"content").unwrap();
        let reader = File::open(&path).unwrap();
        assert!(matches!(no_writer(&reader), Err(NoLease::Writer)));
        drop(writer);
        no_writer(&reader).unwrap();
        let lease = Lease::take(&reader).unwrap();
        assert!(lease.is_intact());
        // Another reader is no matter.
        File::open(&path).unwrap();
        assert!(lease.is_intact());
        let refused = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EWOULDBLOCK));
        assert!(!lease.is_intact());
        drop(lease);
        File::options().write(true).open(&path).unwrap();
        no_writer(&reader).unwrap();
    }

    #[test]
    fn a_mapping_that_can_be_written_to_is_a_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [0; 4096]).unwrap();
        let map = |writable: bool| {
            let opened = File::options().read(true).write(writable).open(&path).unwrap();
            let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
            // SAFETY: a new mapping of a page that the file has; nothing is read from it or written to it.
            let at =
                unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, opened.as_raw_fd(), 0) };
            assert_ne!(at, libc::MAP_FAILED);
            at
        };
        // SAFETY: the mapping is this test's, and nothing points into it.
        let unmap = |at| assert_eq!(unsafe { libc::munmap(at, 4096) }, 0);
        let read_only = map(false);
        let reader = File::open(&path).unwrap();
        no_writer(&reader).unwrap();
        // Its descriptor is closed already.
        let writable = map(true);
        assert!(matches!(no_writer(&reader), Err(NoLease::Writer)));
        unmap(writable);
        no_writer(&reader).unwrap();
        unmap(read_only);
    }
}

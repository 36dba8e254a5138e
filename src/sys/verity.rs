//! fs-verity: the digest that the kernel itself keeps of a file's content.
#![expect(unsafe_code, reason = "FS_IOC_MEASURE_VERITY has no wrapper in any crate")]

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};

use crate::model::algo::HashAlgo;

/// The largest digest, SHA-512's (`include/linux/fsverity.h`: `FS_VERITY_MAX_DIGEST_SIZE`).
const MAX_DIGEST: usize = 64;

/// `struct fsverity_digest` (include/uapi/linux/fsverity.h), with which the request's number is made: its digest has no
/// size there.
#[repr(C)]
struct Header {
    /// Of the kernel: 1 is SHA-256, 2 is SHA-512.
    algorithm: u16,
    /// Bytes of the digest; before the call, how many there is room for.
    size: u16,
}

/// The same with its digest.
#[repr(C)]
struct Digest {
    header: Header,
    bytes: [u8; MAX_DIGEST],
}

/// A file's fs-verity digest as IMA sees it (`fs/verity/measure.c: fsverity_get_digest()`); `None` where the file has no
/// fs-verity or its file system knows of none. The digest was made when fs-verity was switched on; the kernel checks
/// what is read against it. An error for an algorithm that imad does not know.
pub fn digest(fd: impl AsFd) -> io::Result<Option<(HashAlgo, Vec<u8>)>> {
    const MEASURE: rustix::ioctl::Opcode = opcode::read_write::<Header>(b'f', 134);
    let header = Header { algorithm: 0, size: u16::try_from(MAX_DIGEST).unwrap_or(0) };
    let mut digest = Digest { header, bytes: [0; MAX_DIGEST] };
    // SAFETY: the kernel reads and writes a `struct fsverity_digest`, and of the bytes behind it as many at most as `size`
    // says there is room for; any bytes make a valid Digest.
    match unsafe { ioctl(fd, Updater::<MEASURE, Digest>::new(&mut digest)) } {
        Ok(()) => {}
        Err(Errno::NODATA | Errno::NOTTY | Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let algo = match digest.header.algorithm {
        1 => HashAlgo::Sha256,
        2 => HashAlgo::Sha512,
        other => return Err(io::Error::other(format!("fs-verity by algorithm number {other}"))),
    };
    let bytes = digest.bytes.get(..usize::from(digest.header.size)).unwrap_or_default();
    Ok(Some((algo, bytes.to_vec())))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// Files with fs-verity are in tests/guest/verity.rs: few file systems have it.
    #[test]
    fn files_without_it_have_no_digest() {
        let file = tempfile::tempfile_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        for file in [file, tempfile::tempfile().unwrap(), File::open("/proc/self/maps").unwrap()] {
            assert_eq!(digest(&file).unwrap(), None);
        }
    }
}

//! One open file per question: hashed, judged and labelled through the same descriptor.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FileType, IFlags, OFlags, XattrFlags};

use super::root::Root;
use super::verity;
use crate::model::algo::HashAlgo;
use crate::model::evm::{Metadata, PROTECTED};
use crate::model::label::{XATTR_EVM, XATTR_IMA};
use crate::model::plan::Content;
use crate::model::space::Room;
use crate::model::verify::{Hasher, Unavailable};

/// An open regular file.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    /// What it was when it was opened.
    opened: Identity,
    /// Digests made so far: a label and its package mostly name the same algorithm.
    digests: Vec<(HashAlgo, Vec<u8>)>,
    /// Bytes hashed so far.
    hashed: u64,
    /// Where hashed bytes are counted too.
    meter: Option<Arc<AtomicU64>>,
}

/// What tells that a file was changed, replaced or written to meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content: seconds, nanoseconds.
    pub mtime: (i64, i64),
    /// `st_mode`.
    pub mode: u32,
}

/// Why a file could not be opened as a regular file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is there.
    #[error("it is not there")]
    Absent,
    /// A link, directory, device, … is there.
    #[error("it is not a regular file")]
    NotRegular,
    /// Anything else.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl OpenFile {
    /// Opens a regular file of a root for reading; the last component may not be a link.
    pub fn open(root: &Root, path: &[u8]) -> Result<Self, OpenError> {
        Self::open_with(root, path, OFlags::NOFOLLOW)
    }

    /// Opens a regular file of a root for reading, through a link too, as the kernel does when it reads a policy.
    pub fn open_following(root: &Root, path: &[u8]) -> Result<Self, OpenError> {
        Self::open_with(root, path, OFlags::empty())
    }

    fn open_with(root: &Root, path: &[u8], flags: OFlags) -> Result<Self, OpenError> {
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = root.open_with(path, flags).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => OpenError::Absent,
            Some(libc::ELOOP | libc::ENXIO) => OpenError::NotRegular,
            _ => OpenError::Io(error),
        })?;
        Self::from_fd(fd)
    }

    /// Takes an open descriptor, if it is a regular file's.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, OpenError> {
        let file = File::from(fd);
        let opened = identity(&file)?;
        if !FileType::from_raw_mode(opened.mode).is_file() {
            return Err(OpenError::NotRegular);
        }
        Ok(Self { file, opened, digests: Vec::new(), hashed: 0, meter: None })
    }

    /// Counts hashed bytes there too, while they are hashed: a large file takes its time.
    #[must_use]
    pub fn metered(self, meter: Option<Arc<AtomicU64>>) -> Self {
        Self { meter, ..self }
    }

    /// Who the file is and what state its content is in.
    pub fn identity(&self) -> io::Result<Identity> {
        identity(&self.file)
    }

    /// What [`OpenFile::identity`] was when the file was opened.
    pub const fn opened(&self) -> &Identity {
        &self.opened
    }

    /// Owner and group, as the mount shows them.
    pub fn owner(&self) -> io::Result<(u32, u32)> {
        let stat = rustix::fs::fstat(&self.file)?;
        Ok((stat.st_uid, stat.st_gid))
    }

    /// `security.ima`; `None` where the file has none. `EOPNOTSUPP` where its file system has no such attributes.
    pub fn label(&self) -> io::Result<Option<Vec<u8>>> {
        xattr(&self.file, XATTR_IMA)
    }

    /// Removes `security.ima`.
    pub fn remove_label(&self) -> io::Result<()> {
        Ok(rustix::fs::fremovexattr(&self.file, XATTR_IMA)?)
    }

    /// `security.evm`; `None` where the file has none.
    pub fn evm(&self) -> io::Result<Option<Vec<u8>>> {
        xattr(&self.file, XATTR_EVM)
    }

    /// What a portable EVM signature would be made over.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let (owner, group) = self.owner()?;
        let mut xattrs = Vec::new();
        for name in PROTECTED {
            xattrs.extend(xattr(&self.file, name)?);
        }
        // An inode's mode has sixteen bits (umode_t).
        let mode = u16::try_from(self.identity()?.mode & 0xffff).unwrap_or(0);
        Ok(Metadata { xattrs, owner, group, mode })
    }

    /// `security.selinux`.
    pub fn selinux(&self) -> io::Result<Option<Vec<u8>>> {
        xattr(&self.file, "security.selinux")
    }

    /// Writes `security.ima`.
    pub fn set_label(&self, label: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::fsetxattr(&self.file, XATTR_IMA, label, XattrFlags::empty())?)
    }

    /// Whether the inode is immutable or append-only; `false` where the file system has no such flags.
    pub fn is_immutable(&self) -> bool {
        rustix::fs::ioctl_getflags(&self.file).is_ok_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
    }

    /// Magic number of the file system (`statfs(2)`).
    pub fn fs_magic(&self) -> io::Result<i64> {
        Ok(rustix::fs::fstatfs(&self.file)?.f_type)
    }

    /// The room that its file system has.
    pub fn room(&self) -> io::Result<Room> {
        let stat = rustix::fs::fstatfs(&self.file)?;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let block = number(stat.f_bsize);
        Ok(Room {
            magic: number(stat.f_type),
            block,
            available: stat.f_bavail.saturating_mul(block),
            inodes: stat.f_files.saturating_sub(stat.f_ffree),
        })
    }

    /// Whether the file system is mounted read-only.
    pub fn read_only(&self) -> io::Result<bool> {
        const ST_RDONLY: i64 = 1;
        Ok(rustix::fs::fstatfs(&self.file)?.f_flags & ST_RDONLY != 0)
    }

    /// Begins anew, because the file changed: it counts as opened now.
    pub fn look_again(&mut self) -> io::Result<()> {
        self.digests.clear();
        self.opened = self.identity()?;
        Ok(())
    }

    /// The digest by this algorithm, if it was made already.
    pub fn known_digest(&self, algo: HashAlgo) -> Option<&[u8]> {
        self.digests.iter().find(|(known, _)| *known == algo).map(|(_, digest)| &digest[..])
    }

    /// Bytes hashed so far.
    pub const fn hashed(&self) -> u64 {
        self.hashed
    }

    /// The content, at most `limit` bytes.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        super::root::read_limited(self.file.try_clone()?, limit)
    }

    /// Whether the content ends in these bytes.
    pub fn ends_with(&self, bytes: &[u8]) -> io::Result<bool> {
        let Some(at) = self.opened.size.checked_sub(bytes.len() as u64) else { return Ok(false) };
        let mut end = vec![0; bytes.len()];
        self.file.read_exact_at(&mut end, at)?;
        Ok(end == bytes)
    }

    fn hash(&mut self, algo: HashAlgo) -> Result<Vec<u8>, String> {
        TOOLS.with_borrow_mut(|tools| {
            let mut hasher = tools.take(algo).map_err(|error| error.to_string())?;
            let read = self.read_into(&mut hasher, tools.chunk());
            // Also after a failure: the next digest begins anew.
            let digest = hasher.finish().map_err(|error| error.to_string());
            tools.hashers.push(hasher);
            read.and(digest)
        })
    }

    /// Reads the whole content into a hasher. It ends where the file ended when it was opened, as for the kernel
    /// (`ima_calc_file_hash_tfm()`: `i_size_read()`), without asking for more; files that tell no size are read to the end.
    fn read_into(&mut self, hasher: &mut Hasher, chunk: &mut [u8]) -> Result<(), String> {
        let mut at = 0;
        loop {
            let read = match self.file.read_at(chunk, at) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("reading it failed: {error}")),
            };
            hasher.update(chunk.get(..read).unwrap_or(chunk)).map_err(|error| error.to_string())?;
            at += read as u64;
            self.hashed += read as u64;
            if let Some(meter) = &self.meter {
                meter.fetch_add(read as u64, Ordering::Relaxed);
            }
            if at == self.opened.size {
                return Ok(());
            }
        }
    }
}

/// What each thread that hashes needs, made once: setting a digest up costs as much as hashing a small file.
#[derive(Debug, Default)]
struct Tools {
    buffer: Vec<u8>,
    hashers: Vec<Hasher>,
}

impl Tools {
    /// Where content is read to. It begins a page: sixteen bytes behind one, where malloc(3) puts it, the kernel's copying
    /// from the page cache takes three times as long (loads and stores that agree in their last twelve bits).
    fn chunk(&mut self) -> &mut [u8] {
        const PAGE: usize = 4096;
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK + PAGE];
        }
        let begin = self.buffer.as_ptr().align_offset(PAGE).min(PAGE);
        self.buffer.get_mut(begin..begin + CHUNK).unwrap_or_default()
    }

    fn take(&mut self, algo: HashAlgo) -> Result<Hasher, Unavailable> {
        match self.hashers.iter().position(|hasher| hasher.algo() == algo) {
            Some(place) => Ok(self.hashers.swap_remove(place)),
            None => Hasher::new(algo),
        }
    }
}

thread_local! {
    static TOOLS: RefCell<Tools> = RefCell::default();
}

impl Content for OpenFile {
    fn digest(&mut self, algo: HashAlgo) -> Result<Vec<u8>, String> {
        if let Some((_, digest)) = self.digests.iter().find(|(known, _)| *known == algo) {
            return Ok(digest.clone());
        }
        let digest = self.hash(algo)?;
        self.digests.push((algo, digest.clone()));
        Ok(digest)
    }

    fn evm(&mut self) -> Result<Option<Vec<u8>>, String> {
        Self::evm(self).map_err(|error| format!("security.evm: {error}"))
    }

    fn metadata(&mut self) -> Result<Metadata, String> {
        Self::metadata(self).map_err(|error| error.to_string())
    }

    fn is_immutable(&mut self) -> bool {
        Self::is_immutable(self)
    }

    fn verity_digest(&mut self) -> Result<Option<(HashAlgo, Vec<u8>)>, String> {
        verity::digest(&self.file).map_err(|error| format!("asking for its fs-verity digest failed: {error}"))
    }
}

fn identity(file: impl AsFd) -> io::Result<Identity> {
    let stat = rustix::fs::fstat(file)?;
    Ok(Identity {
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        mode: stat.st_mode,
    })
}

fn xattr(file: impl AsFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    // A label is at most 9 + 65535 bytes; in practice some hundred.
    let mut value = vec![0; 1024];
    loop {
        match rustix::fs::fgetxattr(&file, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(rustix::io::Errno::NODATA) => return Ok(None),
            Err(rustix::io::Errno::RANGE) if value.len() < 128 * 1024 => value.resize(value.len() * 4, 0),
            Err(error) => return Err(error.into()),
        }
    }
}

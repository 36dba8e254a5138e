//! Packages as the package database describes them.
//!
//! [`Header`] borrows everything from the blob and copies nothing; [`Package`] is made from it, for those who keep it.
//! In the database the file signatures stand in the header as tag 5090; the length tag beside it is not to be trusted.
#![forbid(unsafe_code)]

mod files;
mod header;
pub mod query;

use std::fmt;

pub use files::{File, Files, Header, Iter, hard_links};
pub use header::{Entry, Fault, HeaderError};

use super::algo::HashAlgo;
use super::hex;

/// `RPMFILE_CONFIG`.
pub const FLAG_CONFIG: u32 = 1 << 0;
/// `RPMFILE_GHOST`.
pub const FLAG_GHOST: u32 = 1 << 6;

/// `RPMFILE_DOC`.
pub const FLAG_DOC: u32 = 1 << 1;

/// `RPMFILE_STATE_NORMAL`: the file is there as the package brought it.
pub const STATE_NORMAL: u8 = 0;
/// `RPMFILE_STATE_REPLACED`: a package installed later brought another file of this path.
pub const STATE_REPLACED: u8 = 1;
/// `RPMFILE_STATE_NOTINSTALLED`: left out, as documentation under `--excludedocs`.
pub const STATE_NOT_INSTALLED: u8 = 2;
/// `RPMFILE_STATE_NETSHARED`: it lies below a folder of `%_netsharedpath`.
pub const STATE_NET_SHARED: u8 = 3;
/// `RPMFILE_STATE_WRONGCOLOR`: the file of a package of another word size was preferred.
pub const STATE_WRONG_COLOR: u8 = 4;

const MODE_TYPE: u16 = 0o170_000;
const MODE_REGULAR: u16 = 0o100_000;
const MODE_EXECUTE: u16 = 0o111;

/// A package of the database.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name.
    pub name: String,
    /// `NAME-[EPOCH:]VERSION-RELEASE.ARCH`.
    pub nevra: String,
    /// Seconds since 1970 at which it was installed.
    pub install_time: u32,
    /// The transaction that installed it (`INSTALLTID`).
    pub install_tid: u32,
    /// Its files, in the header's order.
    pub files: Vec<PackagedFile>,
}

/// A file as its package describes it.
#[derive(Clone, PartialEq, Eq)]
pub struct PackagedFile {
    /// Absolute path; any bytes but NUL.
    pub path: Vec<u8>,
    /// Size in bytes.
    pub size: u64,
    /// `st_mode`.
    pub mode: u16,
    /// `RPMFILE_*` flags.
    pub flags: u32,
    /// [`STATE_NORMAL`] or why the file is not there as the package brought it.
    pub state: u8,
    /// Equal for hard links of one another; see [`File::link`].
    pub link: Option<(u32, u32)>,
    /// Digest of the content; `None` where the package has none (directories, links, ghosts).
    pub digest: Option<(HashAlgo, Vec<u8>)>,
    /// The label that the package brings; `None` where it is not signed.
    pub signature: Option<Vec<u8>>,
}

impl PackagedFile {
    /// Whether it is a regular file.
    pub const fn is_regular(&self) -> bool {
        self.mode & MODE_TYPE == MODE_REGULAR
    }

    /// Whether it is a file that the package brought and no other replaced.
    pub const fn is_installed(&self) -> bool {
        self.state == STATE_NORMAL && self.flags & FLAG_GHOST == 0
    }

    /// Whether it is made to be run or mapped: it has an execute bit, or is named like a shared library.
    pub fn is_program(&self) -> bool {
        let name = self.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        self.mode & MODE_EXECUTE != 0 || name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.")
    }

    /// Whether it is a configuration file without an execute bit, which rpm's `ima` plugin leaves unlabelled.
    pub const fn is_plain_config(&self) -> bool {
        self.flags & FLAG_CONFIG != 0 && self.mode & MODE_EXECUTE == 0
    }
}

impl fmt::Debug for PackagedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackagedFile").field("path", &String::from_utf8_lossy(&self.path)).finish_non_exhaustive()
    }
}

impl Package {
    /// Reads a header blob of the database.
    pub fn parse(blob: &[u8]) -> Result<Self, HeaderError> {
        let header = Header::parse(blob)?;
        let files = header.files()?;
        let mut owned = Vec::with_capacity(files.len());
        // Many files may name one long directory: what they take together is bounded, too.
        let mut room = header::MAX_DATA as usize;
        for file in &files {
            let file = file?.to_owned()?;
            room = room.checked_sub(file.path.len()).ok_or(HeaderError::LongPaths)?;
            owned.push(file);
        }
        Ok(Self {
            name: String::from_utf8_lossy(header.name()).into_owned(),
            nevra: header.nevra()?,
            install_time: header.install_time()?,
            install_tid: header.install_tid()?,
            files: owned,
        })
    }

    /// The sets of its files that are hard links of one another, by their places in `files`.
    pub fn hard_links(&self) -> Vec<Vec<usize>> {
        hard_links(self.files.iter().map(|file| file.link))
    }
}

impl File<'_> {
    /// A copy to keep.
    pub fn to_owned(&self) -> Result<PackagedFile, HeaderError> {
        let (mut digest, mut signature) = (Vec::new(), Vec::new());
        let algo = self.digest_into(&mut digest)?;
        let is_signed = self.signature_into(&mut signature)?;
        Ok(PackagedFile {
            path: self.path(),
            size: self.size,
            mode: self.mode,
            flags: self.flags,
            state: self.state,
            link: self.link(),
            digest: algo.map(|algo| (algo, digest)),
            signature: is_signed.then_some(signature),
        })
    }
}

/// Hexadecimal digits as bytes; `None` for nothing, odd lengths and other characters.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    hex::decode(text).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests;

//! Headers as the package database holds them, read without copying.
//!
//! A blob in `Packages` is `index-count(BE32) data-size(BE32)`, the index of 16-byte entries `tag type offset count`,
//! and the data (rpm's `lib/header.c`; the 8-byte magic of a package file is missing). In the database the file
//! signatures stand in this header as tag 5090; the length tag beside it is not to be trusted.
#![forbid(unsafe_code)]

use std::fmt;

use super::algo::HashAlgo;

/// Why a blob is no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Sizes do not fit the blob.
    #[error("the header's sizes ({entries} entries, {data} bytes of data) do not fit its {found} bytes")]
    Size {
        /// Index entries that it claims.
        entries: u32,
        /// Bytes of data that it claims.
        data: u32,
        /// Bytes that are there.
        found: usize,
    },
    /// The blob is shorter than a header can be.
    #[error("a header of {0} bytes is too short")]
    Short(usize),
    /// A tag's value lies outside of the data, or has another type than expected.
    #[error("tag {tag}: its value lies outside of the header or has type {kind}")]
    Value {
        /// The tag.
        tag: u32,
        /// The type that it claims.
        kind: u32,
    },
    /// A tag without which a package cannot be used is missing.
    #[error("tag {0} is missing")]
    Missing(u32),
    /// File arrays differ in length.
    #[error("tag {tag} has {found} values for {files} files")]
    Count {
        /// The tag.
        tag: u32,
        /// Values that it has.
        found: usize,
        /// Files in the package.
        files: usize,
    },
    /// A directory index points nowhere.
    #[error("file {0} is in a directory that the header does not name")]
    Directory(usize),
}

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const INSTALL_TIME: u32 = 1008;
const ARCH: u32 = 1022;
const FILE_SIZES: u32 = 1028;
const FILE_STATES: u32 = 1029;
const FILE_MODES: u32 = 1030;
const FILE_DIGESTS: u32 = 1035;
const FILE_FLAGS: u32 = 1037;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const INSTALL_TID: u32 = 1128;
const LONG_FILE_SIZES: u32 = 5008;
const FILE_DIGEST_ALGO: u32 = 5011;
const FILE_SIGNATURES: u32 = 5090;

const INT16: u32 = 3;
const INT32: u32 = 4;
const INT64: u32 = 5;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;
const CHAR: u32 = 1;
const INT8: u32 = 2;

/// `RPMFILE_CONFIG`.
pub const FLAG_CONFIG: u32 = 1 << 0;
/// `RPMFILE_GHOST`.
pub const FLAG_GHOST: u32 = 1 << 6;

/// `RPMFILE_STATE_NORMAL`; replaced, not installed, net shared and wrong colour are the others.
pub const STATE_NORMAL: u8 = 0;

const MODE_TYPE: u16 = 0o170_000;
const MODE_REGULAR: u16 = 0o100_000;
const MODE_EXECUTE: u16 = 0o111;

/// A header, checked for its outer sizes.
#[derive(Debug, Clone, Copy)]
struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    kind: u32,
    offset: usize,
    count: usize,
}

impl<'a> Header<'a> {
    fn parse(blob: &'a [u8]) -> Result<Self, HeaderError> {
        const ENTRY: usize = 16;
        let short = HeaderError::Short(blob.len());
        let Some((sizes, rest)) = blob.split_first_chunk::<8>() else { return Err(short) };
        let (entries, data) = (be32(sizes, 0), be32(sizes, 4));
        let wrong = HeaderError::Size { entries, data, found: blob.len() };
        let index_size = (entries as usize).checked_mul(ENTRY).ok_or_else(|| wrong.clone())?;
        let (index, rest) = rest.split_at_checked(index_size).ok_or_else(|| wrong.clone())?;
        let data = rest.get(..data as usize).ok_or(wrong)?;
        Ok(Self { index, data })
    }

    fn find(&self, tag: u32) -> Option<Entry> {
        self.index.chunks_exact(16).find(|entry| be32(entry, 0) == tag).map(|entry| Entry {
            tag,
            kind: be32(entry, 4),
            offset: be32(entry, 8) as usize,
            count: be32(entry, 12) as usize,
        })
    }

    fn value(&self, entry: Entry) -> Result<&'a [u8], HeaderError> {
        self.data.get(entry.offset..).ok_or(HeaderError::Value { tag: entry.tag, kind: entry.kind })
    }

    /// A numeric array's bytes, `width` bytes a value.
    fn numbers(&self, tag: u32, kinds: &[u32], width: usize) -> Result<Option<&'a [u8]>, HeaderError> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let wrong = HeaderError::Value { tag, kind: entry.kind };
        if !kinds.contains(&entry.kind) {
            return Err(wrong);
        }
        let size = entry.count.checked_mul(width).ok_or_else(|| wrong.clone())?;
        self.value(entry)?.get(..size).map(Some).ok_or(wrong)
    }

    fn number(&self, tag: u32) -> Result<Option<u32>, HeaderError> {
        let first = self.numbers(tag, &[INT32], 4)?.and_then(<[u8]>::first_chunk::<4>);
        Ok(first.map(|bytes| u32::from_be_bytes(*bytes)))
    }

    fn strings(&self, tag: u32) -> Result<Option<Vec<&'a [u8]>>, HeaderError> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let wrong = HeaderError::Value { tag, kind: entry.kind };
        if ![STRING, STRING_ARRAY, I18N_STRING].contains(&entry.kind) {
            return Err(wrong);
        }
        let mut rest = self.value(entry)?;
        // Each string takes at least its NUL, so a count beyond the data is a lie and reserves nothing.
        let mut strings = Vec::with_capacity(entry.count.min(rest.len()));
        for _ in 0..entry.count {
            let end = rest.iter().position(|&byte| byte == 0).ok_or_else(|| wrong.clone())?;
            let (string, after) = rest.split_at(end);
            strings.push(string);
            rest = after.get(1..).unwrap_or(&[]);
        }
        Ok(Some(strings))
    }

    fn text(&self, tag: u32) -> Result<Option<String>, HeaderError> {
        let first = self.strings(tag)?.and_then(|strings| strings.first().copied());
        Ok(first.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(<[u8]>::first_chunk::<4>).map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

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
        let name = header.text(NAME)?.ok_or(HeaderError::Missing(NAME))?;
        let version = header.text(VERSION)?.ok_or(HeaderError::Missing(VERSION))?;
        let release = header.text(RELEASE)?.ok_or(HeaderError::Missing(RELEASE))?;
        let epoch = header.number(EPOCH)?.map_or_else(String::new, |epoch| format!("{epoch}:"));
        let arch = header.text(ARCH)?.map_or_else(String::new, |arch| format!(".{arch}"));
        Ok(Self {
            nevra: format!("{name}-{epoch}{version}-{release}{arch}"),
            name,
            install_time: header.number(INSTALL_TIME)?.unwrap_or(0),
            install_tid: header.number(INSTALL_TID)?.unwrap_or(0),
            files: files(&header)?,
        })
    }
}

/// The package's files, put together from the header's parallel arrays.
fn files(header: &Header<'_>) -> Result<Vec<PackagedFile>, HeaderError> {
    let Some(bases) = header.strings(BASE_NAMES)? else { return Ok(Vec::new()) };
    let count = bases.len();
    let dirs = header.strings(DIR_NAMES)?.ok_or(HeaderError::Missing(DIR_NAMES))?;
    let of_files = |tag: u32, found: usize| {
        if found == count { Ok(()) } else { Err(HeaderError::Count { tag, found, files: count }) }
    };
    let array = |tag: u32, kinds: &[u32], width: usize| match header.numbers(tag, kinds, width)? {
        Some(bytes) => of_files(tag, bytes.len() / width).map(|()| bytes),
        None => Err(HeaderError::Missing(tag)),
    };
    let dir_indexes = array(DIR_INDEXES, &[INT32], 4)?;
    let modes = array(FILE_MODES, &[INT16], 2)?;
    let flags = array(FILE_FLAGS, &[INT32], 4)?;
    let long_sizes = header.numbers(LONG_FILE_SIZES, &[INT64], 8)?;
    let sizes = if long_sizes.is_some() { None } else { Some(array(FILE_SIZES, &[INT32], 4)?) };
    let states = header.numbers(FILE_STATES, &[CHAR, INT8], 1)?;
    let digests = header.strings(FILE_DIGESTS)?;
    if let Some(digests) = &digests {
        of_files(FILE_DIGESTS, digests.len())?;
    }
    // No tag means MD5 (rpm before 4.6).
    let algo = HashAlgo::from_pgp_id(header.number(FILE_DIGEST_ALGO)?.unwrap_or(1));
    // The array of signatures may be shorter than the list of files.
    let signatures = header.strings(FILE_SIGNATURES)?.unwrap_or_default();

    let mut files = Vec::with_capacity(count);
    for (at, base) in bases.iter().enumerate() {
        let dir = dirs.get(be32(dir_indexes, at * 4) as usize).ok_or(HeaderError::Directory(at))?;
        let size = match (sizes, long_sizes) {
            (Some(sizes), _) => u64::from(be32(sizes, at * 4)),
            (None, Some(long)) => (u64::from(be32(long, at * 8)) << 32) | u64::from(be32(long, at * 8 + 4)),
            (None, None) => 0,
        };
        let mode = modes.get(at * 2..at * 2 + 2).and_then(<[u8]>::first_chunk::<2>);
        let digest = digests.as_ref().and_then(|digests| digests.get(at)).and_then(|hex| unhex(hex));
        files.push(PackagedFile {
            path: [*dir, *base].concat(),
            size,
            mode: mode.map_or(0, |bytes| u16::from_be_bytes(*bytes)),
            flags: be32(flags, at * 4),
            state: states.and_then(|states| states.get(at)).copied().unwrap_or(STATE_NORMAL),
            digest: algo.zip(digest).filter(|(algo, digest)| digest.len() == algo.digest_size()),
            signature: signatures.get(at).and_then(|hex| unhex(hex)),
        });
    }
    Ok(files)
}

/// Hexadecimal digits as bytes; `None` for nothing, odd lengths and other characters.
pub fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if hex.is_empty() || !hex.len().is_multiple_of(2) {
        return None;
    }
    hex.as_chunks::<2>().0.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

#[cfg(test)]
#[path = "rpm_tests.rs"]
mod tests;

//! A header of the package database as it lies in memory: its index is read once, values are borrowed.
//!
//! A blob in `Packages` is `index-count(BE32) data-size(BE32)`, the index of 16-byte entries `tag type offset count`,
//! and the data (rpm's `lib/header.c`; the 8-byte magic of a package file is missing). Its limits are those of
//! `hdrblobInit()`; what rpm refuses is refused here.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt;

/// Why a blob is no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Sizes do not fit the blob, or are beyond rpm's limits.
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
    /// An entry of the index, or the value that it points at, is impossible.
    #[error("tag {0}: {1}")]
    Value(Entry, Fault),
    /// A tag without which a package cannot be used is missing.
    #[error("tag {0} is missing")]
    Missing(u32),
    /// File arrays differ in length.
    #[error("tag {0}: there are {1} files")]
    Count(Entry, usize),
    /// A directory index points nowhere.
    #[error("tag {0}: file {1} is in a directory that the header does not name")]
    Directory(Entry, usize),
    /// A digest or a signature is not written in hexadecimal digits.
    #[error("tag {tag} at offset {offset}: not hexadecimal")]
    Hex {
        /// The tag.
        tag: u32,
        /// Where in the data the text begins.
        offset: usize,
    },
    /// A path is longer than the kernel takes one.
    #[error("tag {0}: the path of file {1} is longer than {PATH_MAX} bytes")]
    LongPath(Entry, usize),
    /// All paths together are larger than a header can be.
    #[error("tag {}: the paths of all files take more than {MAX_DATA} bytes", Tag::BaseNames.number())]
    LongPaths,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// rpm knows no such type, or has another one for this tag.
    #[error("it cannot have this type")]
    Kind,
    /// No values, or more than rpm allows.
    #[error("it cannot have so many values")]
    Count,
    /// Numbers lie at multiples of their size.
    #[error("it is not aligned")]
    Alignment,
    /// The value ends beyond the data.
    #[error("it goes beyond the header's data")]
    Beyond,
}

/// `HEADER_TAGS_MAX`.
const MAX_ENTRIES: u32 = 0xffff;
/// `HEADER_DATA_MAX`.
pub(super) const MAX_DATA: u32 = 0x0fff_ffff;
/// `HEADER_ARRAY_MAX`; binary values have bytes instead.
const MAX_VALUES: u32 = 0xf_ffff;
/// The longest path that the kernel takes, with its NUL (`include/uapi/linux/limits.h`).
pub(super) const PATH_MAX: usize = 4096;

/// Types of values (`rpmTagType`).
const CHAR: u32 = 1;
const INT8: u32 = 2;
const INT16: u32 = 3;
const INT32: u32 = 4;
const INT64: u32 = 5;
const STRING: u32 = 6;
const BIN: u32 = 7;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// A tag that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Name,
    Version,
    Release,
    Epoch,
    InstallTime,
    Arch,
    FileSizes,
    FileStates,
    FileModes,
    FileDigests,
    FileFlags,
    FileDevices,
    FileInodes,
    DirIndexes,
    BaseNames,
    DirNames,
    InstallTid,
    FileColors,
    LongFileSizes,
    FileDigestAlgo,
    FileSignatures,
}

/// The tags' numbers (`rpmtag.h`), ascending, in the order of [`Tag`].
const NUMBERS: [u32; 21] = [
    1000, 1001, 1002, 1003, 1008, 1022, 1028, 1029, 1030, 1035, 1037, 1095, 1096, 1116, 1117, 1118, 1128, 1140, 5008,
    5011, 5090,
];

impl Tag {
    pub(super) const fn number(self) -> u32 {
        NUMBERS[self as usize]
    }
}

/// An entry of a header's index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// The tag.
    pub tag: u32,
    /// The type of its values (`rpmTagType`).
    pub kind: u32,
    /// Where in the data they begin.
    pub offset: u32,
    /// How many they are.
    pub count: u32,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tag, kind, offset, count } = self;
        write!(f, "{tag} (type {kind}, {count} values at offset {offset})")
    }
}

impl Entry {
    fn new(bytes: &[u8; 16]) -> Self {
        let [tag, kind, offset, count] =
            [0, 4, 8, 12].map(|at| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        Self { tag, kind, offset, count }
    }

    /// What `hdrblobVerifyInfo()` finds wrong with an entry without looking at its value.
    fn check(self, data: &[u8]) -> Result<Self, HeaderError> {
        let align = match self.kind {
            CHAR | INT8 | STRING | BIN | STRING_ARRAY | I18N_STRING => 1,
            INT16 => 2,
            INT32 => 4,
            INT64 => 8,
            _ => return Err(self.wrong(Fault::Kind)),
        };
        // No value takes less than a byte, so a count beyond the data is a lie.
        if self.count == 0
            || self.count as usize > data.len()
            || self.kind != BIN && self.count > MAX_VALUES
            || self.kind == STRING && self.count != 1
        {
            return Err(self.wrong(Fault::Count));
        }
        if !self.offset.is_multiple_of(align) {
            return Err(self.wrong(Fault::Alignment));
        }
        if self.offset as usize > data.len() {
            return Err(self.wrong(Fault::Beyond));
        }
        Ok(self)
    }

    pub(super) const fn wrong(self, fault: Fault) -> HeaderError {
        HeaderError::Value(self, fault)
    }
}

/// A header: its index is checked, its values are not.
#[derive(Debug, Clone)]
pub(super) struct Index<'a> {
    data: &'a [u8],
    entries: [Option<Entry>; NUMBERS.len()],
}

impl<'a> Index<'a> {
    /// Reads the index, in one pass.
    ///
    /// A tag may be there twice: what rpm changed at installation, as the paths of a relocated package, stands behind
    /// the package's own header, and replaces it (`hdrblobImport()`: "Dribble entries replace duplicate region
    /// entries").
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, HeaderError> {
        const ENTRY: usize = 16;
        let short = HeaderError::Short(blob.len());
        let Some((sizes, rest)) = blob.split_first_chunk::<8>() else { return Err(short) };
        let [entries, data] =
            [0, 4].map(|at| u32::from_be_bytes([sizes[at], sizes[at + 1], sizes[at + 2], sizes[at + 3]]));
        let wrong = HeaderError::Size { entries, data, found: blob.len() };
        if entries > MAX_ENTRIES || data > MAX_DATA || entries as usize * ENTRY + data as usize != rest.len() {
            return Err(wrong);
        }
        let (index, data) = rest.split_at_checked(entries as usize * ENTRY).ok_or(wrong)?;
        let mut found = [None; NUMBERS.len()];
        for bytes in index.as_chunks::<ENTRY>().0 {
            let entry = Entry::new(bytes).check(data)?;
            if let Ok(slot) = NUMBERS.binary_search(&entry.tag) {
                found[slot] = Some(entry);
            }
        }
        Ok(Self { data, entries: found })
    }

    pub(super) const fn find(&self, tag: Tag) -> Option<Entry> {
        self.entries[tag as usize]
    }

    /// The values of a numeric tag, `N` bytes each.
    pub(super) fn numbers<const N: usize>(&self, tag: Tag) -> Result<Option<&'a [[u8; N]]>, HeaderError> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let fits = match entry.kind {
            CHAR | INT8 => N == 1,
            INT16 => N == 2,
            INT32 => N == 4,
            INT64 => N == 8,
            _ => false,
        };
        if !fits {
            return Err(entry.wrong(Fault::Kind));
        }
        let (values, _) = self.data.get(entry.offset as usize..).unwrap_or_default().as_chunks::<N>();
        values.get(..entry.count as usize).map(Some).ok_or(entry.wrong(Fault::Beyond))
    }

    /// The first value of a tag of 32-bit numbers.
    pub(super) fn number(&self, tag: Tag) -> Result<Option<u32>, HeaderError> {
        let first = self.numbers::<4>(tag)?.and_then(<[_]>::first);
        Ok(first.map(|bytes| u32::from_be_bytes(*bytes)))
    }

    /// The values of a tag of texts.
    pub(super) fn strings(&self, tag: Tag) -> Result<Option<Strings<'a>>, HeaderError> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        if !matches!(entry.kind, STRING | STRING_ARRAY | I18N_STRING) {
            return Err(entry.wrong(Fault::Kind));
        }
        let rest = self.data.get(entry.offset as usize..).unwrap_or_default();
        Ok(Some(Strings { entry, rest, left: entry.count, end: self.data.len() }))
    }

    /// The first value of a tag of texts.
    pub(super) fn text(&self, tag: Tag) -> Result<Option<&'a [u8]>, HeaderError> {
        self.strings(tag)?.and_then(|mut strings| strings.next()).transpose()
    }
}

/// Texts, each with its NUL behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Strings<'a> {
    pub(super) entry: Entry,
    rest: &'a [u8],
    left: u32,
    /// Length of the header's data.
    end: usize,
}

impl Strings<'_> {
    /// How many are left.
    pub(super) const fn len(&self) -> usize {
        self.left as usize
    }

    /// Where in the data the next text begins.
    pub(super) const fn offset(&self) -> usize {
        self.end - self.rest.len()
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = Result<&'a [u8], HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // The one search for a byte in `core` that looks at several at a time.
        let Ok(text) = CStr::from_bytes_until_nul(self.rest) else {
            self.left = 0;
            return Some(Err(self.entry.wrong(Fault::Beyond)));
        };
        self.rest = self.rest.get(text.count_bytes() + 1..).unwrap_or_default();
        Some(Ok(text.to_bytes()))
    }
}

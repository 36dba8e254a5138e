#![forbid(unsafe_code)]
//! The RPM package file: lead, signature header, main header; read, and the signature header written anew.
//!
//! A header is `8e ad e8 01`, four zero bytes, the number of index entries, the number of data bytes, the index of
//! 16-byte entries (tag, type, offset, count) and the data. All numbers are big-endian.

use std::collections::BTreeMap;
use std::fmt;

/// The lead, which nothing reads any more, is this long.
const LEAD_SIZE: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
const ENTRY_SIZE: usize = 16;
/// rpm's own limits (lib/header.c, `hdrchkTags` and `hdrchkData`).
const MAX_ENTRIES: usize = 0xffff;
const MAX_DATA: usize = 0x0fff_ffff;

/// The tag of the signature header's immutable region.
pub(crate) const HEADERSIGNATURES: u32 = 62;
/// Hexadecimal IMA signatures, one for each file, in the signature header.
pub(crate) const FILESIGNATURES: u32 = 274;
/// The length of the longest of them in bytes.
pub(crate) const FILESIGNATURELENGTH: u32 = 275;
const FILEMODES: u32 = 1030;
const FILEDIGESTS: u32 = 1035;
const FILEFLAGS: u32 = 1037;
const DIRINDEXES: u32 = 1116;
const BASENAMES: u32 = 1117;
const DIRNAMES: u32 = 1118;
const FILEDIGESTALGO: u32 = 5011;

const GHOST: u32 = 1 << 6;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;

/// What is wrong with a package file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The offset in the file.
    pub(crate) offset: usize,
    /// What stands there.
    pub(crate) problem: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.problem)
    }
}

impl std::error::Error for Malformed {}

type Result<T> = std::result::Result<T, Malformed>;

fn malformed<T>(offset: usize, problem: impl Into<String>) -> Result<T> {
    Err(Malformed { offset, problem: problem.into() })
}

/// A value's type, as the index numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// No value.
    Null = 0,
    /// Bytes.
    Char = 1,
    /// Bytes.
    Int8 = 2,
    /// 16-bit numbers.
    Int16 = 3,
    /// 32-bit numbers.
    Int32 = 4,
    /// 64-bit numbers.
    Int64 = 5,
    /// One string with a NUL.
    Text = 6,
    /// Bytes.
    Binary = 7,
    /// Strings with a NUL each.
    TextArray = 8,
    /// One string for each locale.
    Localized = 9,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        use Kind::{Binary, Char, Int8, Int16, Int32, Int64, Localized, Null, Text, TextArray};
        [Null, Char, Int8, Int16, Int32, Int64, Text, Binary, TextArray, Localized].get(number as usize).copied()
    }

    /// The width of one element, which is also what its place in the data is a multiple of; none for strings.
    const fn width(self) -> Option<usize> {
        match self {
            Self::Null => Some(0),
            Self::Char | Self::Int8 | Self::Binary => Some(1),
            Self::Int16 => Some(2),
            Self::Int32 => Some(4),
            Self::Int64 => Some(8),
            Self::Text | Self::TextArray | Self::Localized => None,
        }
    }
}

/// A tag's value, its bytes as they stand in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    kind: Kind,
    count: u32,
    bytes: Vec<u8>,
    /// Where in the file it was read.
    offset: usize,
}

impl Value {
    /// Strings.
    pub(crate) fn texts<S: AsRef<str>>(texts: &[S]) -> Self {
        let mut bytes = Vec::new();
        for text in texts {
            bytes.extend_from_slice(text.as_ref().as_bytes());
            bytes.push(0);
        }
        Self { kind: Kind::TextArray, count: number(texts.len()), bytes, offset: 0 }
    }

    /// One 32-bit number.
    pub(crate) fn int32(value: u32) -> Self {
        Self { kind: Kind::Int32, count: 1, bytes: value.to_be_bytes().into(), offset: 0 }
    }

    fn as_texts(&self) -> Result<Vec<&[u8]>> {
        if self.kind.width().is_some() {
            return malformed(self.offset, format!("strings wanted, {:?} found", self.kind));
        }
        Ok(self.bytes.split_last().map_or(Vec::new(), |(_, bytes)| bytes.split(|&byte| byte == 0).collect()))
    }

    fn as_numbers(&self) -> Result<Vec<u32>> {
        match self.kind {
            Kind::Int16 => {
                Ok(self.bytes.chunks_exact(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))).collect())
            }
            Kind::Int32 => {
                Ok(self.bytes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect())
            }
            kind => malformed(self.offset, format!("numbers of 16 or 32 bits wanted, {kind:?} found")),
        }
    }
}

/// A header: values by tag, without the region that wraps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    values: BTreeMap<u32, Value>,
}

/// One regular file of a package whose content has a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digested {
    /// Its place in the package's list of files.
    pub(crate) index: usize,
    /// Its path, as the package has it.
    pub(crate) path: Vec<u8>,
    /// The digest of its content.
    pub(crate) digest: Vec<u8>,
}

/// A package file taken apart.
#[derive(Debug)]
pub(crate) struct Package<'a> {
    lead: &'a [u8],
    /// The signature header, to be changed.
    pub(crate) signature: Header,
    main: Header,
    /// The main header and the payload as they stand in the file.
    rest: &'a [u8],
}

impl<'a> Package<'a> {
    /// Takes the package file `bytes` apart.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let Some(lead) = bytes.get(..LEAD_SIZE) else {
            return malformed(bytes.len(), format!("the lead of {LEAD_SIZE} bytes ends here"));
        };
        if lead[..4] != LEAD_MAGIC {
            return malformed(0, "not an RPM package: its first bytes are not ed ab ee db");
        }
        let (signature, end) = Header::parse(bytes, LEAD_SIZE)?;
        let start = end.next_multiple_of(8);
        let Some(rest) = bytes.get(start..) else {
            return malformed(bytes.len(), "the padding after the signature header ends here");
        };
        let (main, _) = Header::parse(bytes, start)?;
        Ok(Self { lead, signature, main, rest })
    }

    /// The number of the hash that FILEDIGESTS are made by, in OpenPGP's numbering, which starts at MD5.
    pub(crate) fn digest_algorithm(&self) -> Result<u32> {
        match self.main.values.get(&FILEDIGESTALGO) {
            None => Ok(1),
            Some(value) => match value.as_numbers()?[..] {
                [number] => Ok(number),
                _ => malformed(value.offset, "one number wanted for FILEDIGESTALGO"),
            },
        }
    }

    /// How many files of any kind the package lists.
    pub(crate) fn file_count(&self) -> Result<usize> {
        self.main.values.get(&BASENAMES).map_or(Ok(0), |names| Ok(names.as_texts()?.len()))
    }

    /// The regular files with a digest; ghosts have none that would hold.
    pub(crate) fn digested_files(&self) -> Result<Vec<Digested>> {
        let count = self.file_count()?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let names = self.per_file(BASENAMES, "BASENAMES", count, Value::as_texts)?;
        let dirs = self.wanted(DIRNAMES, "DIRNAMES")?.as_texts()?;
        let indexes = self.per_file(DIRINDEXES, "DIRINDEXES", count, Value::as_numbers)?;
        let modes = self.per_file(FILEMODES, "FILEMODES", count, Value::as_numbers)?;
        let flags = self.per_file(FILEFLAGS, "FILEFLAGS", count, Value::as_numbers)?;
        let digests = self.per_file(FILEDIGESTS, "FILEDIGESTS", count, Value::as_texts)?;
        let mut files = Vec::new();
        for index in 0..count {
            if modes[index] & S_IFMT != S_IFREG || flags[index] & GHOST != 0 || digests[index].is_empty() {
                continue;
            }
            let Some(dir) = dirs.get(indexes[index] as usize) else {
                let offset = self.wanted(DIRINDEXES, "DIRINDEXES")?.offset + 4 * index;
                return malformed(offset, format!("folder {} of {}", indexes[index], dirs.len()));
            };
            let Some(digest) = from_hex(digests[index]) else {
                let offset = self.wanted(FILEDIGESTS, "FILEDIGESTS")?.offset;
                return malformed(offset, format!("the digest of file {index} is not hexadecimal"));
            };
            files.push(Digested { index, path: [dir, names[index]].concat(), digest });
        }
        Ok(files)
    }

    /// The signatures that the package carries, by file; none where it was not signed.
    pub(crate) fn file_signatures(&self) -> Result<Vec<Vec<u8>>> {
        let Some(value) = self.signature.values.get(&FILESIGNATURES) else { return Ok(Vec::new()) };
        value
            .as_texts()?
            .into_iter()
            .enumerate()
            .map(|(index, hex)| match from_hex(hex) {
                Some(bytes) => Ok(bytes),
                None => malformed(value.offset, format!("the signature of file {index} is not hexadecimal")),
            })
            .collect()
    }

    /// The package file with the signature header as it is now; everything else is as it was read.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.lead.to_vec();
        bytes.extend(self.signature.to_bytes(HEADERSIGNATURES));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(self.rest);
        bytes
    }

    fn wanted(&self, tag: u32, name: &str) -> Result<&Value> {
        let missing = LEAD_SIZE;
        self.main.values.get(&tag).map_or_else(|| malformed(missing, format!("no {name} (tag {tag})")), Ok)
    }

    fn per_file<'v, T>(
        &'v self,
        tag: u32,
        name: &str,
        count: usize,
        read: impl Fn(&'v Value) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let value = self.wanted(tag, name)?;
        let found = read(value)?;
        if found.len() != count {
            return malformed(value.offset, format!("{} values in {name} for {count} files", found.len()));
        }
        Ok(found)
    }
}

impl Header {
    /// Puts a value in, over an older one of the same tag.
    pub(crate) fn put(&mut self, tag: u32, value: Value) {
        self.values.insert(tag, value);
    }

    /// Reads the header at `start`; also tells where it ends.
    fn parse(file: &[u8], start: usize) -> Result<(Self, usize)> {
        let word = |at: usize| match file.get(at..at + 4) {
            Some(bytes) => Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            None => malformed(file.len(), "the file ends inside a header"),
        };
        if file.get(start..start + 8) != Some(&HEADER_MAGIC) {
            return malformed(start, "a header's magic number was expected here");
        }
        let entries = word(start + 8)? as usize;
        let length = word(start + 12)? as usize;
        if entries > MAX_ENTRIES || length > MAX_DATA {
            return malformed(start + 8, format!("{entries} entries and {length} bytes are more than rpm takes"));
        }
        let index = start + 16;
        let data = index + entries * ENTRY_SIZE;
        let end = data + length;
        let Some(store) = file.get(data..end) else {
            return malformed(file.len(), format!("the file ends inside a header, which reaches to offset {end}"));
        };
        let mut header = Self::default();
        for entry in (index..data).step_by(ENTRY_SIZE) {
            let (tag, number, place, count) = (word(entry)?, word(entry + 4)?, word(entry + 8)?, word(entry + 12)?);
            let Some(kind) = Kind::from_number(number) else {
                return malformed(entry + 4, format!("tag {tag} has the unknown type {number}"));
            };
            // A region only says which entries the signatures cover: here, all.
            if (61..=63).contains(&tag) {
                continue;
            }
            let place = place as usize;
            let Some(bytes) = store.get(place..).and_then(|rest| extent(rest, kind, count as usize)) else {
                return malformed(entry + 8, format!("the value of tag {tag} does not lie within the header"));
            };
            let value = Value { kind, count, bytes: bytes.to_vec(), offset: data + place };
            if header.values.insert(tag, value).is_some() {
                return malformed(entry, format!("tag {tag} for the second time"));
            }
        }
        Ok((header, end))
    }

    /// The header's bytes, all of it within the region `region`, whose trailer is the last value in the data.
    fn to_bytes(&self, region: u32) -> Vec<u8> {
        let mut index = Vec::new();
        let mut data = Vec::new();
        for (tag, value) in &self.values {
            data.resize(data.len().next_multiple_of(value.kind.width().unwrap_or(1).max(1)), 0);
            index.extend(entry(*tag, value.kind, number(data.len()), value.count));
            data.extend_from_slice(&value.bytes);
        }
        let entries = number(self.values.len() + 1);
        let size = u32::try_from(ENTRY_SIZE).unwrap_or(u32::MAX);
        let first = entry(region, Kind::Binary, number(data.len()), size);
        // The trailer says by a negative offset how far before it the region's index starts.
        data.extend(entry(region, Kind::Binary, (entries * size).wrapping_neg(), size));

        let mut bytes = HEADER_MAGIC.to_vec();
        bytes.extend(entries.to_be_bytes());
        bytes.extend(number(data.len()).to_be_bytes());
        bytes.extend(first);
        bytes.extend(index);
        bytes.extend(data);
        bytes
    }
}

/// The bytes that `count` elements of `kind` take at the head of `rest`; none if they do not fit in.
fn extent(rest: &[u8], kind: Kind, count: usize) -> Option<&[u8]> {
    if let Some(width) = kind.width() {
        return rest.get(..width.checked_mul(count)?);
    }
    let mut end = 0;
    for _ in 0..count {
        end += rest.get(end..)?.iter().position(|&byte| byte == 0)? + 1;
    }
    rest.get(..end)
}

fn entry(tag: u32, kind: Kind, offset: u32, count: u32) -> [u8; ENTRY_SIZE] {
    let mut bytes = [0; ENTRY_SIZE];
    for (place, word) in bytes.chunks_exact_mut(4).zip([tag, kind as u32, offset, count]) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// A length within a header as the file has it; what rpm takes always fits.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(pair[0])? << 4 | digit(pair[1])?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package file with one regular file, one ghost and one folder.
    fn sample() -> Vec<u8> {
        let mut main = Header::default();
        main.put(BASENAMES, Value::texts(&["a b", "ghost", "d"]));
        main.put(DIRNAMES, Value::texts(&["/usr/", "/etc/"]));
        main.put(FILEDIGESTS, Value::texts(&["00ff", "00ff", ""]));
        main.put(FILEDIGESTALGO, Value::int32(8));
        let numbers = |numbers: &[u32]| Value {
            kind: Kind::Int32,
            count: number(numbers.len()),
            bytes: numbers.iter().flat_map(|n| n.to_be_bytes()).collect(),
            offset: 0,
        };
        main.put(DIRINDEXES, numbers(&[0, 1, 1]));
        main.put(FILEMODES, numbers(&[0o100_755, 0o100_644, 0o040_755]));
        main.put(FILEFLAGS, numbers(&[0, GHOST, 0]));
        let mut rest = main.to_bytes(63);
        rest.extend(b"payload");
        let mut lead = LEAD_MAGIC.to_vec();
        lead.resize(LEAD_SIZE, 0);
        let mut signature = Header::default();
        signature.put(1000, Value::int32(7));
        Package { lead: &lead, signature, main, rest: &rest }.to_bytes()
    }

    #[test]
    fn only_regular_files_with_content_count() {
        let bytes = sample();
        let package = Package::parse(&bytes).unwrap();
        let files = package.digested_files().unwrap();
        assert_eq!(files, [Digested { index: 0, path: b"/usr/a b".to_vec(), digest: vec![0, 0xff] }]);
        assert_eq!((package.file_count().unwrap(), package.digest_algorithm().unwrap()), (3, 8));
    }

    #[test]
    fn what_is_put_in_comes_out_again_and_nothing_else_changes() {
        let before = sample();
        let mut package = Package::parse(&before).unwrap();
        package.signature.put(FILESIGNATURES, Value::texts(&["0302", "", ""]));
        let after = package.to_bytes();
        let package = Package::parse(&after).unwrap();
        assert_eq!(package.file_signatures().unwrap(), [vec![3, 2], vec![], vec![]]);
        assert_eq!(package.signature.values[&1000].bytes, 7_u32.to_be_bytes());
        assert!(after.ends_with(b"payload"));
        assert_eq!(package.rest, Package::parse(&before).unwrap().rest);
    }

    #[test]
    fn a_cut_or_changed_file_is_an_error_and_never_a_panic() {
        let good = sample();
        let payload = b"payload".len();
        for length in 0..good.len() - payload {
            assert!(Package::parse(&good[..length]).is_err(), "cut to {length} bytes");
        }
        for place in 0..good.len() - payload {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[place] = value;
                if let Ok(package) = Package::parse(&bad) {
                    drop((package.digested_files(), package.digest_algorithm(), package.file_signatures()));
                }
            }
        }
    }
}

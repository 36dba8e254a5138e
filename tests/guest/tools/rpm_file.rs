//! RPM package files, as far as writing file signatures into one needs it (rpm's `docs/manual/format.md`).
//!
//! A file is a lead of 96 bytes, the signature header padded to 8 bytes, the main header and the payload. Only the
//! signature header is written anew; the digests in it cover what follows it, so they stay right.

use std::fmt;

const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Region tag of a signature header: its data ends in an index entry that says how many entries the region has.
const REGION_SIGNATURES: u32 = 62;
const INT32: u32 = 4;
const BIN: u32 = 7;
const STRING_ARRAY: u32 = 8;

/// What is wrong with a package file, and where.
#[derive(Debug)]
pub(crate) struct Malformed {
    offset: usize,
    what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.what)
    }
}

/// One tag's value.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) tag: u32,
    pub(crate) kind: u32,
    pub(crate) count: u32,
    pub(crate) data: Vec<u8>,
}

impl Tag {
    pub(crate) fn strings<T: AsRef<str>>(tag: u32, strings: &[T]) -> Self {
        let data = strings.iter().flat_map(|s| s.as_ref().bytes().chain([0])).collect();
        Self { tag, kind: STRING_ARRAY, count: u32::try_from(strings.len()).unwrap_or(u32::MAX), data }
    }

    pub(crate) fn int32(tag: u32, value: u32) -> Self {
        Self { tag, kind: INT32, count: 1, data: value.to_be_bytes().to_vec() }
    }
}

/// A package file taken apart.
#[derive(Debug)]
pub(crate) struct PackageFile<'a> {
    lead: &'a [u8],
    signatures: Vec<Tag>,
    main: Vec<Tag>,
    /// Main header and payload, as they are.
    rest: &'a [u8],
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk::<4>().map(|chunk| u32::from_be_bytes(*chunk))
}

/// Reads a header at `offset`; its tags without the region's own, and where it ends.
fn header(bytes: &[u8], offset: usize) -> Result<(Vec<Tag>, usize), Malformed> {
    let wrong = |offset, what| Malformed { offset, what };
    if bytes.get(offset..offset + 4) != Some(&HEADER_MAGIC[..]) {
        return Err(wrong(offset, "no header begins here"));
    }
    let sizes =
        be32(bytes, offset + 8).zip(be32(bytes, offset + 12)).ok_or(wrong(offset, "the header is cut short"))?;
    let (entries, size) = (sizes.0 as usize, sizes.1 as usize);
    let index = offset + 16;
    let begin = index + 16 * entries;
    let data = bytes.get(begin..begin + size).ok_or(wrong(begin, "the header's data is cut short"))?;
    let mut tags = Vec::new();
    for at in (index..begin).step_by(16) {
        let field = |n: usize| be32(bytes, at + 4 * n).ok_or(wrong(at, "the index is cut short"));
        let (tag, kind, from, count) = (field(0)?, field(1)?, field(2)? as usize, field(3)?);
        if (61..=63).contains(&tag) {
            continue;
        }
        let rest = data.get(from..).ok_or(wrong(at, "a value lies outside of the header"))?;
        let length = length(kind, count as usize, rest).ok_or(wrong(at, "a value is cut short or of no known type"))?;
        tags.push(Tag { tag, kind, count, data: rest.get(..length).unwrap_or_default().to_vec() });
    }
    Ok((tags, begin + size))
}

fn length(kind: u32, count: usize, data: &[u8]) -> Option<usize> {
    let length = match kind {
        0 => 0,
        1 | 2 | BIN => count,
        3 => 2 * count,
        INT32 => 4 * count,
        5 => 8 * count,
        6 | STRING_ARRAY | 9 => {
            let mut at = 0;
            for _ in 0..count {
                at += data.get(at..)?.iter().position(|&byte| byte == 0)? + 1;
            }
            at
        }
        _ => return None,
    };
    (length <= data.len()).then_some(length)
}

/// A header with a region over all of its tags.
fn write_header(tags: &[Tag]) -> Vec<u8> {
    let mut sorted: Vec<&Tag> = tags.iter().collect();
    sorted.sort_by_key(|tag| tag.tag);
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let be = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    for tag in &sorted {
        let align = match tag.kind {
            3 => 2,
            INT32 => 4,
            5 => 8,
            _ => 1,
        };
        data.resize(data.len().next_multiple_of(align), 0);
        index.extend([tag.tag.to_be_bytes(), tag.kind.to_be_bytes(), be(data.len()), tag.count.to_be_bytes()].concat());
        data.extend(&tag.data);
    }
    let region_size = 16 * (sorted.len() + 1);
    let region = [REGION_SIGNATURES.to_be_bytes(), BIN.to_be_bytes(), be(data.len()), be(16)].concat();
    // The trailer's offset is the region's size, negated.
    let back = i32::try_from(region_size).unwrap_or(i32::MAX).wrapping_neg().to_be_bytes();
    data.extend([REGION_SIGNATURES.to_be_bytes(), BIN.to_be_bytes(), back, be(16)].concat());
    let sizes = [be(sorted.len() + 1), be(data.len())].concat();
    [&HEADER_MAGIC[..], &[0; 4], &sizes, &region, &index, &data].concat()
}

fn strings(tags: &[Tag], tag: u32) -> Vec<String> {
    let Some(tag) = tags.iter().find(|entry| entry.tag == tag) else { return Vec::new() };
    let mut strings: Vec<_> = tag.data.split(|&byte| byte == 0).map(|s| String::from_utf8_lossy(s).into()).collect();
    strings.pop();
    strings
}

impl<'a> PackageFile<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.get(..4) != Some(&LEAD_MAGIC[..]) {
            return Err(Malformed { offset: 0, what: "this is no RPM package" });
        }
        let lead = bytes.get(..LEAD).ok_or(Malformed { offset: 0, what: "the lead is cut short" })?;
        let (signatures, end) = header(bytes, LEAD)?;
        let main_at = LEAD + (end - LEAD).next_multiple_of(8);
        let (main, _) = header(bytes, main_at)?;
        Ok(Self { lead, signatures, main, rest: bytes.get(main_at..).unwrap_or_default() })
    }

    /// A main header's array of strings.
    pub(crate) fn strings(&self, tag: u32) -> Vec<String> {
        strings(&self.main, tag)
    }

    /// The signature header's array of strings.
    pub(crate) fn signature_strings(&self, tag: u32) -> Vec<String> {
        strings(&self.signatures, tag)
    }

    /// A main header's array of numbers of 2 or 4 bytes.
    pub(crate) fn numbers(&self, tag: u32) -> Vec<u32> {
        let Some(tag) = self.main.iter().find(|entry| entry.tag == tag) else { return Vec::new() };
        let width = if tag.kind == INT32 { 4 } else { 2 };
        tag.data.chunks_exact(width).map(|bytes| bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte))).collect()
    }

    /// The file with these tags in its signature header, in the place of those of the same number.
    pub(crate) fn with_signatures(&self, tags: &[Tag]) -> Vec<u8> {
        let kept = self.signatures.iter().filter(|old| tags.iter().all(|new| new.tag != old.tag));
        let tags: Vec<Tag> = kept.chain(tags).cloned().collect();
        let mut header = write_header(&tags);
        header.resize(header.len().next_multiple_of(8), 0);
        [self.lead, &header, self.rest].concat()
    }
}

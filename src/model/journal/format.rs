//! The journal's bytes.
//!
//! Header: `imadjrnl`, version, the numbers that the next job and intent had when the file was begun, CRC-32. Record:
//! magic number, length of all that follows the checksum, CRC-32 over the length and all that follows the checksum, how many bytes
//! before it were not yet durable when it was written, kind, body. Numbers are little-endian. Paths of a record's
//! intents share their beginnings.
#![forbid(unsafe_code)]

use super::{Intent, Job, JobEnd, JobId, Mark, Outcome};

/// Version of the format.
pub const VERSION: u32 = 1;
/// Bytes of the header.
pub const HEADER: usize = 32;
/// No record is longer, its frame included. An intent's path is at most 4096 bytes and its label 65,544.
pub const LONGEST: usize = 256 * 1024;
/// No path is longer (`PATH_MAX`).
pub const LONGEST_PATH: usize = 4096;

const FILE_MAGIC: &[u8; 8] = b"imadjrnl";
/// Begins each record, so that the next one is found behind a damaged one.
const MAGIC: [u8; 4] = [0xa7, b'i', b'm', 0x9c];
/// Magic number, length, checksum.
const FRAME: usize = 12;
/// Bytes behind, kind.
const PREFIX: usize = 5;

const JOB: u8 = 1;
const INTENTS: u8 = 2;
const DONE: u8 = 3;
const END: u8 = 4;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A job begins.
    Job(Job),
    /// Labels are going to be written.
    Intents(Vec<Intent>),
    /// What became of intents.
    Done(Vec<(u64, Outcome)>),
    /// A job ended.
    End {
        /// The job.
        job: JobId,
        /// When (wall clock, µs since 1970).
        time_us: u64,
        /// How.
        end: JobEnd,
    },
}

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The next job's number, where no record says more.
    pub next_job: JobId,
    /// The next intent's number, where no record says more.
    pub next_intent: u64,
}

/// Why a file is not a journal that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is another kind of file, or its beginning is damaged.
    #[error("it does not begin as a label journal does")]
    NotOurs,
    /// A later imad wrote it.
    #[error("its format has version {0}, this imad knows version {VERSION}")]
    Version(u32),
}

/// What stands at a place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A record, its size, and how many bytes before it were not yet durable when it was written.
    Record(Record, usize, u32),
    /// The bytes end within it.
    Short,
    /// No record.
    Bad(&'static str),
}

impl Header {
    /// The bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let crc_at = HEADER - 4;
        let fields =
            [&FILE_MAGIC[..], &VERSION.to_le_bytes(), &self.next_job.to_le_bytes(), &self.next_intent.to_le_bytes()];
        for (to, from) in bytes.iter_mut().zip(fields.concat()) {
            *to = from;
        }
        let (content, crc) = bytes.split_at_mut(crc_at);
        crc.copy_from_slice(&checksum(&[content]).to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut reader = Reader(bytes);
        let read = (|| {
            let magic = reader.take(8)?;
            let version = reader.u32()?;
            Some((magic, version, reader.u64()?, reader.u64()?, reader.u32()?))
        })();
        let Some((magic, version, next_job, next_intent, crc)) = read else { return Err(HeaderError::NotOurs) };
        if magic != FILE_MAGIC {
            return Err(HeaderError::NotOurs);
        }
        // A later version may have another header: its checksum is not asked.
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let content = bytes.get(..HEADER - 4).unwrap_or_default();
        if crc == checksum(&[content]) { Ok(Self { next_job, next_intent }) } else { Err(HeaderError::NotOurs) }
    }
}

/// The bytes of a record. `behind`: how many bytes before it are not durable yet.
pub fn frame(record: &Record, behind: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend(MAGIC);
    bytes.extend([0; FRAME - 4]);
    bytes.extend(behind.to_le_bytes());
    write_record(&mut bytes, record);
    let length = u32::try_from(bytes.len() - FRAME).unwrap_or(u32::MAX).to_le_bytes();
    let crc = checksum(&[&length, bytes.get(FRAME..).unwrap_or_default()]).to_le_bytes();
    for (to, from) in bytes.iter_mut().skip(4).zip([length, crc].concat()) {
        *to = from;
    }
    bytes
}

/// Parts intents into as many records as keep each below [`LONGEST`].
pub fn intent_records(intents: Vec<Intent>) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for intent in intents {
        let more = intent.path.len() + intent.old.as_ref().map_or(0, Vec::len) + 64;
        if size + more > LONGEST - 1024 && !part.is_empty() {
            records.push(Record::Intents(std::mem::take(&mut part)));
            size = 0;
        }
        size += more;
        part.push(intent);
    }
    if !part.is_empty() {
        records.push(Record::Intents(part));
    }
    records
}

/// Parts outcomes into as many records as keep each below [`LONGEST`]; sorts them.
pub fn done_records(mut outcomes: Vec<(u64, Outcome)>) -> Vec<Record> {
    outcomes.sort_unstable();
    // A run of outcomes takes 13 bytes at most.
    outcomes.chunks(LONGEST / 16).map(|part| Record::Done(part.to_vec())).collect()
}

/// What stands at the beginning of these bytes.
pub fn scan(bytes: &[u8]) -> Scanned {
    let mut reader = Reader(bytes);
    let Some(magic) = reader.take(4) else { return Scanned::Short };
    if magic != MAGIC {
        return Scanned::Bad("no record begins here");
    }
    let (Some(length), Some(crc)) = (reader.u32(), reader.u32()) else { return Scanned::Short };
    let size = length as usize;
    if !(PREFIX..=LONGEST - FRAME).contains(&size) {
        return Scanned::Bad("a record's length cannot be");
    }
    let Some(content) = reader.take(size) else { return Scanned::Short };
    if checksum(&[&length.to_le_bytes(), content]) != crc {
        return Scanned::Bad("a record's checksum does not match");
    }
    let mut reader = Reader(content);
    let record = reader.u32().and_then(|behind| Some((read_record(&mut reader)?, behind)));
    match record {
        Some((record, behind)) if reader.0.is_empty() => Scanned::Record(record, FRAME + size, behind),
        _ => Scanned::Bad("a record's content cannot be read"),
    }
}

/// Where the next record may begin, at `from` or after it.
pub fn next_start(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(MAGIC.len()).position(|window| window == MAGIC).map(|at| from + at)
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum()
}

fn write_record(bytes: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Job(job) => {
            bytes.push(JOB);
            bytes.extend(job.id.to_le_bytes());
            bytes.extend(job.time_us.to_le_bytes());
            bytes.extend(job.boot);
            bytes.extend(job.reverts.unwrap_or(0).to_le_bytes());
            write_text(bytes, &job.who);
            write_text(bytes, &job.selection);
        }
        Record::Intents(intents) => {
            bytes.push(INTENTS);
            let job = intents.first().map_or(0, |intent| intent.job);
            let first = intents.first().map_or(0, |intent| intent.number);
            bytes.extend(job.to_le_bytes());
            bytes.extend(first.to_le_bytes());
            bytes.extend(u32::try_from(intents.len()).unwrap_or(u32::MAX).to_le_bytes());
            let mut before: &[u8] = &[];
            for intent in intents {
                write_intent(bytes, intent, before);
                before = &intent.path;
            }
        }
        Record::Done(outcomes) => {
            bytes.push(DONE);
            for (first, count, outcome) in runs(outcomes) {
                bytes.extend(first.to_le_bytes());
                bytes.extend(count.to_le_bytes());
                bytes.push(match outcome {
                    Outcome::Written => 1,
                    Outcome::NotWritten => 2,
                });
            }
        }
        Record::End { job, time_us, end } => {
            bytes.push(END);
            bytes.extend(job.to_le_bytes());
            bytes.extend(time_us.to_le_bytes());
            let (kind, text) = match end {
                JobEnd::Finished => (1, ""),
                JobEnd::Cancelled => (2, ""),
                JobEnd::Failed(why) => (3, &why[..]),
                JobEnd::Interrupted => (4, ""),
            };
            bytes.push(kind);
            write_text(bytes, text);
        }
    }
}

/// Flags: bit 0, there was a label; bit 1, there will be one.
fn write_intent(bytes: &mut Vec<u8>, intent: &Intent, before: &[u8]) {
    let shared = intent.path.iter().zip(before).take_while(|(a, b)| a == b).count().min(usize::from(u16::MAX));
    let rest = intent.path.get(shared..).unwrap_or_default();
    bytes.push(u8::from(intent.old.is_some()) | u8::from(intent.new.is_some()) << 1);
    bytes.extend(intent.dev.to_le_bytes());
    bytes.extend(intent.ino.to_le_bytes());
    bytes.extend(u16::try_from(shared).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(rest);
    if let Some(old) = &intent.old {
        bytes.extend(u32::try_from(old.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(old);
    }
    if let Some(Mark { hash, kind, key }) = &intent.new {
        bytes.extend(hash);
        bytes.push(*kind);
        bytes.extend(key.to_le_bytes());
    }
}

/// Neighbours with the same outcome as one: first number, how many, outcome.
fn runs(outcomes: &[(u64, Outcome)]) -> Vec<(u64, u32, Outcome)> {
    let mut runs: Vec<(u64, u32, Outcome)> = Vec::new();
    for &(number, outcome) in outcomes {
        match runs.last_mut() {
            Some((first, count, last)) if *last == outcome && first.checked_add(u64::from(*count)) == Some(number) => {
                *count += 1;
            }
            _ => runs.push((number, 1, outcome)),
        }
    }
    runs
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    // Who and why are short; a longer text is cut where a character ends.
    let mut end = text.len().min(4000);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn read_record(reader: &mut Reader<'_>) -> Option<Record> {
    match reader.u8()? {
        JOB => {
            let (id, time_us) = (reader.u64()?, reader.u64()?);
            let boot = *reader.take(16)?.first_chunk()?;
            let reverts = Some(reader.u64()?).filter(|job| *job != 0);
            Some(Record::Job(Job { id, time_us, boot, reverts, who: reader.text()?, selection: reader.text()? }))
        }
        INTENTS => {
            let (job, first, count) = (reader.u64()?, reader.u64()?, reader.u32()?);
            let mut intents: Vec<Intent> = Vec::new();
            for place in 0..u64::from(count) {
                let before = intents.last().map_or(&[][..], |intent| &intent.path);
                let intent = read_intent(reader, job, first.checked_add(place)?, before)?;
                intents.push(intent);
            }
            Some(Record::Intents(intents))
        }
        DONE => {
            let mut outcomes = Vec::new();
            while !reader.0.is_empty() {
                let (first, count) = (reader.u64()?, reader.u32()?);
                let outcome = match reader.u8()? {
                    1 => Outcome::Written,
                    2 => Outcome::NotWritten,
                    _ => return None,
                };
                // No record is written with more, and a wrong number must not fill the memory.
                if outcomes.len() + count as usize > LONGEST {
                    return None;
                }
                for place in 0..u64::from(count) {
                    outcomes.push((first.checked_add(place)?, outcome));
                }
            }
            Some(Record::Done(outcomes))
        }
        END => {
            let (job, time_us, kind, text) = (reader.u64()?, reader.u64()?, reader.u8()?, reader.text()?);
            let end = match kind {
                1 => JobEnd::Finished,
                2 => JobEnd::Cancelled,
                3 => JobEnd::Failed(text),
                4 => JobEnd::Interrupted,
                _ => return None,
            };
            Some(Record::End { job, time_us, end })
        }
        _ => None,
    }
}

fn read_intent(reader: &mut Reader<'_>, job: JobId, number: u64, before: &[u8]) -> Option<Intent> {
    let flags = reader.u8()?;
    if flags > 3 {
        return None;
    }
    let (dev, ino, shared) = (reader.u64()?, reader.u64()?, usize::from(reader.u16()?));
    let length = reader.u32()? as usize;
    if shared.checked_add(length)? > LONGEST_PATH {
        return None;
    }
    let path = [before.get(..shared)?, reader.take(length)?].concat();
    let old = if flags & 1 == 0 {
        None
    } else {
        let length = reader.u32()? as usize;
        Some(reader.take(length)?.to_vec())
    };
    let new = if flags & 2 == 0 {
        None
    } else {
        Some(Mark { hash: *reader.take(16)?.first_chunk()?, kind: reader.u8()?, key: reader.u32()? })
    };
    Some(Intent { number, job, path, dev, ino, old, new })
}

/// Bytes that are read from their beginning.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().copied().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.u16()?);
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

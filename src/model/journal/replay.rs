//! Reads a journal from its beginning to its end: what is torn off at the end, and what is damaged within.
//!
//! A record that cannot be read is the end of the file, cut by a power failure or a full disk, unless a later record
//! proves that it had been durable: each record says up to where the file was when it was written.
#![forbid(unsafe_code)]

use super::format::{HEADER, LONGEST, Record, Scanned, next_start, scan};

/// A file's bytes, a window at a time.
pub trait Bytes {
    /// Why they cannot be read.
    type Error;

    /// The bytes from this offset on: as many as asked for, fewer only where the file ends.
    fn window(&mut self, offset: u64, length: usize) -> Result<&[u8], Self::Error>;
}

impl Bytes for &[u8] {
    type Error = std::convert::Infallible;

    fn window(&mut self, offset: u64, length: usize) -> Result<&[u8], Self::Error> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let to = from.saturating_add(length).min(self.len());
        Ok(self.get(from..to).unwrap_or_default())
    }
}

/// A record and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its first byte.
    pub at: u64,
    /// Bytes.
    pub size: u64,
    /// The record.
    pub record: Record,
}

/// Bytes that had been durable and cannot be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the first.
    pub at: u64,
    /// How many.
    pub bytes: u64,
    /// What is wrong with the first record of them.
    pub why: &'static str,
}

/// What reading a file to its end found, besides its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// Bytes up to the end of the last good record: where the next one belongs.
    pub kept: u64,
    /// Bytes behind that, to be cut off.
    pub torn: u64,
    /// What is damaged before that.
    pub damaged: Vec<Damage>,
}

/// Reads every record behind the header, in order.
pub fn read<B: Bytes>(bytes: &mut B, mut each: impl FnMut(Placed)) -> Result<Ending, B::Error> {
    let mut ending = Ending { kept: HEADER as u64, ..Ending::default() };
    let mut at = HEADER as u64;
    // Bytes before this offset had been durable.
    let mut durable = at;
    loop {
        let window = bytes.window(at, LONGEST)?;
        if window.is_empty() {
            return Ok(ending);
        }
        let why = match scan(window) {
            Scanned::Record(record, size, behind) => {
                durable = durable.max(at.saturating_sub(u64::from(behind)));
                let size = size as u64;
                each(Placed { at, size, record });
                at += size;
                ending.kept = at;
                continue;
            }
            Scanned::Short => "the file ends within a record",
            Scanned::Bad(why) => why,
        };
        let Some(next) = beyond(bytes, at, &mut durable)? else {
            ending.torn = length_from(bytes, at)?;
            return Ok(ending);
        };
        ending.damaged.push(Damage { at, bytes: next - at, why });
        at = next;
    }
}

/// Where reading goes on behind a record that cannot be read; `None` where nothing proves that it had been durable.
fn beyond<B: Bytes>(bytes: &mut B, at: u64, durable: &mut u64) -> Result<Option<u64>, B::Error> {
    let mut first = None;
    let mut from = at + 1;
    loop {
        if *durable > at && first.is_some() {
            return Ok(first);
        }
        let window = bytes.window(from, LONGEST)?;
        let Some(start) = next_start(window, 0) else {
            if window.len() < LONGEST {
                return Ok(None);
            }
            // A magic number may lie across the window's end.
            from += (window.len() - 3) as u64;
            continue;
        };
        let place = from + start as u64;
        from = place + 1;
        if let Scanned::Record(_, size, behind) = scan(bytes.window(place, LONGEST)?) {
            *durable = (*durable).max(place.saturating_sub(u64::from(behind)));
            first = first.or(Some(place));
            from = place + size as u64;
        }
    }
}

fn length_from<B: Bytes>(bytes: &mut B, at: u64) -> Result<u64, B::Error> {
    let mut length = 0;
    loop {
        let read = bytes.window(at + length, LONGEST)?.len();
        if read == 0 {
            return Ok(length);
        }
        length += read as u64;
    }
}

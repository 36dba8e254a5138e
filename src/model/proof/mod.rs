//! What was found out once and need not be found out again.
//!
//! Two things are remembered, each by itself: *this file has this label, and it verified by this key* ([`VerifiedFiles`]:
//! true only as long as nothing changed content or label), and *this signature over this digest is by this key* ([`Proven`]:
//! dear to compute, and true for ever). The first spares opening a file, the second only verifying. Both can be lost at any
//! time. `docs/proofs.md` says when the first holds.
#![forbid(unsafe_code)]

mod proven;
mod verified;

pub use proven::{Proven, Statement, spki};
pub use verified::{FileFacts, VerifiedFiles};

use super::journal::format::Reader;

/// Version of both files.
pub const VERSION: u32 = 1;

/// Why a file cannot be used. It is dropped: what it held is found out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Another kind of file, another version, or damage.
    #[error("it is damaged or of another version")]
    Damaged,
    /// Inodes may have changed in ways that no time of this boot shows.
    #[error("it is of another boot")]
    OtherBoot,
    /// Times do not tell any more what came later.
    #[error("the clock was set back since")]
    ClockSetBack,
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Appends the checksum of what is there.
fn seal(bytes: &mut Vec<u8>) {
    let crc = crc(bytes).to_le_bytes();
    bytes.extend(crc);
}

/// The content behind magic number and version, if the checksum is right.
fn unseal(bytes: &[u8], magic: [u8; 8]) -> Option<Reader<'_>> {
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc(content).to_le_bytes() != sum {
        return None;
    }
    let mut reader = Reader(content);
    (reader.take(8)? == magic && reader.u32()? == VERSION).then_some(reader)
}

#[cfg(test)]
mod tests;

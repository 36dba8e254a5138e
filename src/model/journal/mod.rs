//! The label journal: what was going to be done to which file's label, and what became of it.
//!
//! The file is a header and then records, each with its length and its checksum, only ever appended. What a run is going
//! to write is recorded, and made durable, before the first label of its batch is set; what became of it is recorded
//! afterwards. So a run that ended at any instant leaves intents without an outcome: those files are judged again.
//! Nothing here is needed to tell whether a label is right: the journal may be lost at any time.
#![forbid(unsafe_code)]

pub mod format;
pub mod ledger;
pub mod replay;
pub mod report;

use std::fmt;

use super::algo::HashAlgo;
use super::cert::hex;
use super::label::{KeyId, Label};
use super::verify::{Unavailable, digest};

/// Number of a job; grows from job to job, across boots too.
pub type JobId = u64;

/// A job: labels that one run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// When it began (wall clock, µs since 1970).
    pub time_us: u64,
    /// The boot that it began in (`/proc/sys/kernel/random/boot_id`); zeros where that is not known.
    pub boot: [u8; 16],
    /// Who asked for it, and why.
    pub who: String,
    /// Which files it was about, in words.
    pub selection: String,
    /// The job that it puts back.
    pub reverts: Option<JobId>,
}

/// A label that is going to be written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its number, by which its outcome names it.
    pub number: u64,
    /// The job that it belongs to.
    pub job: JobId,
    /// The file, as its root sees it.
    pub path: Vec<u8>,
    /// Device of the inode that was judged.
    pub dev: u64,
    /// Its number.
    pub ino: u64,
    /// The label before, in full: a revert puts it back.
    pub old: Option<Vec<u8>>,
    /// The label after; `None` where it is removed.
    pub new: Option<Mark>,
}

/// What became of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The label is as intended.
    Written,
    /// The file has the label that it had: it was refused, or taken back because the file changed meanwhile.
    NotWritten,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It went through.
    Finished,
    /// Somebody cancelled it.
    Cancelled,
    /// It failed, for this reason.
    Failed(String),
    /// It was killed; a later run has judged its files again.
    Interrupted,
}

/// How a label is told in the journal without its bytes: enough to recognise it, and to say whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The first half of SHA-256 over its bytes.
    pub hash: [u8; 16],
    /// Its first byte (`enum evm_ima_xattr_type`); 0 where it is empty.
    pub kind: u8,
    /// The key id that it names; 0 where it names none.
    pub key: u32,
}

impl Mark {
    /// The mark of a label.
    pub fn of(label: &[u8]) -> Result<Self, Unavailable> {
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(digest(HashAlgo::Sha256, label)?) {
            *to = from;
        }
        let key = match Label::parse(label) {
            Ok(Label::Signature(signature) | Label::VeritySignature(signature)) => signature.key_id.0,
            _ => 0,
        };
        Ok(Self { hash, kind: label.first().copied().unwrap_or(0), key })
    }

    /// The key id that the label names.
    pub fn key_id(&self) -> Option<KeyId> {
        (self.key != 0).then_some(KeyId(self.key))
    }
}

impl fmt::Display for Mark {
    /// `signature by key d3320449`, `hash label 5f1c…`: the kind, and the key or the beginning of the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = hex(self.hash.get(..4).unwrap_or(&self.hash));
        match (self.kind, self.key_id()) {
            (3, Some(key)) => write!(f, "signature by key {key} ({hash})"),
            (6, Some(key)) => write!(f, "fs-verity signature by key {key} ({hash})"),
            (1 | 4, _) => write!(f, "hash label ({hash})"),
            _ => write!(f, "malformed label ({hash})"),
        }
    }
}

impl JobEnd {
    /// In a word, with the reason where there is one.
    pub fn words(&self) -> String {
        match self {
            Self::Finished => "finished".to_owned(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Failed(why) => format!("failed: {why}"),
            Self::Interrupted => "interrupted".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;

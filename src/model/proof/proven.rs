//! Signatures that verified once.
#![forbid(unsafe_code)]

use super::super::algo::HashAlgo;
use super::super::cert::Certificate;
use super::super::verify::{Hasher, digest};
use super::{VERSION, seal, unseal};

const MAGIC: &[u8; 8] = b"imadsigs";

/// "This label's signature over this digest is by this key", or "this file's label is this one, and it verified by this
/// key": the first half of SHA-256 over what is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement(pub(super) [u8; 16]);

impl Statement {
    /// A label in full, the [SHA-256 of its key](spki), and the digest that it signs; nothing in the place of the digest
    /// where the statement is about a file. The hasher is one of SHA-256. `None` where OpenSSL fails.
    pub fn new(hasher: &mut Hasher, label: &[u8], key: &[u8; 32], signed: &[u8]) -> Option<Self> {
        let length = u32::try_from(label.len()).ok()?.to_le_bytes();
        hasher.update(&[&length[..], label, key, signed].concat()).ok()?;
        Some(Self(*hasher.finish().ok()?.first_chunk()?))
    }
}

/// SHA-256 of a certificate's key (its `SubjectPublicKeyInfo`): another certificate for the same key changes nothing.
pub fn spki(certificate: &Certificate) -> Option<[u8; 32]> {
    let der = certificate.key().public_key_to_der().ok()?;
    digest(HashAlgo::Sha256, &der).ok()?.first_chunk().copied()
}

/// The statements that are remembered: sixteen bytes each.
#[derive(Debug, Clone, Default)]
pub struct Proven {
    /// Sorted up to `sorted`; behind that what was noted since.
    statements: Vec<Statement>,
    sorted: usize,
    /// Which of the sorted ones were asked for since the last [`Proven::prune`], a bit each.
    used: Vec<u64>,
}

impl Proven {
    /// Remembers one.
    pub fn note(&mut self, statement: Statement) {
        self.statements.push(statement);
    }

    /// Whether it was proven, before the last [`Proven::sort`].
    pub fn has(&mut self, statement: &Statement) -> bool {
        let sorted = self.statements.get(..self.sorted).unwrap_or_default();
        let Ok(place) = sorted.binary_search(statement) else { return false };
        if let Some(word) = self.used.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
        true
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Forgets what was neither asked for nor noted since the last time.
    pub fn prune(&mut self) {
        let (used, sorted) = (std::mem::take(&mut self.used), self.sorted);
        let mut place = 0;
        self.statements.retain(|_| {
            let is_used = used.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1);
            place += 1;
            is_used || place > sorted
        });
        self.sort();
    }

    /// Sorts in what was noted.
    pub fn sort(&mut self) {
        if self.sorted == self.statements.len() && self.used.len() == self.sorted.div_ceil(64) {
            return;
        }
        self.statements.sort_unstable();
        self.statements.dedup();
        self.sorted = self.statements.len();
        self.used = vec![0; self.sorted.div_ceil(64)];
    }

    /// The bytes of the file; sorts first.
    pub fn bytes(&mut self) -> Vec<u8> {
        self.sort();
        let mut bytes = Vec::with_capacity(32 + 16 * self.statements.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.statements.iter().flat_map(|statement| statement.0));
        seal(&mut bytes);
        bytes
    }

    /// Reads a file; `None` where it is damaged or of another version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let reader = unseal(bytes, *MAGIC)?;
        let (chunks, rest) = reader.0.as_chunks::<16>();
        let statements: Vec<_> = chunks.iter().copied().map(Statement).collect();
        if !rest.is_empty() || !statements.is_sorted() {
            return None;
        }
        let mut proven = Self { sorted: statements.len(), statements, used: Vec::new() };
        proven.used = vec![0; proven.sorted.div_ceil(64)];
        Some(proven)
    }
}

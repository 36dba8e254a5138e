//! The attempts: how often each candidate was loaded on trial without a confirmed boot, newest first.
//!
//! A record has [`RECORD_LEN`] bytes; numbers are little-endian:
//!
//! ```text
//! offset size
//!      0    8  "imadtry" and a zero byte
//!      8    4  version: 1
//!     12    4  number of attempts, at most 8
//!     16    8  sequence: of two records the one with the higher number is the newer
//!     24  8×52 attempts: fingerprint (32), count (4), id of the boot that made the last one (16); zeros where unused
//!    440   32  SHA-256 of all that is before
//! ```
//!
//! Eight, since each installed kernel and the last confirmed policy is a candidate of its own, and what is exhausted
//! stays so while another one is tried.
#![forbid(unsafe_code)]

use super::Sum;

/// Length of a record in bytes.
pub const RECORD_LEN: usize = BODY_LEN + 32;

const MAGIC: [u8; 8] = *b"imadtry\0";
const VERSION: u32 = 1;
const KEPT: usize = 8;
const HEAD_LEN: usize = 24;
const ATTEMPT_LEN: usize = 52;
const BODY_LEN: usize = HEAD_LEN + KEPT * ATTEMPT_LEN;

/// Loads of one candidate on trial that no confirmed boot followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The candidate's.
    pub fingerprint: Sum,
    /// How many.
    pub count: u32,
    /// The boot that made the last one (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: [u8; 16],
}

impl Attempt {
    /// Whether the last one was made by this boot. Zeros are no boot's id.
    pub fn is_of(&self, boot_id: [u8; 16]) -> bool {
        self.boot_id == boot_id && boot_id != [0; 16]
    }
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempts {
    sequence: u64,
    attempts: Vec<Attempt>,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is nothing but zeros: it was never written.
    #[error("nothing is recorded")]
    Empty,
    /// Its SHA-256 does not fit, or it is too short.
    #[error("it is cut off or damaged")]
    Damaged,
    /// Another version.
    #[error("it is of version {0}; this imad knows version 1")]
    Version(u32),
}

impl Attempts {
    /// Number of this record in the order of writing.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Each candidate's, newest first.
    pub fn all(&self) -> &[Attempt] {
        &self.attempts
    }

    /// A candidate's.
    pub fn of(&self, fingerprint: Sum) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.fingerprint == fingerprint)
    }

    /// The next record, with an attempt of this boot, and the candidate's count in it. The same boot counts once.
    #[must_use]
    pub fn with_attempt(&self, fingerprint: Sum, boot_id: [u8; 16]) -> (Self, u32) {
        let count = match self.of(fingerprint) {
            Some(earlier) if earlier.is_of(boot_id) => earlier.count,
            Some(earlier) => earlier.count.saturating_add(1),
            None => 1,
        };
        let mut next = self.without(fingerprint);
        next.attempts.insert(0, Attempt { fingerprint, count, boot_id });
        next.attempts.truncate(KEPT);
        (next, count)
    }

    /// The next record, with one attempt of this candidate less.
    #[must_use]
    pub fn without_last(&self, fingerprint: Sum) -> Self {
        let mut next = self.clone();
        next.sequence = next.sequence.saturating_add(1);
        for attempt in next.attempts.iter_mut().filter(|attempt| attempt.fingerprint == fingerprint) {
            // The boot that made the one before is not known any more.
            (attempt.count, attempt.boot_id) = (attempt.count.saturating_sub(1), [0; 16]);
        }
        next.attempts.retain(|attempt| attempt.count > 0);
        next
    }

    /// The next record, without this candidate.
    #[must_use]
    pub fn without(&self, fingerprint: Sum) -> Self {
        let attempts = self.attempts.iter().filter(|attempt| attempt.fingerprint != fingerprint).copied().collect();
        Self { sequence: self.sequence.saturating_add(1), attempts }
    }

    /// The record's bytes.
    pub fn to_bytes(&self) -> [u8; RECORD_LEN] {
        let mut bytes = Vec::with_capacity(RECORD_LEN);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        let attempts = self.attempts.iter().take(KEPT);
        bytes.extend(u32::try_from(attempts.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        for attempt in attempts {
            bytes.extend(attempt.fingerprint.0);
            bytes.extend(attempt.count.to_le_bytes());
            bytes.extend(attempt.boot_id);
        }
        bytes.resize(BODY_LEN, 0);
        let sum = Sum::of(&bytes);
        bytes.extend(sum.0);
        let mut record = [0; RECORD_LEN];
        record.copy_from_slice(&bytes);
        record
    }

    /// Reads a record at the beginning of these bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = bytes.first_chunk::<RECORD_LEN>().ok_or(RecordError::Damaged)?;
        if record.iter().all(|&byte| byte == 0) {
            return Err(RecordError::Empty);
        }
        let (body, sum) = record.split_at(BODY_LEN);
        if body.get(..8) != Some(&MAGIC[..]) || Sum::of(body).0 != *sum {
            return Err(RecordError::Damaged);
        }
        let number = |at: usize| body.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let version = number(8).ok_or(RecordError::Damaged)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let used = number(12).and_then(|used| usize::try_from(used).ok()).filter(|&used| used <= KEPT);
        let used = used.ok_or(RecordError::Damaged)?;
        let sequence = body.get(16..).and_then(<[u8]>::first_chunk).ok_or(RecordError::Damaged)?;
        let (attempts, _) = body.get(HEAD_LEN..).unwrap_or_default().as_chunks::<ATTEMPT_LEN>();
        let attempts = attempts.iter().take(used).map(attempt).collect::<Option<_>>().ok_or(RecordError::Damaged)?;
        Ok(Self { sequence: u64::from_le_bytes(*sequence), attempts })
    }

    /// Which of the two places for records is to be overwritten: the one without a valid record, else the older one.
    pub fn older_slot(slots: [&[u8]; 2]) -> usize {
        let [first, second] = slots.map(|slot| Self::parse(slot).ok().map(|record| record.sequence));
        usize::from(second < first)
    }

    /// The newest of several records.
    pub fn newest(records: impl IntoIterator<Item = Self>) -> Option<Self> {
        records.into_iter().max_by_key(Self::sequence)
    }
}

fn attempt(bytes: &[u8; ATTEMPT_LEN]) -> Option<Attempt> {
    let (fingerprint, rest) = bytes.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    Some(Attempt { fingerprint: Sum(*fingerprint), count: u32::from_le_bytes(*count), boot_id: *rest.first_chunk()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_attempts() -> impl Strategy<Value = Attempts> {
        let attempt = (any::<[u8; 32]>(), any::<u32>(), any::<[u8; 16]>()).prop_map(|(sum, count, boot_id)| Attempt {
            fingerprint: Sum(sum),
            count,
            boot_id,
        });
        (any::<u64>(), prop::collection::vec(attempt, 0..=KEPT))
            .prop_map(|(sequence, attempts)| Attempts { sequence, attempts })
    }

    #[test]
    fn a_record_fits_a_sector_and_says_what_it_is() {
        const { assert!(RECORD_LEN <= 512) }
        let bytes = Attempts::default().with_attempt(Sum([7; 32]), [9; 16]).0.to_bytes();
        assert_eq!(&bytes[..24], b"imadtry\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0");
        assert_eq!(Attempts::parse(&[0; RECORD_LEN]), Err(RecordError::Empty));
        assert_eq!(Attempts::parse(&bytes[..RECORD_LEN - 1]), Err(RecordError::Damaged));
        let mut newer = bytes;
        newer[8] = 2;
        let sum = Sum::of(&newer[..BODY_LEN]);
        newer[BODY_LEN..].copy_from_slice(&sum.0);
        assert_eq!(Attempts::parse(&newer), Err(RecordError::Version(2)));
    }

    #[test]
    fn more_than_eight_candidates_push_the_oldest_out() {
        let mut attempts = Attempts::default();
        for number in 0..10 {
            attempts = attempts.with_attempt(Sum([number; 32]), [number; 16]).0;
        }
        assert_eq!(attempts.all().len(), 8);
        assert_eq!((attempts.of(Sum([1; 32])), attempts.sequence()), (None, 10));
        assert_eq!(attempts.of(Sum([2; 32])).map(|attempt| attempt.count), Some(1));
    }

    #[test]
    fn an_attempt_that_came_to_nothing_is_taken_back() {
        let (this, other) = (Sum([1; 32]), Sum([2; 32]));
        let attempts = Attempts::default().with_attempt(other, [1; 16]).0.with_attempt(this, [2; 16]).0;
        let (twice, _) = attempts.with_attempt(this, [3; 16]);
        let once = twice.without_last(this);
        assert_eq!((once.of(this).map(|it| it.count), once.sequence()), (Some(1), twice.sequence() + 1));
        // The boot whose attempt it was may make it again, and it counts.
        assert_eq!(once.with_attempt(this, [3; 16]).1, 2);
        let none = once.without_last(this);
        assert_eq!((none.of(this), none.of(other).map(|it| it.count)), (None, Some(1)));
    }

    proptest! {
        #[test]
        fn is_read_as_it_was_written(attempts in any_attempts()) {
            prop_assert_eq!(Attempts::parse(&attempts.to_bytes()), Ok(attempts));
        }

        #[test]
        fn a_changed_byte_is_seen(attempts in any_attempts(), at in 0..RECORD_LEN, bit in 0..8) {
            let mut bytes = attempts.to_bytes();
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(Attempts::parse(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..RECORD_LEN + 9)) {
            let _ = Attempts::parse(&bytes);
        }
    }

    /// A write that the power cut off at any byte: what was there before is still the newest valid record, or the new one.
    #[test]
    fn a_torn_write_leaves_a_valid_record() {
        let (one, _) = Attempts::default().with_attempt(Sum([1; 32]), [1; 16]);
        let (two, _) = one.with_attempt(Sum([1; 32]), [2; 16]);
        let (three, _) = two.with_attempt(Sum([1; 32]), [3; 16]);
        for cut in 0..=RECORD_LEN {
            let mut slot = one.to_bytes();
            slot[..cut].copy_from_slice(&three.to_bytes()[..cut]);
            let beside = two.to_bytes();
            let slots = [&slot[..], &beside[..]];
            // The next write never touches the newest valid one.
            assert_eq!(Attempts::older_slot(slots), usize::from(cut == RECORD_LEN), "{cut}");
            let found = Attempts::newest(slots.iter().filter_map(|slot| Attempts::parse(slot).ok()));
            assert_eq!(found.as_ref(), Some(if cut == RECORD_LEN { &three } else { &two }), "{cut}");
        }
    }
}

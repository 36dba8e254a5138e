//! Reproducible randomness: splitmix64, by Vigna's reference code.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of numbers that its seed determines.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream with this number of a seed: so that one of many inputs can be made alone.
    pub(super) const fn nth(seed: u64, number: u64) -> Self {
        let mut head = Self(seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f));
        Self(head.next())
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// True in this many cases of a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// What `IMAD_SEED` says (decimal, or hexadecimal after `0x`), else the time.
pub(super) fn seed() -> u64 {
    let Ok(text) = std::env::var("IMAD_SEED") else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Random::new(u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(32)).next();
    };
    let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    number.unwrap_or_else(|error| panic!("IMAD_SEED={text}: {error}"))
}

//! The trial state, `/etc/imad/state/trial.json`: which candidates were confirmed, and what was rolled back.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::Sum;
use crate::model::report::{Problem, TrialOutcome};

/// Where a root keeps it.
pub const PATH: &str = "/etc/imad/state/trial.json";
/// Confirmed candidates that are remembered.
pub const KEPT: usize = 8;

const VERSION: u32 = 1;

/// What is known from earlier boots. Fields that another imad put there are read over, and gone with the next write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the format.
    version: u32,
    /// The machine that it was written on (machine-id(5)): a cloned disk proves nothing about another machine.
    pub machine_id: String,
    /// Candidates that carried this machine to a confirmed boot, newest first, [`KEPT`] at most.
    #[serde(default)]
    pub confirmed: Vec<Confirmed>,
    /// SHA-256 of the policy whose copy is kept as the last confirmed one.
    #[serde(default)]
    pub last_policy: Option<Sum>,
    /// Login services that were active at the last confirmation.
    #[serde(default)]
    pub units: Vec<String>,
    /// The candidate that is not loaded any more.
    #[serde(default)]
    pub rolled_back: Option<RolledBack>,
}

/// A candidate that carried this machine to a confirmed boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Its fingerprint.
    pub fingerprint: Sum,
    /// SHA-256 of its policy.
    pub policy: Sum,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// When it was last confirmed, since 1970.
    pub time_us: u64,
}

/// A candidate that is not loaded any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// Its fingerprint.
    pub fingerprint: Sum,
    /// SHA-256 of its policy.
    pub policy: Sum,
    /// `uname -r` of its kernel.
    pub kernel: String,
    /// Boots on trial that were not confirmed.
    pub attempts: u32,
    /// What happened, in words.
    pub why: String,
    /// When it was written down, since 1970.
    pub time_us: u64,
    /// Somebody took notice: it may be tried again.
    pub acknowledged: bool,
}

impl RolledBack {
    /// What a person is told until it is acknowledged.
    pub fn problem(&self) -> Problem {
        Problem::new(
            self.why.clone(),
            "mend what kept those boots from being confirmed (journalctl --list-boots, journalctl -b -1 -u imad-confirm), \
             then imactl trial acknowledge",
        )
    }
}

/// Why a state counts as none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A newer imad wrote it.
    #[error("it is of version {0}; this imad knows version 1")]
    Version(u32),
    /// It was written on another machine.
    #[error("it was written on the machine with the id {0}")]
    Foreign(String),
}

impl State {
    /// Of a machine that has none yet.
    pub fn new(machine_id: String) -> Self {
        Self {
            version: VERSION,
            machine_id,
            confirmed: Vec::new(),
            last_policy: None,
            units: Vec::new(),
            rolled_back: None,
        }
    }

    /// Reads a state of the machine with this id.
    pub fn parse(bytes: &[u8], machine_id: &str) -> Result<Self, StateError> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let damaged = |error: serde_json::Error| StateError::Damaged(error.to_string());
        let Head { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let state: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        if state.machine_id == machine_id { Ok(state) } else { Err(StateError::Foreign(state.machine_id)) }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Nothing in it can fail to be written: no map, no number but integers.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Whether this candidate was confirmed.
    pub fn is_confirmed(&self, fingerprint: Sum) -> bool {
        self.confirmed.iter().any(|confirmed| confirmed.fingerprint == fingerprint)
    }

    /// Remembers a confirmed candidate. What was rolled back with the same fingerprint is over.
    pub fn confirm(&mut self, confirmed: Confirmed) {
        self.rolled_back.take_if(|it| it.fingerprint == confirmed.fingerprint);
        self.confirmed.retain(|earlier| earlier.fingerprint != confirmed.fingerprint);
        self.confirmed.insert(0, confirmed);
        self.confirmed.truncate(KEPT);
    }

    /// Remembers what is not loaded any more; false where that is known already, and nobody took notice yet.
    pub fn roll_back(&mut self, rolled_back: RolledBack) -> bool {
        let known = self.rolled_back.as_ref();
        if known.is_some_and(|known| known.fingerprint == rolled_back.fingerprint && !known.acknowledged) {
            return false;
        }
        self.rolled_back = Some(rolled_back);
        true
    }

    /// Somebody took notice. What of, if that is news.
    pub fn acknowledge(&mut self) -> Option<&RolledBack> {
        let rolled_back = self.rolled_back.as_mut().filter(|it| !it.acknowledged)?;
        rolled_back.acknowledged = true;
        Some(rolled_back)
    }
}

/// `imactl trial status`: what is confirmed, on trial, rolled back and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Version of the schema.
    pub version: u32,
    /// What imad-boot decided in this boot; absent where it did not come to that.
    pub boot: Option<TrialOutcome>,
    /// Candidates that were confirmed, newest first.
    pub confirmed: Vec<Confirmed>,
    /// SHA-256 of the policy whose copy is kept as the last confirmed one.
    pub last_policy: Option<Sum>,
    /// Login services that were active at the last confirmation.
    pub units: Vec<String>,
    /// Candidates with attempts that were not confirmed, newest first: fingerprint and count.
    pub attempts: Vec<(Sum, u32)>,
    /// What is not loaded any more.
    pub rolled_back: Option<RolledBack>,
    /// What else a person should know.
    pub problems: Vec<Problem>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn confirmed(number: u8) -> Confirmed {
        Confirmed { fingerprint: Sum([number; 32]), policy: Sum([number; 32]), kernel: "6.12".to_owned(), time_us: 5 }
    }

    #[test]
    fn is_json_that_a_person_can_read() {
        let mut state = State::new("0123".to_owned());
        state.confirm(confirmed(1));
        let text = String::from_utf8(state.to_bytes()).unwrap();
        assert!(text.contains(&format!("\"fingerprint\": \"{}\"", "01".repeat(32))), "{text}");
        assert!(text.ends_with("}\n"));
        let with_more = text.replacen('{', "{ \"of_tomorrow\": 1,", 1);
        assert_eq!(State::parse(with_more.as_bytes(), "0123"), Ok(state));
    }

    #[test]
    fn what_proves_nothing_here_counts_as_none() {
        let bytes = State::new("0123".to_owned()).to_bytes();
        assert_eq!(State::parse(&bytes, "4567"), Err(StateError::Foreign("0123".to_owned())));
        let newer = String::from_utf8(bytes.clone()).unwrap().replace("\"version\": 1", "\"version\": 2");
        assert_eq!(State::parse(newer.as_bytes(), "0123"), Err(StateError::Version(2)));
        for length in 0..bytes.len() - 1 {
            let cut = State::parse(&bytes[..length], "0123");
            assert!(matches!(cut, Err(StateError::Damaged(_))), "{length}: {cut:?}");
        }
    }

    #[test]
    fn the_last_eight_are_remembered() {
        let mut state = State::new(String::new());
        for number in 0..10 {
            state.confirm(confirmed(number));
        }
        state.confirm(confirmed(5));
        assert_eq!(state.confirmed.len(), KEPT);
        assert_eq!(state.confirmed[0], confirmed(5));
        assert!(state.is_confirmed(Sum([9; 32])) && !state.is_confirmed(Sum([1; 32])));
    }

    proptest! {
        #[test]
        fn is_read_as_it_was_written(id: String, numbers: Vec<u8>, units: Vec<String>, last in any::<Option<[u8; 32]>>()) {
            let mut state = State::new(id.clone());
            for number in numbers {
                state.confirm(confirmed(number));
            }
            (state.units, state.last_policy) = (units, last.map(Sum));
            prop_assert_eq!(State::parse(&state.to_bytes(), &id), Ok(state));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = State::parse(&bytes, "");
        }
    }
}

//! Trial boots: a policy that never carried this machine to a confirmed boot may fail only so often before it is not
//! loaded again.
//!
//! Two things are kept. The [`Attempts`], recorded before each load on trial, are small and of a fixed size, so that a
//! full disk or a firmware variable takes them. The [`State`] is written in the running system alone, when a boot is
//! confirmed.
#![forbid(unsafe_code)]

mod attempts;
pub mod denials;
pub mod login;
mod state;
mod sum;

pub use attempts::{Attempt, Attempts, RECORD_LEN, RecordError};
pub use state::{Confirmed, KEPT, PATH, RolledBack, State, StateError, TrialReport};
pub use sum::Sum;

/// What distinguishes one boot from another for its policy: when any of it changes, the next boot is on trial again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The policy file.
    pub policy: Sum,
    /// The certificates (DER) that the kernel took.
    pub certificates: Vec<Sum>,
    /// The boot-critical manifest's bytes; zeros where there is none. It changes with the boot-critical packages.
    pub manifest: Sum,
    /// `uname -r`.
    pub kernel: String,
}

impl Candidate {
    /// SHA-256 over the parts, each with its length before it; the certificates in order, each once, so that neither the
    /// names of their files nor copies of them make another candidate.
    pub fn fingerprint(&self) -> Sum {
        let mut bytes = b"imad trial 1".to_vec();
        let mut part = |content: &[u8]| {
            bytes.extend((content.len() as u64).to_le_bytes());
            bytes.extend(content);
        };
        part(&self.policy.0);
        let mut certificates = self.certificates.clone();
        certificates.sort_unstable();
        certificates.dedup();
        part(&certificates.iter().flat_map(|sum| sum.0).collect::<Vec<u8>>());
        part(&self.manifest.0);
        part(self.kernel.as_bytes());
        Sum::of(&bytes)
    }
}

/// What is to become of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It carried this machine to a confirmed boot: it is loaded.
    Confirmed,
    /// It is loaded on trial, once the attempt is recorded.
    Trial {
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// It is not loaded again.
    Exhausted {
        /// Attempts that were not confirmed.
        attempts: u32,
    },
}

/// Decides about a candidate in the boot with this id. An attempt that this very boot has made already, as when the
/// initramfs's emergency shell is left, is not counted twice.
pub fn decide(
    state: Option<&State>,
    attempts: Option<&Attempts>,
    candidate: &Candidate,
    limit: u32,
    boot_id: [u8; 16],
) -> Decision {
    let fingerprint = candidate.fingerprint();
    if state.is_some_and(|state| state.is_confirmed(fingerprint)) {
        return Decision::Confirmed;
    }
    let rolled_back = state.and_then(|state| state.rolled_back.as_ref());
    if let Some(rolled_back) = rolled_back.filter(|it| it.fingerprint == fingerprint && !it.acknowledged) {
        return Decision::Exhausted { attempts: rolled_back.attempts };
    }
    let made = attempts.and_then(|attempts| attempts.of(fingerprint));
    let earlier = made.map_or(0, |made| if made.is_of(boot_id) { made.count.saturating_sub(1) } else { made.count });
    if earlier >= limit { Decision::Exhausted { attempts: earlier } } else { Decision::Trial { attempt: earlier + 1 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(policy: u8) -> Candidate {
        Candidate {
            policy: Sum([policy; 32]),
            certificates: vec![Sum([1; 32]), Sum([2; 32])],
            manifest: Sum([3; 32]),
            kernel: "6.12.0".to_owned(),
        }
    }

    fn state() -> State {
        State::new("m".to_owned())
    }

    #[test]
    fn every_part_makes_another_fingerprint() {
        let one = candidate(0);
        let mut others = vec![candidate(1)];
        others.push(Candidate { certificates: vec![Sum([1; 32])], ..one.clone() });
        others.push(Candidate { manifest: Sum::ZERO, ..one.clone() });
        others.push(Candidate { kernel: "6.12.1".to_owned(), ..one.clone() });
        for other in others {
            assert_ne!(other.fingerprint(), one.fingerprint(), "{other:?}");
        }
        let again = Candidate { certificates: vec![Sum([2; 32]), Sum([1; 32]), Sum([2; 32])], ..one.clone() };
        assert_eq!(again.fingerprint(), one.fingerprint());
        // What is on disk of confirmed boots must stay valid: the format does not move by accident.
        assert_eq!(one.fingerprint().to_string(), "7d4040955225725284b654c85ebd2ffc49daaa89b31997ac0981df41061bc2c7");
    }

    #[test]
    fn boots_go_from_trial_to_confirmed() {
        let one = candidate(0);
        assert_eq!(decide(None, None, &one, 2, [1; 16]), Decision::Trial { attempt: 1 });
        let (first, count) = Attempts::default().with_attempt(one.fingerprint(), [1; 16]);
        assert_eq!(count, 1);
        // The same boot again, then the next ones.
        assert_eq!(decide(None, Some(&first), &one, 2, [1; 16]), Decision::Trial { attempt: 1 });
        assert_eq!(decide(None, Some(&first), &one, 2, [2; 16]), Decision::Trial { attempt: 2 });
        let mut confirmed = state();
        confirmed.confirm(Confirmed {
            fingerprint: one.fingerprint(),
            policy: one.policy,
            kernel: String::new(),
            time_us: 1,
        });
        assert_eq!(decide(Some(&confirmed), Some(&first), &one, 1, [3; 16]), Decision::Confirmed);
        // Another policy is on trial of its own.
        assert_eq!(decide(Some(&confirmed), Some(&first), &candidate(1), 2, [3; 16]), Decision::Trial { attempt: 1 });
    }

    #[test]
    fn what_was_never_confirmed_is_not_loaded_again() {
        let one = candidate(0);
        let (first, _) = Attempts::default().with_attempt(one.fingerprint(), [1; 16]);
        let (second, count) = first.with_attempt(one.fingerprint(), [2; 16]);
        assert_eq!(count, 2);
        assert_eq!(decide(None, Some(&second), &one, 2, [2; 16]), Decision::Trial { attempt: 2 });
        let exhausted = Decision::Exhausted { attempts: 2 };
        assert_eq!(decide(None, Some(&second), &one, 2, [3; 16]), exhausted);
        // Also when the attempts are lost, until somebody takes notice.
        let mut state = state();
        state.roll_back(RolledBack {
            fingerprint: one.fingerprint(),
            policy: one.policy,
            kernel: one.kernel.clone(),
            attempts: 2,
            why: String::new(),
            time_us: 1,
            acknowledged: false,
        });
        assert_eq!(decide(Some(&state), None, &one, 2, [3; 16]), exhausted);
        assert_eq!(state.acknowledge().map(|it| it.fingerprint), Some(one.fingerprint()));
        assert_eq!(decide(Some(&state), None, &one, 2, [3; 16]), Decision::Trial { attempt: 1 });
        assert_eq!(state.acknowledge(), None);
    }

    #[test]
    fn trials_of_others_do_not_forget_an_exhausted_one() {
        let one = candidate(0);
        let mut attempts = Attempts::default();
        for boot in [1, 2] {
            attempts = attempts.with_attempt(one.fingerprint(), [boot; 16]).0;
        }
        for (boot, other) in [(3, 1), (4, 2), (5, 1), (6, 3)] {
            attempts = attempts.with_attempt(candidate(other).fingerprint(), [boot; 16]).0;
            assert_eq!(decide(None, Some(&attempts), &one, 2, [9; 16]), Decision::Exhausted { attempts: 2 });
        }
        assert_eq!(decide(None, Some(&attempts), &candidate(1), 2, [9; 16]), Decision::Exhausted { attempts: 2 });
        assert_eq!(
            decide(None, Some(&attempts.without(one.fingerprint())), &one, 2, [9; 16]),
            Decision::Trial { attempt: 1 }
        );
    }
}

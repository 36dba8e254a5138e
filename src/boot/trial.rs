//! On trial or not: decided, and recorded, before the policy is loaded.
#![forbid(unsafe_code)]

use super::run::warn;
use crate::model::config::Config;
use crate::model::message_id;
use crate::model::report::{Problem, TrialDecision, TrialOutcome};
use crate::model::trial::{Attempts, Candidate, Decision, State, decide};
use crate::ops::trial;
use crate::sys::clock;
use crate::sys::root::Root;

/// What earlier boots say of a candidate. Where it is loaded on trial, the attempt is recorded on return, so that whatever
/// becomes of this boot the next one knows of it.
///
/// The policy is to be loaded where the decision is `confirmed` or `trial`; else, where `fallback` is set, the copy of the
/// last confirmed policy ([`trial::CONFIRMED_POLICY`]) in its place.
pub(super) fn begin(root: &Root, config: &Config, candidate: &Candidate) -> TrialOutcome {
    let limit = config.trial.attempts;
    let (state, attempts, problems) = trial::read(root);
    for problem in &problems {
        warn(message_id::TRIAL_STATE_UNREADABLE, problem);
    }
    let mut earlier = Earlier { root, limit, boot_id: clock::boot_id().unwrap_or_default(), state, attempts };
    let mut outcome = TrialOutcome {
        fingerprint: candidate.fingerprint().to_string(),
        policy: candidate.policy.to_string(),
        decision: TrialDecision::Confirmed,
        attempt: 0,
        limit,
        store: None,
        fallback: false,
        fallback_fingerprint: None,
        fallback_policy: None,
        problem: None,
        problems,
        confirmed: false,
        unconfirmed: Vec::new(),
    };
    match earlier.decide(candidate, &mut outcome) {
        Ok((decision, attempt)) => (outcome.decision, outcome.attempt) = (decision, attempt),
        Err(problem) => (outcome.decision, outcome.problem) = (TrialDecision::NoStore, Some(problem)),
    }
    match outcome.decision {
        TrialDecision::Confirmed => {}
        TrialDecision::Trial => tracing::info!(
            attempt = outcome.attempt,
            limit,
            "{} is loaded on trial, attempt {} of {limit}, recorded in {}",
            config.policy.path,
            outcome.attempt,
            outcome.store.as_deref().unwrap_or("no store"),
        ),
        TrialDecision::Exhausted | TrialDecision::NoStore => {
            earlier.fall_back(candidate, &mut outcome);
            explain(config, &mut outcome);
        }
    }
    outcome
}

/// What is known, and what may be decided by it.
struct Earlier<'a> {
    root: &'a Root,
    limit: u32,
    boot_id: [u8; 16],
    state: Option<State>,
    attempts: Option<Attempts>,
}

impl Earlier<'_> {
    /// Decides about one candidate and records its attempt. `Err`: it could not be recorded.
    fn decide(&mut self, candidate: &Candidate, outcome: &mut TrialOutcome) -> Result<(TrialDecision, u32), Problem> {
        match decide(self.state.as_ref(), self.attempts.as_ref(), candidate, self.limit, self.boot_id) {
            Decision::Confirmed => Ok((TrialDecision::Confirmed, 0)),
            Decision::Exhausted { attempts } => Ok((TrialDecision::Exhausted, attempts)),
            Decision::Trial { .. } => {
                let known = self.attempts.clone().unwrap_or_default();
                let (record, attempt) = known.with_attempt(candidate.fingerprint(), self.boot_id);
                let recorded = trial::record(self.root, &record)?;
                for problem in &recorded.problems {
                    warn(message_id::TRIAL_STATE_UNREADABLE, problem);
                }
                outcome.store = Some(recorded.store);
                outcome.problems.extend(recorded.problems);
                self.attempts = Some(record);
                Ok((TrialDecision::Trial, attempt))
            }
        }
    }

    /// Whether the last confirmed policy is to be loaded instead. With other certificates, another manifest or another
    /// kernel than it was confirmed with it is on trial itself: what failed may not have been the policy.
    fn fall_back(&mut self, candidate: &Candidate, outcome: &mut TrialOutcome) {
        let Some(policy) = trial::fallback(self.root, self.state.as_ref(), candidate.policy) else { return };
        let candidate = Candidate { policy, ..candidate.clone() };
        let decided = self.decide(&candidate, outcome);
        outcome.fallback = matches!(decided, Ok((TrialDecision::Confirmed | TrialDecision::Trial, _)));
        outcome.fallback_fingerprint = Some(candidate.fingerprint().to_string());
        outcome.fallback_policy = Some(policy.to_string());
    }
}

/// Why the policy is not loaded, and what is.
fn explain(config: &Config, outcome: &mut TrialOutcome) {
    let path = &config.policy.path;
    let instead = match (outcome.fallback, &outcome.fallback_policy) {
        (true, _) => "the last confirmed policy is loaded in its place",
        (false, Some(_)) => "the last confirmed policy is not loaded either",
        (false, None) => "there is no confirmed policy to load in its place",
    };
    let problem = match outcome.problem.take() {
        Some(no_store) => {
            Problem::new(format!("{path} is not loaded on trial: {}; {instead}", no_store.what), no_store.next)
        }
        None => Problem::new(
            format!("{path} is not loaded again: {} boots on trial were not confirmed; {instead}", outcome.attempt),
            "find out why (journalctl --list-boots; journalctl -b -1), mend it, then imactl trial acknowledge",
        ),
    };
    warn(message_id::TRIAL_NOT_LOADED, &problem);
    outcome.problem = Some(problem);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trial::Sum;
    use crate::ops::trial::Confirmation;

    const POLICY: &str = "/etc/ima/ima-policy";

    struct Place {
        folder: tempfile::TempDir,
        root: Root,
        config: Config,
    }

    impl Place {
        fn new() -> Self {
            // Beside the test program: /tmp may be in memory, which is no store.
            let program = std::env::current_exe().unwrap();
            let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
            for dir in ["etc/ima", "etc/imad/state"] {
                std::fs::create_dir_all(folder.path().join(dir)).unwrap();
            }
            let root = Root::open(folder.path()).unwrap();
            Self { folder, root, config: Config::default() }
        }

        /// A boot: what is decided about a policy with this content, and what is loaded.
        fn boot(&self, policy: &str) -> TrialOutcome {
            std::fs::write(self.folder.path().join("etc/ima/ima-policy"), policy).unwrap();
            let candidate = trial::candidate(&self.root, Sum::of(policy.as_bytes()), &[], "6.12").unwrap();
            let outcome = begin(&self.root, &self.config, &candidate);
            self.next_boot();
            outcome
        }

        /// Makes the last attempt one of an earlier boot, whose id is another.
        fn next_boot(&self) {
            let (_, attempts, _) = trial::read(&self.root);
            let Some(attempts) = attempts else { return };
            let Some(last) = attempts.all().first().filter(|last| last.is_of(clock::boot_id().unwrap())) else {
                return;
            };
            let mut before = attempts.without(last.fingerprint);
            for boot in 0..last.count {
                let id = u8::try_from(boot + 1).unwrap();
                before = before.with_attempt(last.fingerprint, [id; 16]).0;
            }
            trial::record(&self.root, &before).unwrap();
        }

        fn confirm(&self, outcome: &TrialOutcome) {
            let (fingerprint, policy) = match &outcome.fallback_fingerprint {
                Some(fingerprint) => (fingerprint, outcome.fallback_policy.as_ref().unwrap()),
                None => (&outcome.fingerprint, &outcome.policy),
            };
            let confirmation = Confirmation {
                fingerprint: Sum::parse(fingerprint).unwrap(),
                policy: Sum::parse(policy).unwrap(),
                policy_path: if outcome.fallback { trial::CONFIRMED_POLICY } else { POLICY }.to_owned(),
                kernel: "6.12".to_owned(),
                units: Vec::new(),
            };
            assert_eq!(trial::confirm(&self.root, &confirmation), []);
        }
    }

    #[test]
    fn a_policy_is_on_trial_until_it_is_confirmed() {
        let place = Place::new();
        let first = place.boot("one");
        assert_eq!((first.decision, first.attempt, first.limit), (TrialDecision::Trial, 1, 2), "{first:?}");
        assert!(first.store.as_ref().unwrap().starts_with("/etc/imad/state/attempts ("), "{first:?}");
        let second = place.boot("one");
        assert_eq!((second.decision, second.attempt), (TrialDecision::Trial, 2));
        place.confirm(&second);
        let third = place.boot("one");
        assert_eq!((third.decision, third.attempt, third.store), (TrialDecision::Confirmed, 0, None));
        // Another manifest: an update of boot-critical packages.
        std::fs::write(place.folder.path().join("etc/imad/state/manifest"), "x").unwrap();
        assert_eq!(place.boot("one").decision, TrialDecision::Trial);
    }

    #[test]
    fn after_the_last_attempt_none_or_the_last_confirmed_policy_is_loaded() {
        let place = Place::new();
        for _ in 0..2 {
            assert_eq!(place.boot("one").decision, TrialDecision::Trial);
        }
        let none = place.boot("one");
        assert_eq!((none.decision, none.attempt, none.fallback), (TrialDecision::Exhausted, 2, false));
        let why = none.problem.unwrap().what;
        assert!(why.contains("2 boots on trial were not confirmed; there is no confirmed policy to load"), "{why}");

        let good = place.boot("two");
        place.confirm(&good);
        // What failed before is not tried again, and what is confirmed now is loaded in its place.
        let instead = place.boot("one");
        assert_eq!((instead.decision, instead.fallback), (TrialDecision::Exhausted, true));
        assert_eq!(instead.fallback_policy, Some(Sum::of(b"two").to_string()));
        assert_eq!(instead.fallback_fingerprint, Some(good.fingerprint));
    }

    #[test]
    fn the_last_confirmed_policy_is_on_trial_itself_where_more_than_the_policy_changed() {
        let place = Place::new();
        let good = place.boot("two");
        place.confirm(&good);
        std::fs::write(place.folder.path().join("etc/imad/state/manifest"), "x").unwrap();
        for attempt in 1..=2 {
            assert_eq!(place.boot("one").attempt, attempt);
        }
        for _ in 0..2 {
            let instead = place.boot("one");
            assert_eq!((instead.decision, instead.fallback), (TrialDecision::Exhausted, true));
            assert!(instead.store.is_some(), "{instead:?}");
        }
        let none = place.boot("one");
        assert_eq!((none.decision, none.fallback), (TrialDecision::Exhausted, false));
        assert!(none.problem.unwrap().what.contains("the last confirmed policy is not loaded either"));
    }

    #[test]
    fn an_attempt_at_which_nothing_was_loaded_does_not_count() {
        let place = Place::new();
        std::fs::write(place.folder.path().join("etc/ima/ima-policy"), "one").unwrap();
        let candidate = trial::candidate(&place.root, Sum::of(b"one"), &[], "6.12").unwrap();
        for _ in 0..3 {
            assert_eq!(begin(&place.root, &place.config, &candidate).attempt, 1);
            assert_eq!(trial::withdraw(&place.root, candidate.fingerprint()), Ok(Vec::new()));
        }
        // That of another boot stays.
        place.boot("one");
        assert_eq!(trial::withdraw(&place.root, candidate.fingerprint()), Ok(Vec::new()));
        assert_eq!(place.boot("one").attempt, 2);
    }

    #[test]
    fn what_cannot_be_recorded_is_not_loaded_on_trial() {
        let place = Place::new();
        std::fs::create_dir(place.folder.path().join("etc/imad/state/attempts")).unwrap();
        let outcome = place.boot("one");
        assert_eq!((outcome.decision, outcome.store, outcome.fallback), (TrialDecision::NoStore, None, false));
        assert!(outcome.problem.unwrap().what.contains("/etc/imad/state/attempts: not a regular file"));
    }
}

//! Trial boots: what is recorded before a load, what is confirmed after the boot, and what a person is told.
#![forbid(unsafe_code)]

mod check;
mod confirmed_policy;
mod store;

use std::io;

use crate::model::report::{BootReport, Problem, TrialDecision, TrialOutcome, VERSION};
use crate::model::trial::{Attempts, Candidate, Confirmed, PATH, RolledBack, State, Sum, TrialReport};
use crate::model::{cert::Certificate, manifest};
use crate::sys::attempts::FOLDER;
use crate::sys::root::Root;
use crate::sys::{clock, state_dir};

pub use check::{Checked, check};
pub use confirmed_policy::{CONFIRMED_POLICY, fallback};
pub use store::{Recorded, forget, record};

/// No state is longer.
const LIMIT: u64 = 1 << 20;
const MACHINE_ID: &str = "/etc/machine-id";

/// What is known from earlier boots, and what could not be read. What is damaged or of another machine counts as none.
pub fn read(root: &Root) -> (Option<State>, Option<Attempts>, Vec<Problem>) {
    let (state, problem) = match state(root) {
        Ok(state) => (state, None),
        Err(problem) => (None, Some(problem)),
    };
    let (attempts, mut problems) = store::read(root);
    problems.extend(problem);
    (state, attempts, problems)
}

/// The trial state; `None` where there is none yet.
pub fn state(root: &Root) -> Result<Option<State>, Problem> {
    let bytes = match root.read(PATH, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Problem::new(format!("{PATH}: {error}"), format!("run it as root; ls -ld {PATH}"))),
    };
    State::parse(&bytes, &machine_id(root)?).map(Some).map_err(|error| {
        let next = format!("rm {PATH}; what it knew is found out anew by trial boots");
        Problem::new(format!("{PATH}: {error}; it counts as none"), next)
    })
}

/// The machine's id (machine-id(5)); empty where it has none yet.
fn machine_id(root: &Root) -> Result<String, Problem> {
    match root.read(MACHINE_ID, 4096) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Problem::new(format!("{MACHINE_ID}: {error}"), "systemd-machine-id-setup")),
    }
}

/// Writes the state, durably.
fn write_state(root: &Root, state: &State) -> Result<(), Problem> {
    state_dir::replace(root, PATH, &state.to_bytes()).map_err(|error| {
        Problem::new(format!("{PATH} cannot be written: {error}"), format!("df -h {FOLDER}; findmnt -T {FOLDER}"))
    })
}

/// The candidate that this policy is with these certificates, on this kernel, with the root's manifest.
pub fn candidate(root: &Root, policy: Sum, certificates: &[Certificate], kernel: &str) -> Result<Candidate, Problem> {
    let manifest = match root.read(manifest::PATH, manifest::LIMIT) {
        // A damaged one is another one.
        Ok(bytes) => Sum::of(&manifest::Manifest::parse(&bytes).map_or(bytes, |manifest| manifest.essence())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Sum::ZERO,
        Err(error) => {
            let path = manifest::PATH;
            return Err(Problem::new(format!("{path} cannot be read: {error}"), format!("ls -l {path}")));
        }
    };
    let certificates = certificates.iter().map(|certificate| Sum::of(certificate.der())).collect();
    Ok(Candidate { policy, certificates, manifest, kernel: kernel.to_owned() })
}

/// What a confirmed boot was made with.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// Fingerprint of what was loaded.
    pub fingerprint: Sum,
    /// SHA-256 of the policy that was loaded.
    pub policy: Sum,
    /// Where it was loaded from.
    pub policy_path: String,
    /// `uname -r`.
    pub kernel: String,
    /// Login services that are active.
    pub units: Vec<String>,
}

/// Writes down that this boot was confirmed: the state, the copy of its policy, the end of its attempts. Returns what
/// could not be done of it; the attempts end whatever else failed, since the boot did carry.
pub fn confirm(root: &Root, confirmation: &Confirmation) -> Vec<Problem> {
    let Confirmation { fingerprint, policy, policy_path, kernel, units } = confirmation;
    let (known, attempts, mut problems) = read(root);
    let state = known.map_or_else(|| machine_id(root).map(State::new), Ok);
    let confirmed =
        Confirmed { fingerprint: *fingerprint, policy: *policy, kernel: kernel.clone(), time_us: clock::wall_us() };
    let written = state.and_then(|mut state| {
        // The copy first: a state that names it is never without it.
        match confirmed_policy::keep(root, policy_path, *policy) {
            Ok(()) => state.last_policy = Some(*policy),
            Err(problem) => problems.push(problem),
        }
        state.units.clone_from(units);
        state.confirm(confirmed);
        write_state(root, &state)
    });
    problems.extend(written.err());
    if let Some(attempts) = attempts.filter(|attempts| attempts.of(*fingerprint).is_some()) {
        match record(root, &attempts.without(*fingerprint)) {
            Ok(recorded) => problems.extend(recorded.problems),
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

/// Takes this boot's attempt back, since nothing was loaded. Returns what else a person should know.
pub fn withdraw(root: &Root, fingerprint: Sum) -> Result<Vec<Problem>, Problem> {
    let (attempts, mut problems) = store::read(root);
    let boot_id = clock::boot_id().unwrap_or_default();
    if let Some(attempts) = attempts.filter(|it| it.of(fingerprint).is_some_and(|attempt| attempt.is_of(boot_id))) {
        problems.extend(record(root, &attempts.without_last(fingerprint))?.problems);
    }
    Ok(problems)
}

/// Writes down that a candidate is not loaded any more, as the initramfs found; true where that is news.
pub fn roll_back(root: &Root, outcome: &TrialOutcome, kernel: &str) -> Result<bool, Problem> {
    let (Some(fingerprint), Some(policy), Some(problem)) =
        (Sum::parse(&outcome.fingerprint), Sum::parse(&outcome.policy), &outcome.problem)
    else {
        return Err(Problem::new("imad-boot's report of the trial is not one", "cat /run/imad/boot.json"));
    };
    let mut state = match state(root) {
        Ok(Some(state)) => state,
        // What is damaged is replaced: the reason of this boot counts for more.
        Ok(None) | Err(_) => State::new(machine_id(root)?),
    };
    let rolled_back = RolledBack {
        fingerprint,
        policy,
        kernel: kernel.to_owned(),
        attempts: outcome.attempt,
        why: problem.what.clone(),
        time_us: clock::wall_us(),
        acknowledged: false,
    };
    if !state.roll_back(rolled_back) {
        return Ok(false);
    }
    write_state(root, &state).map(|()| true)
}

/// What was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Acknowledged {
    /// Version of the schema.
    pub version: u32,
    /// Fingerprints of what is tried again at the next boot; none where nothing was given up.
    pub given_up: Vec<Sum>,
    /// What else a person should know.
    pub problems: Vec<Problem>,
}

/// Takes notice of what was rolled back: it is tried again at the next boot, with all its attempts before it.
pub fn acknowledge(root: &Root, boot: Option<&BootReport>) -> Result<Acknowledged, Problem> {
    let known = state(root)?;
    let (attempts, problems) = store::read(root);
    let mut done = Acknowledged { version: VERSION, given_up: Vec::new(), problems };
    if let Some(mut state) = known
        && let Some(rolled_back) = state.acknowledge()
    {
        done.given_up.push(rolled_back.fingerprint);
        write_state(root, &state)?;
    }
    let Some(attempts) = attempts else { return Ok(done) };
    // The state does not have it where the running system never came to write it down.
    let exhausted = boot.and_then(exhausted).and_then(|outcome| Sum::parse(&outcome.fingerprint));
    if let Some(fingerprint) = exhausted.filter(|&it| !done.given_up.contains(&it) && attempts.of(it).is_some()) {
        done.given_up.push(fingerprint);
    }
    let left = done.given_up.iter().fold(attempts.clone(), |left, &fingerprint| left.without(fingerprint));
    if left.all() != attempts.all() {
        done.problems.extend(record(root, &left)?.problems);
    }
    Ok(done)
}

/// What imad-boot decided, where that was not to load the policy again.
pub fn exhausted(boot: &BootReport) -> Option<&TrialOutcome> {
    boot.trial.as_ref().filter(|outcome| outcome.decision == TrialDecision::Exhausted)
}

/// What `imactl status` is to name until somebody takes notice or the next boot is better.
pub fn problems(root: &Root, boot: Option<&BootReport>) -> Vec<Problem> {
    let (rolled_back, mut problems) = match state(root) {
        Ok(state) => (state.and_then(|state| state.rolled_back), Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    let outcome = boot.and_then(|boot| boot.trial.as_ref());
    let noticed = rolled_back.as_ref().is_some_and(|rolled_back| {
        rolled_back.acknowledged && outcome.is_some_and(|it| it.fingerprint == rolled_back.fingerprint.to_string())
    });
    problems.extend(rolled_back.iter().filter(|it| !it.acknowledged).map(RolledBack::problem));
    if let Some(outcome) = outcome {
        problems.extend(outcome.problem.iter().filter(|_| !noticed).cloned());
        problems.extend(outcome.problems.iter().chain(&outcome.unconfirmed).cloned());
    }
    problems
}

/// What is confirmed, on trial, rolled back and why.
pub fn status(root: &Root, boot: Option<&BootReport>) -> TrialReport {
    let (state, attempts, problems) = read(root);
    let attempts = attempts.as_ref().map_or(&[][..], Attempts::all);
    let mut report = TrialReport {
        version: VERSION,
        boot: boot.and_then(|boot| boot.trial.clone()),
        attempts: attempts.iter().map(|attempt| (attempt.fingerprint, attempt.count)).collect(),
        problems,
        ..TrialReport::default()
    };
    if let Some(State { confirmed, last_policy, units, rolled_back, .. }) = state {
        (report.confirmed, report.last_policy) = (confirmed, last_policy);
        (report.units, report.rolled_back) = (units, rolled_back);
    }
    report
}

#[cfg(test)]
mod tests;

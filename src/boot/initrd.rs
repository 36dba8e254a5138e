//! The steps in the initramfs.
#![forbid(unsafe_code)]

use std::path::Path;

use super::policy::Ready;
use super::run::{Run, warn};
use super::{certificates, guard, policy, rehearsal, trial};
use crate::model::boot_switches::Switches;
use crate::model::cert::Certificate;
use crate::model::config::{BootLoader, Config, Guard};
use crate::model::message_id;
use crate::model::report::{BootReport, KeyringKind, Outcome, PolicyOutcome, Problem, TrialDecision};
use crate::model::trial::Sum;
use crate::model::verify::Trust;
use crate::ops::trial::CONFIRMED_POLICY;
use crate::ops::{self, configuration, keys, policy_load};
use crate::sys::root::Root;
use crate::sys::{kernel, mount, securityfs};

/// The folder that PID 1 takes a policy from, and the file.
const PID1_DIR: &str = "/etc/ima";
const PID1_POLICY: &str = "/etc/ima/ima-policy";

/// Does all that is to be done before the switch to the real root. Whatever fails is in the report; the boot goes on.
pub(super) fn initrd(sysroot: &Path) -> BootReport {
    let mut run = Run::new();
    let root = match Root::open(sysroot) {
        Ok(root) => root,
        Err(error) => {
            let what = format!("no policy is loaded: {}: {error}", sysroot.display());
            let problem = Problem::new(what, "check root= on the kernel command line");
            warn(message_id::BOOT_POLICY_NOT_LOADED, &problem);
            run.report.problems.push(problem);
            return run.report;
        }
    };
    let config = run.step("configuration", |report| {
        let (config, problems) = configuration::load(&root);
        for problem in &problems {
            warn(message_id::CONFIGURATION_FAULT, problem);
        }
        let outcome = if problems.is_empty() { Outcome::Done } else { Outcome::Failed };
        report.problems.extend(problems);
        (outcome, config)
    });
    let switches = switches(&config, &mut run.report);
    let taken = run.step("keys", |report| certificates::load_keys(&root, &config, report));
    if let Some(request) = rehearsal::asked(&root, &switches, &mut run.report)
        && run.step("rehearsal", |report| rehearsal::begin(&root, &request, &config.policy.path, report))
    {
        run.step("hide", |report| (hide(&root, report), ()));
        return run.report;
    }
    let ready = run.step("policy", |report| {
        let policy = &mut report.policy;
        if switches.policy_off {
            config.policy.path.clone_into(&mut policy.path);
            policy.exists = root.exists(&policy.path);
            let what = "no policy is loaded: imad.policy=off is on the kernel command line";
            policy.problem = Some(Problem::new(what, "boot without imad.policy=off"));
            return (Outcome::Skipped, None);
        }
        match policy::check(&root, &config.policy.path, &config, taken.as_deref(), policy) {
            Ok(Some(ready)) => (Outcome::Done, Some(ready)),
            Ok(None) => (Outcome::Skipped, None),
            Err(problem) => {
                policy.problem = Some(problem);
                (Outcome::Failed, None)
            }
        }
    });
    let asked = Asked { root: &root, config: &config, guard: switches.guard, taken: taken.unwrap_or_default() };
    let ready = run.step("guard", |report| match ready {
        Some(ready) => asked.guard(ready, report),
        None => (Outcome::Skipped, None),
    });
    let by_systemd = config.boot.loader == BootLoader::Systemd && ready.is_some();
    let ready = run.step("trial", |report| match ready {
        Some(ready) if !by_systemd => asked.trial(ready, report),
        _ => (Outcome::Skipped, None),
    });
    run.step("load", |report| (load_policy(&root, ready.as_ref(), report), ()));
    if run.report.policy.loaded && run.report.keyring == KeyringKind::Untrusted {
        run.step("prime", |report| (prime(&root, report), ()));
    }
    run.step("hide", |report| (if by_systemd { Outcome::Skipped } else { hide(&root, report) }, ()));
    run.report.stopped =
        switches.guard == Guard::Closed && !run.report.policy.loaded && !switches.policy_off && !by_systemd;
    say(&run.report);
    run.report
}

/// What is asked about a policy before the load.
struct Asked<'a> {
    root: &'a Root,
    config: &'a Config,
    guard: Guard,
    taken: Vec<Certificate>,
}

impl Asked<'_> {
    /// Whether the boot comes through under it.
    fn guard(&self, ready: Ready, report: &mut BootReport) -> (Outcome, Option<Ready>) {
        if self.guard == Guard::Off {
            return (Outcome::Skipped, Some(ready));
        }
        let trust = Trust::new(self.taken.iter().cloned());
        let (outcome, verdict) = guard::ask(self.root, &ready, &trust);
        report.guard = Some(outcome);
        match verdict {
            Ok(()) => (Outcome::Done, Some(ready)),
            Err(problem) => {
                report.policy.problem = Some(problem);
                (Outcome::Failed, None)
            }
        }
    }

    /// What earlier boots say of it. Where they came to nothing, the last confirmed policy takes its place, after the same
    /// questions.
    fn trial(&self, ready: Ready, report: &mut BootReport) -> (Outcome, Option<Ready>) {
        let policy = Sum::of(&ready.bytes);
        let candidate = match ops::trial::candidate(self.root, policy, &self.taken, &report.kernel) {
            Ok(candidate) => candidate,
            Err(problem) => {
                report.policy.problem = Some(problem);
                return (Outcome::Failed, None);
            }
        };
        let outcome = trial::begin(self.root, self.config, &candidate);
        let (decision, fallback) = (outcome.decision, outcome.fallback);
        report.policy.problem.clone_from(&outcome.problem);
        report.trial = Some(outcome);
        match decision {
            TrialDecision::Confirmed | TrialDecision::Trial => (Outcome::Done, Some(ready)),
            TrialDecision::Exhausted | TrialDecision::NoStore if fallback => self.last_confirmed(report),
            TrialDecision::Exhausted | TrialDecision::NoStore => (Outcome::Failed, None),
        }
    }

    fn last_confirmed(&self, report: &mut BootReport) -> (Outcome, Option<Ready>) {
        let mut found = PolicyOutcome::default();
        match policy::check(self.root, CONFIRMED_POLICY, self.config, Some(&self.taken), &mut found) {
            Ok(Some(ready)) => {
                report.policy.rules = found.rules;
                self.guard(ready, report)
            }
            Ok(None) => (Outcome::Failed, None),
            Err(problem) => {
                warn(message_id::BOOT_POLICY_NOT_LOADED, &problem);
                report.problems.push(problem);
                (Outcome::Failed, None)
            }
        }
    }
}

/// What the command line says beside the configuration; words of it that are not heeded are told.
fn switches(config: &Config, report: &mut BootReport) -> Switches {
    let parameters = kernel::command_line().unwrap_or_default();
    let switches = Switches::new(&config.boot, &parameters);
    for (word, why) in &switches.unheeded {
        let what = format!("{word} on the kernel command line is not heeded: {why}");
        let problem = Problem::new(what, "man imad.toml");
        warn(message_id::CONFIGURATION_FAULT, &problem);
        report.problems.push(problem);
    }
    switches
}

fn load_policy(root: &Root, ready: Option<&Ready>, report: &mut BootReport) -> Outcome {
    let Some(Ready { path, outline, .. }) = ready else { return Outcome::Skipped };
    match policy_load::load(root, path, outline) {
        Ok(proof) => {
            report.policy.loaded = true;
            report.policy.verified_by = Some(proof);
            Outcome::Done
        }
        Err(why) => {
            let next = format!("mend {path} and reboot; this boot goes on without it");
            report.policy.problem = Some(Problem::new(why, next));
            Outcome::Failed
        }
    }
}

/// Has the kernel find `_ima`, which not every process can show it.
fn prime(root: &Root, report: &mut BootReport) -> Outcome {
    match keys::prime(root) {
        Ok(()) => Outcome::Done,
        Err(problem) => {
            warn(message_id::BOOT_NO_TRUSTED_KEYRING, &problem);
            report.problems.push(problem);
            Outcome::Failed
        }
    }
}

/// Keeps PID 1 from loading `/etc/ima/ima-policy`: a second time where it is loaded, at all where it is not, since PID 1
/// stops the machine for good when the kernel refuses it.
fn hide(root: &Root, report: &mut BootReport) -> Outcome {
    if !securityfs::has_ima() || !root.exists(PID1_POLICY) {
        return Outcome::Skipped;
    }
    match mount::hide(root, PID1_DIR) {
        Ok(hidden) => {
            report.policy.hidden = hidden;
            if hidden { Outcome::Done } else { Outcome::Skipped }
        }
        Err(error) => {
            let what =
                format!("{PID1_DIR} cannot be hidden from systemd, which will load {PID1_POLICY} again: {error}");
            let problem = Problem::new(what, "report it with the output of `journalctl -b -u imad-boot`");
            warn(message_id::BOOT_POLICY_NOT_HIDDEN, &problem);
            report.problems.push(problem);
            Outcome::Failed
        }
    }
}

/// The outcome in the journal, and on the console where it is not what it should be.
fn say(report: &BootReport) {
    let policy = &report.policy;
    // Why a policy is not loaded again was said when that was decided.
    let said = report.trial.as_ref().and_then(|trial| trial.problem.as_ref());
    match (&policy.problem, policy.loaded) {
        (Some(problem), _) if said == Some(problem) => {}
        (Some(problem), _) => warn(message_id::BOOT_POLICY_NOT_LOADED, problem),
        (None, true) => tracing::info!(
            message_id = message_id::BOOT_POLICY_LOADED,
            path = policy.path,
            sha256 = policy.sha256,
            "loaded {} ({} rules; {})",
            policy.path,
            policy.rules.unwrap_or(0),
            policy.verified_by.as_deref().unwrap_or("not verified"),
        ),
        (None, false) if policy.exists => {
            tracing::info!("{} is left to systemd (boot.loader = \"systemd\")", policy.path);
        }
        (None, false) => tracing::info!("there is no policy {}; nothing is appraised", policy.path),
    }
}

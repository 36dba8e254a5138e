//! After the boot: whether it is confirmed.
#![forbid(unsafe_code)]

use super::run::warn;
use crate::model::message_id;
use crate::model::rehearsal::RehearsalOutcome;
use crate::model::report::{BootReport, Problem, TrialDecision, TrialOutcome};
use crate::model::trial::Sum;
use crate::ops::rehearsal;
use crate::ops::status::boot_report;
use crate::ops::trial::{self, CONFIRMED_POLICY, Confirmation};
use crate::sys::root::Root;

/// What was loaded, and is to be confirmed.
struct Loaded {
    fingerprint: Sum,
    policy: Sum,
    path: String,
}

/// Checks the boot, and writes down whether it is confirmed. False where it is not; the report has the reasons.
pub(super) fn confirm() -> Result<(BootReport, bool), String> {
    let root = Root::running().map_err(|error| format!("/: {error}"))?;
    let report = boot_report(&root).map_err(|problem| problem.what)?;
    let mut report =
        report.ok_or("imad-boot did not run in the initramfs (dracut --force --regenerate-all, reboot)")?;
    if let Some(outcome) = report.rehearsal.clone() {
        rehearsed(&root, &report, &outcome);
        return Ok((report, true));
    }
    let Some(mut outcome) = report.trial.take() else {
        tracing::info!("no policy was asked for by imad-boot; there is nothing to confirm");
        return Ok((report, true));
    };
    if outcome.decision == TrialDecision::Exhausted {
        remember_rollback(&root, &mut outcome, &report.kernel);
    }
    let confirmed = if report.policy.loaded {
        report.trial = Some(outcome.clone());
        confirm_loaded(&root, &report, &mut outcome)
    } else {
        withdraw(&root, &mut outcome);
        tracing::info!("no policy was loaded by imad-boot; there is nothing to confirm");
        true
    };
    report.trial = Some(outcome);
    Ok((report, confirmed))
}

/// The report of a rehearsal; such a boot confirms nothing and is an attempt of nothing.
fn rehearsed(root: &Root, report: &BootReport, outcome: &RehearsalOutcome) {
    match rehearsal::report(root, report, outcome) {
        Ok(made) => {
            let next = if made.passes { "reboot; then imactl setup --policy" } else { "imactl rehearse" };
            tracing::info!(
                message_id = message_id::REHEARSAL_REPORT,
                what = made.summary,
                next,
                policy = made.policy,
                refused = made.refused_count,
                "{}",
                made.summary
            );
            for problem in &made.problems {
                tracing::info!("{}. Next: {}", problem.what, problem.next);
            }
        }
        Err(problem) => {
            let what = format!("the rehearsal comes to no report: {}", problem.what);
            warn(message_id::REHEARSAL_REPORT, &Problem::new(what, problem.next));
        }
    }
}

/// The reason why a policy is not loaded again outlives this boot.
fn remember_rollback(root: &Root, outcome: &mut TrialOutcome, kernel: &str) {
    if let Err(problem) = trial::roll_back(root, outcome, kernel) {
        warn(message_id::TRIAL_STATE_UNREADABLE, &problem);
        add(&mut outcome.problems, problem);
    }
}

/// An attempt at which nothing was loaded says nothing of the policy.
fn withdraw(root: &Root, outcome: &mut TrialOutcome) {
    let attempted = match outcome.decision {
        TrialDecision::Trial => Some(&outcome.fingerprint),
        _ if outcome.fallback => outcome.fallback_fingerprint.as_ref(),
        _ => None,
    };
    let Some(fingerprint) = attempted.and_then(|fingerprint| Sum::parse(fingerprint)) else { return };
    match trial::withdraw(root, fingerprint) {
        Ok(problems) => problems.into_iter().for_each(|problem| add(&mut outcome.problems, problem)),
        Err(problem) => {
            warn(message_id::TRIAL_STATE_UNREADABLE, &problem);
            add(&mut outcome.problems, problem);
        }
    }
}

fn confirm_loaded(root: &Root, report: &BootReport, outcome: &mut TrialOutcome) -> bool {
    outcome.unconfirmed.clear();
    let Some(loaded) = loaded(report, outcome) else {
        let problem = Problem::new("imad-boot's report does not say what was loaded", "cat /run/imad/boot.json");
        warn(message_id::TRIAL_NOT_CONFIRMED, &problem);
        outcome.unconfirmed.push(problem);
        return false;
    };
    let checked = trial::check(root, report, &loaded.path, loaded.policy);
    for note in &checked.notes {
        tracing::info!("{note}");
    }
    outcome.confirmed = checked.against.is_empty();
    if !outcome.confirmed {
        for problem in &checked.against {
            let what = format!("this boot is not confirmed: {}", problem.what);
            warn(message_id::TRIAL_NOT_CONFIRMED, &Problem::new(what, problem.next.clone()));
        }
        outcome.unconfirmed = checked.against;
        return false;
    }
    let problems = trial::confirm(
        root,
        &Confirmation {
            fingerprint: loaded.fingerprint,
            policy: loaded.policy,
            policy_path: loaded.path.clone(),
            kernel: report.kernel.clone(),
            units: checked.units,
        },
    );
    for problem in problems {
        warn(message_id::TRIAL_STATE_UNREADABLE, &problem);
        add(&mut outcome.problems, problem);
    }
    tracing::info!(
        message_id = message_id::TRIAL_CONFIRMED,
        path = loaded.path,
        fingerprint = loaded.fingerprint.to_string(),
        "this boot with {} is confirmed",
        loaded.path
    );
    true
}

/// The policy that imad-boot loaded: the one of the configuration, or the last confirmed one in its place.
fn loaded(report: &BootReport, outcome: &TrialOutcome) -> Option<Loaded> {
    let (fingerprint, policy, path) = if outcome.fallback {
        (outcome.fallback_fingerprint.as_ref()?, outcome.fallback_policy.as_ref()?, CONFIRMED_POLICY)
    } else {
        (&outcome.fingerprint, &outcome.policy, report.policy.path.as_str())
    };
    Some(Loaded { fingerprint: Sum::parse(fingerprint)?, policy: Sum::parse(policy)?, path: path.to_owned() })
}

/// Once, however often it is asked.
fn add(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

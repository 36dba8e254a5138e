//! `imactl trial`
#![forbid(unsafe_code)]

use std::fmt::Write;

use super::args::{Arguments, TrialVerb};
use super::exit::{Answer, Failure};
use super::render;
use super::target::open_root;
use crate::model::report::{BootReport, Problem, TrialDecision, TrialOutcome};
use crate::model::trial::{RolledBack, Sum, TrialReport};
use crate::ops::status::boot_report;
use crate::ops::trial::{self, Acknowledged};
use crate::sys::root::Root;

pub(super) fn run(arguments: &Arguments, verb: &TrialVerb) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let boot = boot(&root)?;
    match verb {
        TrialVerb::Status => {
            let report = trial::status(&root, boot.as_ref());
            if arguments.json { render::json(&report) } else { render::print(&status_text(&report)) }?;
            let given_up = report.rolled_back.is_some_and(|rolled_back| !rolled_back.acknowledged);
            Ok(if given_up || !report.problems.is_empty() { Answer::No } else { Answer::Yes })
        }
        TrialVerb::Acknowledge => {
            let done = trial::acknowledge(&root, boot.as_ref()).map_err(failure)?;
            if arguments.json { render::json(&done) } else { render::print(&acknowledged_text(&done)) }?;
            Ok(if done.given_up.is_empty() { Answer::No } else { Answer::Yes })
        }
    }
}

/// imad-boot's report; another root has none, since it did not boot.
fn boot(root: &Root) -> Result<Option<BootReport>, Failure> {
    if root.is_running() { boot_report(root).map_err(failure) } else { Ok(None) }
}

fn failure(problem: Problem) -> Failure {
    Failure::system(problem.what, problem.next)
}

fn short(sum: Sum) -> String {
    let digits = sum.to_string();
    format!("{}…", digits.get(..12).unwrap_or(&digits))
}

/// What was decided about the policy in this boot, and what came of it.
pub(super) fn outcome(outcome: &TrialOutcome) -> String {
    let TrialOutcome { attempt, limit, .. } = outcome;
    let store = outcome.store.as_ref().map_or_else(String::new, |store| format!(", recorded in {store}"));
    let decided = match outcome.decision {
        TrialDecision::Confirmed => "carried this machine before".to_owned(),
        TrialDecision::Trial => format!("on trial, attempt {attempt} of {limit}{store}"),
        TrialDecision::Exhausted => format!("given up after {attempt} boots that were not confirmed"),
        TrialDecision::NoStore => "not loaded: an attempt cannot be recorded".to_owned(),
    };
    let fallback = if outcome.fallback { "; the last confirmed policy is loaded in its place" } else { "" };
    let is_loaded = outcome.fallback || matches!(outcome.decision, TrialDecision::Confirmed | TrialDecision::Trial);
    let end = match (outcome.confirmed, outcome.unconfirmed.is_empty()) {
        _ if !is_loaded => "",
        (true, _) => "; this boot is confirmed",
        (false, true) => "; this boot is not confirmed yet",
        (false, false) => "; this boot is not confirmed",
    };
    format!("{decided}{fallback}{end}")
}

fn status_text(report: &TrialReport) -> String {
    let mut table = render::table();
    let this_boot = report.boot.as_ref().map_or_else(|| "imad-boot asked for no policy".to_owned(), outcome);
    table.add_row(["This boot", &this_boot]);
    for (number, confirmed) in report.confirmed.iter().enumerate() {
        let (policy, time) = (short(confirmed.policy), render::time(confirmed.time_us));
        let name = if number == 0 { "Confirmed" } else { "" };
        table.add_row([name, &format!("policy {policy} with kernel {}, last {time}", confirmed.kernel)]);
    }
    if let Some(policy) = report.last_policy {
        table.add_row(["Kept", &format!("policy {} in {}", short(policy), trial::CONFIRMED_POLICY)]);
    }
    for (number, (fingerprint, count)) in report.attempts.iter().enumerate() {
        let name = if number == 0 { "Unconfirmed" } else { "" };
        table.add_row([name, &format!("candidate {}: {count}", short(*fingerprint))]);
    }
    if let Some(rolled_back) = &report.rolled_back {
        let notice = if rolled_back.acknowledged { " (acknowledged)" } else { "" };
        let (policy, time) = (short(rolled_back.policy), render::time(rolled_back.time_us));
        let kernel = &rolled_back.kernel;
        table.add_row([
            "Given up",
            &format!("policy {policy} with kernel {kernel}, {time}{notice}: {}", rolled_back.why),
        ]);
    }
    let mut text = render::rows(&table);
    text.push('\n');
    let given_up = report.rolled_back.iter().filter(|it| !it.acknowledged).map(RolledBack::problem);
    let of_boot = report.boot.iter().flat_map(|outcome| outcome.unconfirmed.iter().chain(&outcome.problems)).cloned();
    let problems: Vec<Problem> = given_up.chain(of_boot).chain(report.problems.iter().cloned()).collect();
    if !problems.is_empty() {
        // Writing to a String cannot fail.
        write!(text, "\nProblems:\n{}", render::problems(&problems)).unwrap_or_default();
    }
    text
}

fn acknowledged_text(done: &Acknowledged) -> String {
    let text = match &done.given_up[..] {
        [] => "Nothing was given up.\n".to_owned(),
        [..] => "The policy is tried again at the next boot, with all its attempts before it.\n\
                 Next: mend what kept the boots from being confirmed, then reboot\n"
            .to_owned(),
    };
    text + &render::problems(&done.problems)
}

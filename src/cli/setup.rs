//! `imactl setup` and `imactl teardown`
#![forbid(unsafe_code)]

use super::args::{Arguments, Setup, Teardown};
use super::exit::{Answer, Failure};
use super::render;
use super::target::{open_root, who};
use crate::model::setup::{SetupReport, StepOutcome};
use crate::ops::labels::Progress;
use crate::ops::setup::{self as ops, Request};

pub(super) fn setup(arguments: &Arguments, verb: &Setup) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    root_only(verb.dry_run)?;
    let who = who("imactl setup");
    let report = ops::setup(
        &Request {
            root: &root,
            policy: &verb.policy,
            certificates: &verb.cert,
            dry_run: verb.dry_run,
            force: verb.force,
            now: false,
            who: &who,
        },
        &Progress::default(),
    );
    shown(arguments, &report)
}

pub(super) fn teardown(arguments: &Arguments, verb: &Teardown) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    root_only(verb.dry_run)?;
    let who = who("imactl teardown");
    let report = ops::teardown(&Request {
        root: &root,
        policy: "",
        certificates: &[],
        dry_run: verb.dry_run,
        force: false,
        now: false,
        who: &who,
    });
    shown(arguments, &report)
}

fn root_only(dry_run: bool) -> Result<(), Failure> {
    if dry_run || rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::system("only root can change what the next boot does", "run it as root, or with --dry-run"))
}

fn shown(arguments: &Arguments, report: &SetupReport) -> Result<Answer, Failure> {
    if arguments.json {
        render::json(report)?;
    } else {
        render::print(&text(report))?;
    }
    let refused = report.steps.iter().any(|step| matches!(step.outcome, StepOutcome::Refused | StepOutcome::Forced));
    Ok(if refused { Answer::No } else { Answer::Yes })
}

fn text(report: &SetupReport) -> String {
    let mut table = render::table();
    let mut problems = Vec::new();
    for step in &report.steps {
        let outcome = match step.outcome {
            StepOutcome::Already => "is so already",
            StepOutcome::Done => "done",
            StepOutcome::Would => "would be done",
            StepOutcome::Refused => "NO",
            StepOutcome::Forced => "NO, forced",
            StepOutcome::Skipped => "not done",
        };
        let time = if step.duration_us < 1_000_000 { String::new() } else { render::duration(step.duration_us) };
        table.add_row([step.name.as_str(), outcome, &time, &step.what]);
        problems.extend(step.problems.iter().cloned());
    }
    let dry = if report.dry_run { "Nothing was changed. " } else { "" };
    format!("{}\n{}{dry}{}", render::rows(&table), render::problems(&problems), report.next_reboot)
}

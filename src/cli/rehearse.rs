//! `imactl rehearse`
#![forbid(unsafe_code)]

use std::fmt::Write;

use super::args::{Arguments, Rehearse};
use super::exit::{Answer, Failure};
use super::next_boot::of_file;
use super::render;
use super::target::{open_root, who};
use crate::model::rehearsal::{Plan, RehearsalReport, RehearsalStatus, RehearsalWay, Request};
use crate::model::report::{BootReport, Problem, VERSION};
use crate::ops::rehearsal::{self as ops, Ask};
use crate::ops::status::boot_report;
use crate::sys::root::Root;

/// What `--json` prints of `--cancel`.
#[derive(serde::Serialize)]
struct Canceled {
    version: u32,
    canceled: Option<Request>,
}

pub(super) fn run(arguments: &Arguments, verb: &Rehearse) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    match &verb.policy {
        Some(policy) => arm(arguments, &root, policy, verb.dry_run),
        None if verb.cancel => cancel(arguments, &root),
        None => show(arguments, &root),
    }
}

fn failure(problem: Problem) -> Failure {
    Failure::system(problem.what, problem.next)
}

/// imad-boot's report; another root has none, since it did not boot.
fn boot(root: &Root) -> Result<Option<BootReport>, Failure> {
    if root.is_running() { boot_report(root).map_err(failure) } else { Ok(None) }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn root_only() -> Result<(), Failure> {
    if is_root() {
        return Ok(());
    }
    Err(Failure::system("only root can change what the next boot does", "run it as root, or with --dry-run"))
}

fn arm(arguments: &Arguments, root: &Root, policy: &str, dry_run: bool) -> Result<Answer, Failure> {
    if !dry_run {
        root_only()?;
    }
    let who = who("imactl rehearse");
    let plan = ops::arm(&Ask { root, policy, dry_run, who: &who })
        .map_err(|problem| Failure::input(problem.what, problem.next))?;
    if arguments.json { render::json(&plan) } else { render::print(&planned(&plan)) }?;
    Ok(Answer::Yes)
}

fn planned(plan: &Plan) -> String {
    let dry = if plan.dry_run { "Nothing was changed. " } else { "" };
    format!("{}{dry}{}", render::problems(&plan.problems), plan.next_reboot)
}

fn cancel(arguments: &Arguments, root: &Root) -> Result<Answer, Failure> {
    root_only()?;
    let canceled = ops::cancel(root, boot(root)?.as_ref()).map_err(failure)?;
    let text = match &canceled {
        Some(request) => format!("The next boot is no rehearsal of {} any more.", request.policy),
        None => "No rehearsal was armed.".to_owned(),
    };
    let answer = if canceled.is_some() { Answer::Yes } else { Answer::No };
    if arguments.json { render::json(&Canceled { version: VERSION, canceled }) } else { render::print(&text) }?;
    Ok(answer)
}

/// The last report; in a rehearsal, after looking at what was used until now.
fn show(arguments: &Arguments, root: &Root) -> Result<Answer, Failure> {
    let boot = boot(root)?;
    let now = boot.as_ref().and_then(|boot| Some((boot, boot.rehearsal.as_ref()?))).filter(|_| is_root());
    let made = now.map(|(boot, outcome)| ops::report(root, boot, outcome));
    let mut status = ops::status(root, boot.as_ref());
    match made {
        Some(Ok(report)) => status.report = Some(report),
        Some(Err(problem)) => status.problems.push(problem),
        None => {}
    }
    if arguments.json { render::json(&status) } else { render::print(&text(&status)) }?;
    Ok(if status.report.is_some_and(|report| report.passes) { Answer::Yes } else { Answer::No })
}

fn text(status: &RehearsalStatus) -> String {
    let mut text = String::new();
    if let Some(Request { policy, asked_time_us, who, .. }) = &status.armed {
        let when = render::time(*asked_time_us);
        write!(
            text,
            "The next boot is a rehearsal of {policy} (asked {when}, {who}).\nNext: reboot, or imactl rehearse --cancel\n\n"
        )
        .unwrap_or_default();
    }
    match &status.report {
        Some(report) => text.push_str(&reported(report)),
        None if status.armed.is_some() => {}
        None => text.push_str("No rehearsal has come to a report here.\nNext: imactl rehearse --policy NAME\n"),
    }
    if !status.problems.is_empty() {
        write!(text, "\nProblems:\n{}", render::problems(&status.problems)).unwrap_or_default();
    }
    text
}

fn reported(report: &RehearsalReport) -> String {
    let how = match report.way {
        RehearsalWay::Log => "the kernel's log mode",
        RehearsalWay::Measure => "what the kernel measured",
        RehearsalWay::Nothing => "what units and programs name",
    };
    let made = render::time(report.made_time_us);
    let mut text = format!(
        "{}\nBy {how}, with kernel {}, {made} (in {}).\n",
        render::bold(&report.summary),
        report.kernel,
        render::duration(report.duration_us)
    );
    if report.passes {
        text.push_str("Next: reboot; then imactl setup --policy\n");
    } else {
        text.push_str("\nTo mend:\n");
    }
    for denied in &report.refused {
        text.push_str(&of_file(&denied.file));
        if !denied.used {
            text.push_str("  Not used in that boot.\n");
        }
    }
    let more = report.refused_count.saturating_sub(report.refused.len() as u64);
    if more > 0 {
        writeln!(text, "({more} more denied files are not listed)").unwrap_or_default();
    }
    if !report.problems.is_empty() {
        write!(text, "\nWhat keeps this from being complete:\n{}", render::problems(&report.problems))
            .unwrap_or_default();
    }
    text
}

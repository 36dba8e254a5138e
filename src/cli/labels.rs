//! `imactl labels`
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::time::Duration;

use super::args::{Arguments, LabelsHistory, LabelsRevert, LabelsVerb};
use super::exit::{Answer, Failure};
use super::render;
use super::target::{Target, absolute, failure, open_root};
use crate::model::journal::report::{History, HistoryEntry, JobReport, Reverted};
use crate::model::report::Exitrd;
use crate::ops::revert::RevertError;
use crate::ops::{exitrd, history, revert};

/// How long a run that writes labels is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(arguments: &Arguments, verb: &LabelsVerb) -> Result<Answer, Failure> {
    match verb {
        LabelsVerb::History(verb) => show(arguments, verb),
        LabelsVerb::Revert(verb) => put_back(arguments, verb),
        LabelsVerb::Exitrd => prepare_exitrd(arguments),
    }
}

fn show(arguments: &Arguments, verb: &LabelsHistory) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let history = match &verb.path {
        Some(path) => history::of_file(&root, &absolute(&root, path)?),
        None => history::jobs(&root),
    };
    let history = history.map_err(|error| Failure::system(error.to_string(), error.next_step()))?;
    if arguments.json { render::json(&history) } else { render::print(&history_text(&history)) }?;
    Ok(if history.changes.is_empty() && history.jobs.is_empty() { Answer::No } else { Answer::Yes })
}

fn history_text(history: &History) -> String {
    let mut text = String::new();
    for job in &history.jobs {
        job_text(&mut text, job);
    }
    for change in &history.changes {
        change_text(&mut text, change);
    }
    if text.is_empty() {
        let of = history.path.as_ref().map_or_else(String::new, |path| format!(" of {path}"));
        text = format!("The label journal knows no change{of}.\n");
    }
    text + &render::problems(&history.problems)
}

// Writing to a String cannot fail, here and below.
fn job_text(text: &mut String, report: &JobReport) {
    let JobReport { job, begin_time_us, end, who, selection, reverts, written, not_written, unknown, .. } = report;
    let mut counts = format!("{written} written");
    if *not_written > 0 {
        write!(counts, ", {not_written} not written").unwrap_or_default();
    }
    if *unknown > 0 {
        write!(counts, ", {unknown} not known").unwrap_or_default();
    }
    let end = end.as_deref().unwrap_or("not ended");
    let reverts = reverts.map_or_else(String::new, |job| format!(", puts back job {job}"));
    writeln!(text, "{job}  {}  {end}{reverts}: {counts}\n    {who}: {selection}", render::time(*begin_time_us))
        .unwrap_or_default();
}

fn change_text(text: &mut String, change: &HistoryEntry) {
    let none = || "no label".to_owned();
    let time = change.begin_time_us.map_or_else(|| "an unknown time".to_owned(), render::time);
    let (from, to) = (change.from.clone().unwrap_or_else(none), change.to.clone().unwrap_or_else(none));
    let state = match change.state.as_str() {
        "written" => String::new(),
        "not-written" => " (not written)".to_owned(),
        _ => " (not known whether it was written)".to_owned(),
    };
    let reverts = change.reverts.map_or_else(String::new, |job| format!(", puts back job {job}"));
    let who = change.who.as_deref().unwrap_or("the journal does not reach back to its beginning");
    writeln!(text, "job {}  {time}  {}: {from} → {to}{state}\n    {who}{reverts}", change.job, change.path)
        .unwrap_or_default();
}

fn put_back(arguments: &Arguments, verb: &LabelsRevert) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let who = format!("imactl labels revert by uid {}", nix::unistd::getuid());
    let request = revert::Request { root: &root, job: verb.job, dry_run: verb.dry_run, who, patience: PATIENCE };
    let report = revert::run(&request).map_err(|error| match error {
        RevertError::NoSuchJob(..) => Failure::input(error.to_string(), error.next_step()),
        _ => Failure::system(error.to_string(), error.next_step()),
    })?;
    if arguments.json { render::json(&report) } else { render::print(&reverted_text(&report)) }?;
    Ok(if report.left == 0 && report.problems.is_empty() { Answer::Yes } else { Answer::No })
}

fn reverted_text(report: &Reverted) -> String {
    let mut text = String::new();
    for file in &report.files {
        let verb = match (file.reverted, report.dry_run) {
            (true, true) => "would get back",
            (true, false) => "has again",
            (false, _) => "left",
        };
        writeln!(text, "{}: {verb}: {}", file.path, file.reason).unwrap_or_default();
        if !file.next.is_empty() {
            writeln!(text, "    Next: {}", file.next).unwrap_or_default();
        }
    }
    text.push_str(&render::problems(&report.problems));
    let by = report.by_job.map_or_else(String::new, |job| format!(" (job {job})"));
    let put_back = if report.dry_run { "would be put back" } else { "put back" };
    writeln!(text, "{} labels {put_back}{by}, {} files left", report.reverted, report.left).unwrap_or_default();
    if report.by_job.is_some() {
        text.push_str("Next: imactl check (what would be denied now)\n");
    }
    text
}

fn prepare_exitrd(arguments: &Arguments) -> Result<Answer, Failure> {
    let target = Target::open(arguments)?;
    let report = exitrd::prepare(&target.root, &target.config, &target.keys.trust).map_err(|error| failure(&error))?;
    if arguments.json { render::json(&report) } else { render::print(&exitrd_text(&report)) }?;
    Ok(if report.unpacked && !report.kept { Answer::No } else { Answer::Yes })
}

fn exitrd_text(report: &Exitrd) -> String {
    let Exitrd { unpacked, files, labelled, kept, problems, .. } = report;
    if !unpacked {
        return format!("Nothing is unpacked in {}.\n", exitrd::FOLDER);
    }
    let end = if *kept {
        "systemd ends the system by it"
    } else {
        "the policy would deny it, so systemd ends the system by itself"
    };
    format!(
        "{}: {labelled} of {files} programs and libraries labelled; {end}.\n{}",
        exitrd::FOLDER,
        render::problems(problems)
    )
}

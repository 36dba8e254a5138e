//! `imactl relabel`
#![forbid(unsafe_code)]

use super::args::{Arguments, Relabel};
use super::exit::{Answer, Failure};
use super::target::{Target, failure, open_root, selection, who};
use super::{client, progress, render};
use crate::bus::request::How;
use crate::model::report::LabelReport;
use crate::ops::labels::Request;

pub(super) fn run(arguments: &Arguments, verb: &Relabel) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let selection = selection(&root, &verb.paths, &verb.package)?;
    let from_daemon = if root.is_running() {
        client::relabel(&selection, How { write: !verb.dry_run, full: verb.full })?
    } else {
        None
    };
    let report = if let Some(report) = from_daemon {
        report
    } else {
        let target = Target::open(arguments)?;
        let who = who("imactl relabel");
        let request = target.request(&selection, (!verb.dry_run).then_some(&who));
        progress::run(&Request { full: verb.full, ..request }).map_err(|error| failure(&error))?
    };
    if arguments.json { render::json(&report) } else { render::label_report(&report) }?;
    Ok(answer(&report))
}

/// Yes, if no file is left that a rule which demands a signature would deny.
pub(super) fn answer(report: &LabelReport) -> Answer {
    let denied = report.counts.by_state.iter().any(|(state, count)| state.is_denied() && *count > 0);
    if denied || !report.problems.is_empty() { Answer::No } else { Answer::Yes }
}

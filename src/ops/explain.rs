//! "What is with this file?": state, reason, next step.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;

use super::labels::{self, Progress, Request, RunError, Selection};
use crate::model::config::Labels;
use crate::model::explain::next_step;
use crate::model::report::{FileReport, Problem};
use crate::model::verify::Trust;
use crate::sys::root::Root;

/// A file's report, and what kept it from being complete: without a package database the file is judged all the same.
pub fn explain(root: &Root, rules: &Labels, trust: &Trust, path: &str) -> Result<(FileReport, Vec<Problem>), RunError> {
    let bytes = path.as_bytes();
    let selection = Selection::Paths(vec![bytes.to_vec()]);
    let request = Request { root, rules, trust, selection: &selection, write: None, full: true };
    let progress = Progress::default();
    match labels::run(&request, &progress) {
        Ok(report) => {
            debug_assert!(!progress.cancel.load(Ordering::Relaxed));
            if let Some(file) = report.files.into_iter().next() {
                return Ok((file, report.problems));
            }
            Ok((unowned(&request, path), report.problems))
        }
        Err(RunError::Database(error)) => {
            let problem = Problem::new(format!("{error}; which package owns a file is not known"), error.next_step());
            Ok((unowned(&request, path), vec![problem]))
        }
        Err(error) => Err(error),
    }
}

/// The report of a file without regard to packages.
pub(super) fn unowned(request: &Request<'_>, path: &str) -> FileReport {
    let done = labels::judge_file(request, path.as_bytes());
    FileReport {
        path: path.to_owned(),
        state: done.judged.state,
        next: next_step(path, &done.judged, None),
        key_id: done.judged.key_id.map(|id| id.to_string()),
        reason: done.judged.reason,
        package: None,
        written: false,
    }
}

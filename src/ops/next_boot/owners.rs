//! What is with the files that are refused: their packages, the state of their labels, the step that mends them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::model::config::Config;
use crate::model::explain::quote;
use crate::model::next_boot::RefusedFile;
use crate::model::report::FileReport;
use crate::model::verify::Trust;
use crate::ops::explain::unowned as without_package;
use crate::ops::guard::Refused;
use crate::ops::labels::{self, Progress, Request, Selection};
use crate::sys::file::OpenFile;
use crate::sys::root::Root;

/// A refused file, of which no more is known yet.
pub(in crate::ops) fn unowned(refused: &Refused) -> RefusedFile {
    RefusedFile {
        path: String::from_utf8_lossy(&refused.path).into_owned(),
        why: refused.why.clone(),
        label: None,
        package: None,
        rule: refused.rule.clone(),
        next: "exempt its file system in the policy: imactl policy check".to_owned(),
        needed_for: None,
        core: refused.core,
        needed: refused.needed,
    }
}

/// Fills in the rest, of all refused files at once.
pub(in crate::ops) fn name<'f>(
    root: &Root,
    config: &Config,
    trust: &Trust,
    refused: impl Iterator<Item = &'f mut RefusedFile>,
) {
    let mut files: Vec<_> = refused.collect();
    let refused = files.iter().map(|file| file.path.as_str());
    // Places are folders, or words.
    let is_file = |path: &str| path.starts_with('/') && OpenFile::open(root, path.as_bytes()).is_ok();
    let mut paths: Vec<String> = refused.filter(|path| is_file(path)).map(str::to_owned).collect();
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return;
    }
    let selection = Selection::Paths(paths.iter().map(|path| path.clone().into_bytes()).collect());
    let request = Request { root, rules: &config.labels, trust, selection: &selection, write: None, full: true };
    // Without a package database the files are judged all the same, and their packages are not named.
    let run = labels::run(&request, &Progress::default());
    let reports = run.map(|report| report.files).unwrap_or_default();
    let mut of_path: BTreeMap<String, FileReport> =
        reports.into_iter().map(|report| (report.path.clone(), report)).collect();
    for path in paths {
        let entry = of_path.entry(path.clone());
        entry.or_insert_with(|| without_package(&request, &path));
    }
    for file in &mut files {
        let Some(report) = of_path.get(&file.path) else { continue };
        file.label = Some(format!("{}: {}", report.state, report.reason));
        file.package.clone_from(&report.package);
        // A label that is good and refused all the same: the rule wants something else.
        let explain = || format!("imactl explain {}", quote(&file.path));
        file.next = if report.next.is_empty() { explain() } else { report.next.clone() };
    }
}

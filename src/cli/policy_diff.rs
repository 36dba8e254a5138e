//! `imactl policy diff`
#![forbid(unsafe_code)]

use std::path::Path;

use super::args::{Arguments, PolicyDiff};
use super::exit::{Answer, Failure};
use super::progress::Bar;
use super::target::{Target, failure};
use super::{render, rules};
use crate::model::policy::profile::KernelProfile;
use crate::model::policy::steps::Actors;
use crate::model::prediction::{DiffReport, FileDiff, RuleReference};
use crate::ops::in_force::{self, InForce};
use crate::ops::policy_diff::{Comparison, diff};

/// The word for the rules in force.
const ACTIVE: &str = "active";
/// Lines of a table; `--json` has all.
const SHOWN: usize = 40;

pub(super) fn run(arguments: &Arguments, verb: &PolicyDiff) -> Result<Answer, Failure> {
    let target = Target::open(arguments)?;
    let (profile, unsure) = rules::profile(&target);
    let before = side(&target, &verb.before, &profile)?;
    let after = side(&target, &verb.after, &profile)?;
    let actors = Actors::of_user(verb.uid, verb.uid, None, None, profile.creds_check_sees_new_ids);
    let comparison = Comparison {
        root: &target.root,
        trust: &target.keys.trust,
        kernel: &profile.verdicts,
        before: &before,
        after: &after,
        actors: &actors,
    };
    let bar = Bar::new();
    let mut report = diff(&comparison, |done, total| bar.show(done, total, 0)).map_err(|error| failure(&error))?;
    drop(bar);
    report.problems.extend(unsure);
    if arguments.json { render::json(&report) } else { show(&report) }?;
    Ok(if report.denied > 0 { Answer::No } else { Answer::Yes })
}

fn side(target: &Target, name: &Path, profile: &KernelProfile) -> Result<InForce, Failure> {
    if name == Path::new(ACTIVE) {
        return in_force::of_root(&target.root, &target.config, profile)
            .map_err(|problem| Failure::system(problem.what, problem.next));
    }
    rules::named(target, name, profile)
}

fn show(report: &DiffReport) -> Result<(), Failure> {
    let mut table = render::table();
    for file in report.files.iter().take(SHOWN) {
        let verdict = if file.after.allowed { "allowed" } else { "denied" };
        table.add_row([verdict, &file.way, &file.path, &file.package, &place(file)]);
    }
    let rows = if report.files.is_empty() { String::new() } else { format!("{}\n", render::rows(&table)) };
    let more = report.files.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("… and {more} more (--json has them all)\n") } else { String::new() };
    let DiffReport { before, after, compared, denied, allowed, .. } = report;
    render::print(&format!(
        "Before: {before}\nAfter:  {after}\n{rows}{more}Of {compared} packaged files {denied} uses become denied, \
         {allowed} become allowed.\n{}",
        render::problems(&report.problems)
    ))
}

/// The rule that makes the difference: the one that denies, now or before.
fn place(file: &FileDiff) -> String {
    let rule = if file.after.allowed { &file.before.rule } else { &file.after.rule };
    rule.as_ref().map(RuleReference::place).unwrap_or_default()
}

//! What another policy would change on this system: the packaged files that become denied or allowed.
#![forbid(unsafe_code)]

use super::facts::{self, Look};
use super::in_force::InForce;
use super::labels::RunError;
use super::predict::{rule, seen_name, usual_way};
use crate::model::policy::decide::Class;
use crate::model::policy::effective::Effective;
use crate::model::policy::event::{Event, File};
use crate::model::policy::inode::Inode;
use crate::model::policy::steps::{Actors, Way, of_way};
use crate::model::policy::verdict::{Verdict, VerdictProfile, judge};
use crate::model::prediction::{DiffReport, FileDiff, Side, cause_in_words};
use crate::model::report::{Problem, VERSION};
use crate::model::rpm::Package;
use crate::model::verify::Trust;
use crate::sys::file::OpenError;
use crate::sys::root::Root;
use crate::sys::rpmdb::Database;

/// Two sets of rules, and what they are compared on.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The root whose packaged files are looked at.
    pub root: &'a Root,
    /// Which labels are good.
    pub trust: &'a Trust,
    /// What the kernel's configuration makes of verdicts.
    pub kernel: &'a VerdictProfile,
    /// The rules now.
    pub before: &'a InForce,
    /// The rules then.
    pub after: &'a InForce,
    /// Who uses the files.
    pub actors: &'a Actors,
}

/// Compares. Each file is looked at as what it is for (executed, mapped, loaded), read, and written. Only files that the
/// rules treat otherwise are hashed. `progress` is told how many files are done, and of how many.
pub fn diff(comparison: &Comparison<'_>, mut progress: impl FnMut(u64, u64)) -> Result<DiffReport, RunError> {
    let database = Database::open(comparison.root)?;
    let numbers = database.numbers()?;
    let mut report = DiffReport {
        version: VERSION,
        before: comparison.before.source.clone(),
        after: comparison.after.source.clone(),
        compared: 0,
        denied: 0,
        allowed: 0,
        files: Vec::new(),
        problems: [comparison.before.problems.clone(), comparison.after.problems.clone()].concat(),
    };
    for (done, &number) in (0..).zip(&numbers) {
        progress(done, numbers.len() as u64);
        // A package that went away since its number was read has no files to compare.
        let Some(blob) = database.header(number)? else { continue };
        match Package::parse(&blob) {
            Ok(package) => {
                for file in package.files.iter().filter(|file| file.is_regular() && file.is_installed()) {
                    one(comparison, &file.path, &package.name, &mut report);
                }
            }
            Err(error) => {
                let what = format!("{}: header {number}: {error}", database.path());
                report.problems.push(Problem::new(what, "rpmdb --verifydb; rpmdb --rebuilddb"));
            }
        }
    }
    report.files.sort_by(|a, b| (&a.path, &a.way).cmp(&(&b.path, &b.way)));
    Ok(report)
}

fn one(comparison: &Comparison<'_>, path: &[u8], package: &str, report: &mut DiffReport) {
    let name = || String::from_utf8_lossy(path).into_owned();
    let look = match facts::look(comparison.root, path) {
        Ok(look) => look,
        // Packages own what is not there: documentation left out, files behind links.
        Err(OpenError::Absent | OpenError::NotRegular) => return,
        Err(error) => {
            report.problems.push(Problem::new(format!("{}: {error}", name()), "run it as root"));
            return;
        }
    };
    report.compared += 1;
    let usual = usual_way(look.is_executable(), path);
    let mut ways = vec![usual, Way::Read, Way::Write];
    ways.dedup();
    ways.retain(|&way| is_treated_otherwise(comparison, way, &look));
    if ways.is_empty() {
        return;
    }
    let facts = match look.verify(comparison.trust, comparison.kernel) {
        Ok(facts) => facts,
        Err(error) => {
            report.problems.push(Problem::new(format!("{}: {error}", name()), "run it as root"));
            return;
        }
    };
    for way in ways {
        let before = side(comparison, &comparison.before.rules, way, &facts.file);
        let after = side(comparison, &comparison.after.rules, way, &facts.file);
        if before.allowed == after.allowed {
            continue;
        }
        *if after.allowed { &mut report.allowed } else { &mut report.denied } += 1;
        let (path, way, package) = (name(), way.name().to_owned(), package.to_owned());
        report.files.push(FileDiff { path, package, way, before, after });
    }
}

/// Whether the rules of both sides could come to different verdicts.
fn is_treated_otherwise(comparison: &Comparison<'_>, way: Way, look: &Look) -> bool {
    let (before, after) = (&comparison.before.rules, &comparison.after.rules);
    let treats = |rules: &Effective, event: &Event<'_>| {
        let decision = rules.decide(event, look.target());
        (decision.acting(Class::Appraise).is_some(), decision.flags, decision.slot, decision.algos(rules))
    };
    before.appraisal() != after.appraisal()
        || of_way(way, comparison.actors).iter().any(|event| treats(before, event) != treats(after, event))
}

fn side(comparison: &Comparison<'_>, rules: &Effective, way: Way, file: &File) -> Side {
    let mut inode = Inode::default();
    let mut last: Option<Verdict> = None;
    for event in of_way(way, comparison.actors) {
        let verdict = judge(comparison.kernel, rules, &event, file, &mut inode);
        let is_over = !verdict.allowed;
        let decides = verdict.decision.decided(Class::Appraise).is_some();
        if is_over || decides || last.is_none() {
            last = Some(verdict);
        }
        if is_over {
            break;
        }
    }
    let decided = last.as_ref().and_then(|verdict| verdict.decision.decided(Class::Appraise));
    Side {
        allowed: last.as_ref().is_none_or(|verdict| verdict.allowed),
        seen: last.as_ref().and_then(|verdict| verdict.seen).map(|seen| seen_name(seen).to_owned()),
        why: last.as_ref().and_then(|verdict| verdict.cause).map(|cause| cause_in_words(cause).to_owned()),
        rule: decided.and_then(|decided| rule(rules, decided.rule)),
    }
}

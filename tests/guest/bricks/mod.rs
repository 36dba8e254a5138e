//! The brick campaign: sabotages of a machine that boots under an enforcing policy, and whether it still comes to a login,
//! stays protected where that is safe, and names the cause.
//!
//! A case begins with a copy of one machine that was booted, armed and confirmed (`prove`). Its sabotage is done to the running
//! system or to the machine, the power goes, and the machine is switched on until there is a login (`run`). What is expected
//! is part of the case ([`case`], `cases_*`); what was seen is kept in a file for each case (`result`), from which the
//! report is written (`report`).
//!
//! `make campaign` runs what has no result yet, or a failed one, or one of other sources. `IMAD_CASES=a,b` names the cases
//! to run, whatever results there are; `IMAD_CAMPAIGN` is the folder of the results (`target/campaign`).
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the check and the campaign each use a part of it")]

mod case;
mod cases_boots;
mod cases_imad;
mod cases_kernels;
mod cases_keys;
mod cases_labels;
mod cases_packages;
mod cases_policy;
mod cases_storage;
mod deeds;
mod prove;
mod report;
mod result;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use case::Case;
pub(crate) use case::Kind;
use result::{CaseResult, Sources};
use run::On;

/// Every case, in the order of the report.
fn cases() -> Vec<Case> {
    [
        cases_policy::cases(),
        cases_keys::cases(),
        cases_labels::cases(),
        cases_packages::cases(),
        cases_storage::cases(),
        cases_boots::cases(),
        cases_kernels::cases(),
        cases_imad::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs the cases of a kind that belong to every check.
#[track_caller]
pub(crate) fn check(kind: Kind) {
    let mut run = 0;
    for case in cases().iter().filter(|case| case.ci && case.kind == kind) {
        let seen = run::run(case, On::Imad);
        if let Err(why) = seen.verdict(&case.expected) {
            panic!("{}: {why}\n{seen:#?}", case.name);
        }
        run += 1;
    }
    assert_ne!(run, 0, "no case of {kind:?} belongs to every check");
}

/// Does every sabotage to a running machine, without a boot: minutes that save the hours after which a campaign would tell
/// that one could not be done at all.
pub(crate) fn rehearse() {
    let mut failed = Vec::new();
    for case in cases() {
        if let Err(why) = run::rehearse(&case) {
            println!("{}: {why}", case.name);
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "{} sabotages cannot be done: {}", failed.len(), failed.join(", "));
}

/// Runs all cases that have no result that holds, keeps what they show, and writes the report. A case that did not pass
/// is told at the end, after all others had their turn.
pub(crate) fn campaign() {
    let (cases, sources, folder) = (cases(), Sources::now(), result::folder());
    let named = std::env::var("IMAD_CASES").ok();
    let named: Option<Vec<&str>> = named.as_deref().map(|names| names.split(',').collect());
    for name in named.iter().flatten() {
        assert!(cases.iter().any(|case| case.name == *name), "IMAD_CASES: there is no case {name}");
    }
    let holds =
        |case: &Case| result::read(&folder, &case.name).is_some_and(|result| result.holds(case, sources.of(case.kind)));
    let due: Vec<_> = cases
        .iter()
        .filter(|case| named.as_ref().map_or_else(|| !holds(case), |names| names.contains(&case.name.as_str())))
        .collect();
    println!("{} of {} cases are to be run; results are kept in {}", due.len(), cases.len(), folder.display());
    // As many at once as guests may run: some wait for minutes for a boot that comes to nothing.
    let queue = Mutex::new((1..).zip(&due));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some((number, case)) = next else { break };
                    let begun = Instant::now();
                    let seen = run::run(case, On::Imad);
                    let control = case.control.then(|| run::run(case, On::Control));
                    let result = CaseResult::new(case, sources.of(case.kind), seen, control);
                    let verdict =
                        result.why.as_ref().map_or_else(|| "passed".to_owned(), |why| format!("FAILED: {why}"));
                    println!("{number}/{} {} ({} s): {verdict}", due.len(), case.name, begun.elapsed().as_secs());
                    result::write(&folder, &result);
                }
            });
        }
    });
    let results: BTreeMap<String, CaseResult> = cases
        .iter()
        .filter_map(|case| result::read(&folder, &case.name).map(|result| (case.name.clone(), result)))
        .collect();
    let report = result::checkout().join("docs/boot-safety.md");
    fs::write(&report, report::report(&cases, &results, &sources)).unwrap();
    let failed: Vec<_> = due.iter().filter(|case| !holds(case)).map(|case| case.name.as_str()).collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), due.len(), failed.join(", "));
}

#[test]
fn cases_are_as_many_and_as_distinct_as_the_report_says() {
    let cases = cases();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let sentences: std::collections::BTreeSet<_> = cases.iter().map(|case| case.what.as_str()).collect();
    assert_eq!(sentences.len(), cases.len(), "two cases have one sentence");
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!(names.iter().all(|name| name.bytes().all(good)), "{names:?}");
    assert!(cases.iter().all(|case| !case.what.ends_with('.') && (1..=3).contains(&case.expected.boots)));
    let count = |wanted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| wanted(case)).count();
    assert!(cases.len() >= 60, "{}", cases.len());
    assert!(count(&|case| case.control) >= 20);
    assert!(count(&|case| case.ci) >= 8);
    for kind in Kind::ALL {
        assert!(count(&|case| case.kind == kind && case.ci) >= 1, "{kind:?}");
    }
    // What happens at a random instant is expected to be either way; what is certain is not left open.
    assert!(cases.iter().all(|case| case.expected.armed != case::Armed::Either
        || case.kind == Kind::Boots
        || case.kind == Kind::Packages));
}

//! What is said and kept of the daemon's work: journal lines, the record of a transaction, what outlives a restart.
#![forbid(unsafe_code)]

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::event::Source;
use crate::bus::job::Kind;
use crate::model::explain::quote;
use crate::model::message_id;
use crate::model::plan::State;
use crate::model::report::{LabelCounts, LabelReport, NextBootState, Problem, Transaction, VERSION};
use crate::ops::labels::PackageLabels;

/// Denied files that a transaction's record lists at most.
const DENIED: usize = 100;
/// Packages that a line names at most.
const FEW: usize = 5;
/// Packages that a run names in lines of their own at most.
const NAMED: usize = 50;

/// What outlives a restart. All of it can be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Version of the schema.
    pub(super) version: u32,
    /// Highest package number that was dealt with; 0 where none was.
    pub(super) newest: i64,
    /// The last transaction.
    pub(super) last_transaction: Option<Transaction>,
}

impl Default for Saved {
    fn default() -> Self {
        Self { version: VERSION, newest: 0, last_transaction: None }
    }
}

/// The record of a transaction that brought these packages.
pub(super) fn transaction(
    added: &[&PackageLabels],
    removed: u64,
    report: &LabelReport,
    now: u64,
    since: u64,
) -> Transaction {
    let mut labels = LabelCounts { packages: added.len() as u64, counted_time_us: now, ..LabelCounts::default() };
    for package in added {
        labels.written += package.written;
        for (state, count) in &package.by_state {
            labels.files += count;
            *labels.by_state.entry(*state).or_insert(0) += count;
        }
    }
    labels.duration_us = report.counts.duration_us;
    let names: HashSet<&str> = added.iter().map(|package| package.nevra.as_str()).collect();
    let denied = report.files.iter().filter(|file| {
        file.state.is_denied() && file.package.as_deref().is_some_and(|package| names.contains(package))
    });
    Transaction {
        finished_time_us: now,
        duration_us: if since == 0 { report.counts.duration_us } else { now.saturating_sub(since) },
        added: added.iter().map(|package| package.nevra.clone()).collect(),
        removed,
        denied: denied.take(DENIED).cloned().collect(),
        labels,
    }
}

/// A line for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Labels were written.
    Written {
        /// How many.
        labels: u64,
        /// In how many packages.
        packages: u64,
        /// How long the run took.
        duration_us: u64,
    },
    /// A package's programs cannot run under a policy that demands signatures.
    Package(&'static str, Problem),
    /// More such packages than are named.
    More(u64),
    /// Something is wrong; `None` as id where the journal has no special event for it.
    Problem(Option<&'static str>, Problem),
    /// The package database can be read again.
    DatabaseRecovered,
    /// The next boot is not as it should be, or is so again.
    NextBoot {
        /// It is.
        ready: bool,
        /// What and what next.
        problem: Problem,
        /// The packages that it is about.
        packages: String,
    },
    /// The daemon executes its new version.
    Reexec,
}

impl Line {
    /// What is to be said of a problem.
    pub(super) fn of_problem(source: Source, problem: Option<Problem>) -> Option<Self> {
        let id = match source {
            Source::Configuration => Some(message_id::CONFIGURATION_FAULT),
            Source::Database | Source::Packages => Some(message_id::DATABASE_UNREADABLE),
            Source::State | Source::Journal => Some(message_id::STATE_NOT_WRITABLE),
            Source::Bus => Some(message_id::BUS_UNREACHABLE),
            Source::Program => Some(message_id::DAEMON_REEXEC_FAILED),
            Source::Watch | Source::Space => None,
        };
        match problem {
            Some(problem) => Some(Self::Problem(id, problem)),
            None => matches!(source, Source::Database | Source::Packages).then_some(Self::DatabaseRecovered),
        }
    }

    /// What is to be said of a run. A transaction's packages are named one by one; after a start only those that came
    /// while the daemon did not run.
    pub(super) fn of_run(
        kind: Kind,
        report: &LabelReport,
        packages: &[PackageLabels],
        added: &[&PackageLabels],
    ) -> Vec<Self> {
        let mut lines = Vec::new();
        let counts = &report.counts;
        if counts.written > 0 {
            let packages = packages.iter().filter(|package| package.written > 0).count() as u64;
            lines.push(Self::Written { labels: counts.written, packages, duration_us: counts.duration_us });
        }
        if !matches!(kind, Kind::Transaction | Kind::Catchup) {
            return lines;
        }
        if let Some(file) = report.files.iter().find(|file| file.state.is_written()) {
            let failed: u64 = [State::Missing, State::Stale, State::Hash]
                .iter()
                .map(|state| counts.by_state.get(state).copied().unwrap_or(0))
                .sum();
            let what =
                format!("{failed} labels could not be written, the first of them on {}: {}", file.path, file.reason);
            lines.push(Self::Problem(Some(message_id::LABEL_NOT_WRITTEN), Problem::new(what, file.next.clone())));
        }
        let named: Vec<Self> = added.iter().flat_map(|package| Self::of_package(package)).collect();
        let more = named.len().saturating_sub(NAMED) as u64;
        lines.extend(named.into_iter().take(NAMED));
        lines.extend((more > 0).then_some(Self::More(more)));
        lines
    }

    /// What is to be said of the next boot. Where no package's file is in the way (an image of an initramfs is), those that
    /// came last are named.
    pub(super) fn of_next_boot(found: &NextBootState, brought: &[String]) -> Self {
        let (named, before) = if found.packages.is_empty() {
            (brought, "; what came last")
        } else {
            (&found.packages[..], "; packages with such files")
        };
        let packages = match named {
            [] => String::new(),
            few if few.len() <= FEW => few.join(", "),
            [first @ .., _] => format!("{} and {} more", first[..FEW].join(", "), named.len() - FEW),
        };
        let of = if packages.is_empty() || found.ready { String::new() } else { format!("{before}: {packages}") };
        let what = format!("{}{of}", found.summary.trim_end_matches('.'));
        Self::NextBoot { ready: found.ready, problem: Problem::new(what, "imactl check --next-boot"), packages }
    }

    fn of_package(package: &PackageLabels) -> Vec<Self> {
        let mut lines = Vec::new();
        let PackageLabels { nevra, name, unsigned_programs, foreign_programs: (foreign, key), .. } = package;
        let files = |count: u64| if count == 1 { "1 program or library" } else { "programs and libraries" };
        let number = |count: u64| if count == 1 { String::new() } else { format!("{count} ") };
        if *unsigned_programs > 0 {
            let (number, files) = (number(*unsigned_programs), files(*unsigned_programs));
            lines.push(Self::Package(
                message_id::PACKAGE_WITHOUT_SIGNATURE,
                Problem::new(
                    format!("package {nevra} has no signature for {number}{files}"),
                    format!("install a build of {} whose files are signed (rpmsign --signfiles)", quote(name)),
                ),
            ));
        }
        if *foreign > 0 {
            let (number, files) = (number(*foreign), files(*foreign));
            let key = key.map(|key| format!(" {key}")).unwrap_or_default();
            lines.push(Self::Package(
                message_id::LABEL_NOT_VERIFIABLE,
                Problem::new(
                    format!("package {nevra} has {number}{files} signed by key{key}, which is not trusted here"),
                    format!(
                        "put the certificate of key{key} into /etc/keys/ima (it must be signed by a key that the \
                         kernel trusts) and reboot"
                    ),
                ),
            ));
        }
        lines
    }

    /// Writes it to the journal. `enforced`: a policy is active.
    pub(super) fn write(&self, enforced: bool) {
        match self {
            Self::Written { labels, packages, duration_us } => tracing::info!(
                message_id = message_id::LABELS_WRITTEN,
                labels,
                packages,
                duration_us,
                "{labels} labels written in {packages} packages"
            ),
            Self::Package(id, problem) => {
                let effect = if enforced {
                    "under the active policy they are denied where it demands a signature"
                } else {
                    "a policy that demands signatures will deny them"
                };
                let what = format!("{}; {effect}", problem.what);
                tracing::warn!(message_id = *id, what, next = problem.next, "{what}. Next: {}", problem.next);
            }
            Self::More(count) => tracing::warn!("{count} more such lines are left out. Next: imactl check"),
            Self::Problem(Some(id), problem) => {
                tracing::warn!(message_id = *id, what = problem.what, next = problem.next, "{}", sentence(problem));
            }
            Self::Problem(None, problem) => tracing::warn!("{}", sentence(problem)),
            Self::DatabaseRecovered => {
                tracing::info!(message_id = message_id::DATABASE_RECOVERED, "the package database can be read again");
            }
            Self::NextBoot { ready: true, problem, .. } => {
                tracing::info!(message_id = message_id::NEXT_BOOT_READY, what = problem.what, "{}", problem.what);
            }
            Self::NextBoot { ready: false, problem, packages } => tracing::error!(
                message_id = message_id::NEXT_BOOT_NOT_READY,
                what = problem.what,
                next = problem.next,
                packages,
                "{}",
                sentence(problem)
            ),
            Self::Reexec => tracing::info!(
                message_id = message_id::DAEMON_REEXEC,
                "imad was upgraded and its new program is labelled: executing it"
            ),
        }
    }
}

fn sentence(problem: &Problem) -> String {
    format!("{}. Next: {}", problem.what, problem.next)
}

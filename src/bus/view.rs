//! What the interfaces show.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use zbus::{OwnedVariant, Variant};

use super::job::JobRecord;
use crate::model::report::{FileReport, LabelCounts, NextBootState, Problem, Status, Transaction};

/// How the daemon fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// The run at start is not over.
    #[default]
    Starting,
    /// It does what it should.
    Running,
    /// Something keeps it from its work; `Problems` says what.
    Degraded,
}

impl Condition {
    /// Its name on the bus and in the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is to be seen on the bus.
#[derive(Debug, Default)]
pub struct View {
    /// How the daemon fares.
    pub condition: Condition,
    /// The status as last gathered, with the daemon's own part up to date.
    pub status: Status,
    /// The files whose labels are not good, as far as they are kept, by path.
    pub files: Arc<Vec<FileReport>>,
    /// The jobs whose objects are there, by number.
    pub jobs: BTreeMap<u32, Arc<JobRecord>>,
}

/// The packages of a transaction that a signal or property names at most.
const NAMED: usize = 100;

/// A `Problem` as `(ss)`.
pub(super) fn problems(problems: &[Problem]) -> Vec<(String, String)> {
    problems.iter().map(|problem| (problem.what.clone(), problem.next.clone())).collect()
}

/// Label counts as `a{st}`; every state that occurs.
pub(super) fn counts(counts: &LabelCounts) -> BTreeMap<String, u64> {
    counts.by_state.iter().map(|(state, count)| (state.name().to_owned(), *count)).collect()
}

/// A transaction as `a{sv}`: the numbers and the packages' names, but no file, since everybody may see it.
pub fn transaction(transaction: &Transaction) -> HashMap<String, OwnedVariant> {
    let denied: u64 =
        transaction.labels.by_state.iter().filter(|(state, _)| state.is_denied()).map(|(_, count)| count).sum();
    let added: Vec<&str> = transaction.added.iter().take(NAMED).map(String::as_str).collect();
    let counts: HashMap<&str, u64> =
        transaction.labels.by_state.iter().map(|(state, count)| (state.name(), *count)).collect();
    let values: [(&str, Variant<'_>); 8] = [
        ("finished", transaction.finished_time_us.into()),
        ("duration", transaction.duration_us.into()),
        ("added", added.into()),
        ("added-count", (transaction.added.len() as u64).into()),
        ("removed-count", transaction.removed.into()),
        ("written", transaction.labels.written.into()),
        ("denied", denied.into()),
        ("counts", counts.into()),
    ];
    // Only a value with a file descriptor cannot be owned, and there is none.
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.try_into().ok()?))).collect()
}

/// What the last check of the next boot said as `a{sv}`.
pub fn next_boot(found: &NextBootState) -> HashMap<String, OwnedVariant> {
    let packages: Vec<&str> = found.packages.iter().take(NAMED).map(String::as_str).collect();
    let values: [(&str, Variant<'_>); 5] = [
        ("ready", found.ready.into()),
        ("summary", found.summary.as_str().into()),
        ("checked", found.checked_time_us.into()),
        ("outdated", found.outdated.into()),
        ("packages", packages.into()),
    ];
    // Only a value with a file descriptor cannot be owned, and there is none.
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.try_into().ok()?))).collect()
}

//! What the threads of a run bring to light, put together.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::file::Done;
use super::worker::Batch;
use crate::model::explain::next_step;
use crate::model::label::KeyId;
use crate::model::plan::State;
use crate::model::report::{FileReport, LabelReport, Problem, VERSION};
use crate::model::rpm::PackagedFile;

/// Files that a report lists at most.
pub const LISTED: usize = 1000;

/// One package's part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageLabels {
    /// Its header's number in the database.
    pub number: i64,
    /// `NAME-[EPOCH:]VERSION-RELEASE.ARCH`
    pub nevra: String,
    /// Its name.
    pub name: String,
    /// Its files by the state of their label, after writing.
    pub by_state: BTreeMap<State, u64>,
    /// Labels written.
    pub written: u64,
    /// Programs and libraries that are [unsigned](State::Unsigned).
    pub unsigned_programs: u64,
    /// Programs and libraries that are [signed by an unknown key](State::UntrustedKey), and one such key.
    pub foreign_programs: (u64, Option<KeyId>),
}

/// What a run brings to light.
#[derive(Debug, Default)]
pub(super) struct Collected {
    report: LabelReport,
    packages: Vec<PackageLabels>,
}

impl Collected {
    fn lock(collected: &Mutex<Self>) -> MutexGuard<'_, Self> {
        collected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a package's place among the collected ones.
    pub(super) fn package(collected: &Mutex<Self>, number: i64, name: &str, nevra: &str) -> usize {
        let mut collected = Self::lock(collected);
        collected.packages.push(PackageLabels {
            number,
            nevra: nevra.to_owned(),
            name: name.to_owned(),
            by_state: BTreeMap::new(),
            written: 0,
            unsigned_programs: 0,
            foreign_programs: (0, None),
        });
        collected.packages.len() - 1
    }

    /// Notes something that kept the run from being complete.
    pub(super) fn problem(collected: &Mutex<Self>, problem: Problem) {
        Self::lock(collected).report.problems.push(problem);
    }

    /// Counts a file, and lists it where a person should know of it or asked for it.
    pub(super) fn file(
        collected: &Mutex<Self>,
        path: &[u8],
        done: &Done,
        packaged: Option<(&Batch, &PackagedFile)>,
        list_all: bool,
    ) {
        let mut collected = Self::lock(collected);
        let state = done.judged.state;
        if let Some((batch, file)) = packaged
            && let Some(package) = collected.packages.get_mut(batch.place)
        {
            *package.by_state.entry(state).or_insert(0) += 1;
            package.written += u64::from(done.written);
            match state {
                State::Unsigned if file.is_program() => package.unsigned_programs += 1,
                State::UntrustedKey if file.is_program() => {
                    package.foreign_programs.0 += 1;
                    package.foreign_programs.1 = package.foreign_programs.1.or(done.judged.key_id);
                }
                _ => {}
            }
        }
        let report = &mut collected.report;
        report.counts.files += 1;
        report.counts.written += u64::from(done.written);
        *report.counts.by_state.entry(state).or_insert(0) += 1;
        let listed = list_all || state.is_denied() || matches!(state, State::Unreadable | State::Unsupported);
        if listed && report.files.len() < LISTED {
            let path = String::from_utf8_lossy(path).into_owned();
            report.files.push(FileReport {
                next: next_step(&path, &done.judged, packaged.map(|(batch, _)| &*batch.name)),
                path,
                state,
                reason: done.judged.reason.clone(),
                package: packaged.map(|(batch, _)| batch.package.to_string()),
                key_id: done.judged.key_id.map(|id| id.to_string()),
                written: done.written,
            });
        }
    }

    /// The report, its files sorted by path, and the packages.
    pub(super) fn into_found(collected: Mutex<Self>) -> (LabelReport, Vec<PackageLabels>) {
        let Self { mut report, packages } = collected.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.version = VERSION;
        report.files.sort_by(|a, b| a.path.cmp(&b.path));
        (report, packages)
    }
}

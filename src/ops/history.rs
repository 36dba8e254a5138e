//! What the label journal knows of a file, and which jobs it knows.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::model::journal::format::Record;
use crate::model::journal::ledger::{Change, Changes, JobEntry};
use crate::model::journal::replay::Placed;
use crate::model::journal::report::{History, HistoryEntry, JobReport};
use crate::model::journal::{Intent, JobId, Mark, Outcome};
use crate::model::report::{Problem, VERSION};
use crate::sys::file::OpenFile;
use crate::sys::label_journal::{self, JournalError};
use crate::sys::root::Root;

/// Every change of a file's label that the journal knows. A package may name the file by another path
/// (`/bin/ip` and `/usr/bin/ip`), so one with the same name is found by its inode too.
pub fn of_file(root: &Root, path: &[u8]) -> Result<History, JournalError> {
    let base = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec);
    let (name, node) = (base(path), inode(root, path));
    let is_same = |intent: &Intent| {
        intent.path == path || (base(&intent.path) == name && node.is_some() && node == Some((intent.dev, intent.ino)))
    };
    let mut changes = Changes::new(is_same);
    let problems = told(label_journal::read(root, |placed| changes.take(placed))?);
    let (changes, jobs) = changes.into_parts();
    let changes = changes.iter().map(|change| entry(change, jobs.get(&change.intent.job))).collect();
    Ok(History {
        version: VERSION,
        path: Some(String::from_utf8_lossy(path).into_owned()),
        changes,
        jobs: Vec::new(),
        problems,
    })
}

/// The jobs that the journal knows.
pub fn jobs(root: &Root) -> Result<History, JournalError> {
    let mut tally = Tally::default();
    let problems = told(label_journal::read(root, |placed| tally.take(placed))?);
    Ok(History { version: VERSION, path: None, changes: Vec::new(), jobs: tally.into_reports(), problems })
}

/// No journal is no problem: nothing was written yet.
fn told(problems: Option<Vec<Problem>>) -> Vec<Problem> {
    problems.unwrap_or_default()
}

fn inode(root: &Root, path: &[u8]) -> Option<(u64, u64)> {
    let identity = OpenFile::open(root, path).ok()?.identity().ok()?;
    Some((identity.dev, identity.ino))
}

fn entry(change: &Change, job: Option<&JobEntry>) -> HistoryEntry {
    let Change { intent, outcome } = change;
    HistoryEntry {
        job: intent.job,
        begin_time_us: job.map(|entry| entry.job.time_us),
        who: job.map(|entry| entry.job.who.clone()),
        reverts: job.and_then(|entry| entry.job.reverts),
        job_end: job.and_then(|entry| entry.end.as_ref()).map(|(end, _)| end.words()),
        path: String::from_utf8_lossy(&intent.path).into_owned(),
        dev: intent.dev,
        ino: intent.ino,
        from: intent.old.as_deref().map(in_words),
        to: intent.new.map(|mark| mark.to_string()),
        state: match outcome {
            Some(Outcome::Written) => "written",
            Some(Outcome::NotWritten) => "not-written",
            None => "unknown",
        }
        .to_owned(),
    }
}

/// A label in words.
pub(super) fn in_words(label: &[u8]) -> String {
    Mark::of(label).map_or_else(|error| error.to_string(), |mark| mark.to_string())
}

/// Jobs with their numbers of labels.
#[derive(Debug, Default)]
struct Tally {
    jobs: BTreeMap<JobId, JobReport>,
    /// Intents that follow each other: the first one's number, how many, whose.
    batches: Vec<(u64, u64, JobId)>,
}

impl Tally {
    fn take(&mut self, placed: Placed) {
        match placed.record {
            Record::Job(job) => {
                let report = JobReport {
                    job: job.id,
                    begin_time_us: job.time_us,
                    end_time_us: None,
                    end: None,
                    who: job.who,
                    selection: job.selection,
                    reverts: job.reverts,
                    written: 0,
                    not_written: 0,
                    unknown: 0,
                };
                self.jobs.insert(job.id, report);
            }
            Record::Intents(intents) => {
                let Some(first) = intents.first() else { return };
                let count = intents.len() as u64;
                match self.batches.last_mut() {
                    Some((begin, length, job)) if *job == first.job && *begin + *length == first.number => {
                        *length += count;
                    }
                    _ => self.batches.push((first.number, count, first.job)),
                }
                if let Some(report) = self.jobs.get_mut(&first.job) {
                    report.unknown += count;
                }
            }
            Record::Done(outcomes) => {
                for (number, outcome) in outcomes {
                    let place = self.batches.partition_point(|(first, ..)| *first <= number);
                    let batch = place.checked_sub(1).and_then(|place| self.batches.get(place));
                    let Some(&(first, length, job)) = batch else { continue };
                    let Some(report) = self.jobs.get_mut(&job).filter(|_| number < first + length) else { continue };
                    report.unknown = report.unknown.saturating_sub(1);
                    match outcome {
                        Outcome::Written => report.written += 1,
                        Outcome::NotWritten => report.not_written += 1,
                    }
                }
            }
            Record::End { job, time_us, end } => {
                if let Some(report) = self.jobs.get_mut(&job) {
                    report.end = Some(end.words());
                    report.end_time_us = Some(time_us);
                }
            }
        }
    }

    fn into_reports(self) -> Vec<JobReport> {
        self.jobs.into_values().collect()
    }
}

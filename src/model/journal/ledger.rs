//! What a journal's records come to: jobs, numbers, and intents whose outcome is not known.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::format::{Header, Record};
use super::replay::Placed;
use super::{Intent, Job, JobEnd, JobId, Outcome};

/// A file whose label may or may not have been written: it is to be judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Number of the intent.
    pub number: u64,
    /// The job that was interrupted.
    pub job: JobId,
    /// The file.
    pub path: Vec<u8>,
    /// Device of the inode that was judged.
    pub dev: u64,
    /// Its number.
    pub ino: u64,
}

/// A job as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEntry {
    /// What it is.
    pub job: Job,
    /// Where its record lies.
    pub at: u64,
    /// How and when it ended; `None` where it was interrupted or runs.
    pub end: Option<(JobEnd, u64)>,
}

/// The sum of a journal's records, kept small: outcomes cancel their intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The next job's number.
    pub next_job: JobId,
    /// The next intent's number.
    pub next_intent: u64,
    /// Jobs in the order of the file.
    pub jobs: Vec<JobEntry>,
    pending: BTreeMap<u64, Pending>,
}

impl Ledger {
    /// Before the first record.
    pub fn new(header: Header) -> Self {
        Self {
            next_job: header.next_job.max(1),
            next_intent: header.next_intent,
            jobs: Vec::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Takes a record in.
    pub fn take(&mut self, placed: Placed) {
        match placed.record {
            Record::Job(job) => {
                self.next_job = self.next_job.max(job.id.saturating_add(1));
                self.jobs.push(JobEntry { job, at: placed.at, end: None });
            }
            Record::Intents(intents) => {
                for intent in intents {
                    self.next_job = self.next_job.max(intent.job.saturating_add(1));
                    self.next_intent = self.next_intent.max(intent.number.saturating_add(1));
                    let Intent { number, job, path, dev, ino, .. } = intent;
                    self.pending.insert(number, Pending { number, job, path, dev, ino });
                }
            }
            Record::Done(outcomes) => {
                for (number, _) in outcomes {
                    self.pending.remove(&number);
                }
            }
            Record::End { job, time_us, end } => {
                // One that went through without saying what became of each intent failed to say so: they stay pending.
                if end == JobEnd::Interrupted {
                    self.pending.retain(|_, pending| pending.job != job);
                }
                if let Some(entry) = self.jobs.iter_mut().rev().find(|entry| entry.job.id == job) {
                    entry.end = Some((end, time_us));
                }
            }
        }
    }

    /// Intents whose outcome is not known, in their order.
    pub fn into_pending(self) -> Vec<Pending> {
        self.pending.into_values().collect()
    }

    /// Whether there are such intents.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The jobs that such intents belong to, or that did not end.
    pub fn unsettled(&self) -> Vec<JobId> {
        let mut jobs: Vec<JobId> = self.pending.values().map(|pending| pending.job).collect();
        jobs.extend(self.jobs.iter().filter(|entry| entry.end.is_none()).map(|entry| entry.job.id));
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    /// From where on the file is kept, if no more than `limit` of its `length` bytes are to be left: always the last
    /// job, and everything from the first one on that is not settled.
    pub fn cut(&self, length: u64, limit: u64) -> Option<u64> {
        let unsettled = self.unsettled();
        let first_unsettled = self.jobs.iter().find(|entry| unsettled.contains(&entry.job.id));
        let fits = self.jobs.iter().find(|entry| length.saturating_sub(entry.at) <= limit);
        let cut = fits.or(self.jobs.last())?.at;
        Some(first_unsettled.map_or(cut, |entry| entry.at.min(cut)))
    }
}

/// A change of a file's label, as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was intended.
    pub intent: Intent,
    /// What became of it; `None` where that is not known.
    pub outcome: Option<Outcome>,
}

/// Gathers the changes that a question is about, with their jobs.
#[derive(Debug)]
pub struct Changes<F> {
    wanted: F,
    /// The jobs that were met.
    pub jobs: BTreeMap<JobId, JobEntry>,
    picked: BTreeMap<u64, Change>,
}

impl<F: FnMut(&Intent) -> bool> Changes<F> {
    /// Gathers the intents that `wanted` picks.
    pub fn new(wanted: F) -> Self {
        Self { wanted, jobs: BTreeMap::new(), picked: BTreeMap::new() }
    }

    /// Takes a record in.
    pub fn take(&mut self, placed: Placed) {
        match placed.record {
            Record::Job(job) => {
                self.jobs.insert(job.id, JobEntry { job, at: placed.at, end: None });
            }
            Record::Intents(intents) => {
                for intent in intents {
                    if (self.wanted)(&intent) {
                        self.picked.insert(intent.number, Change { intent, outcome: None });
                    }
                }
            }
            Record::Done(outcomes) => {
                for (number, outcome) in outcomes {
                    if let Some(change) = self.picked.get_mut(&number) {
                        change.outcome = Some(outcome);
                    }
                }
            }
            Record::End { job, time_us, end } => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.end = Some((end, time_us));
                }
            }
        }
    }

    /// The changes in their order, and the jobs.
    pub fn into_parts(self) -> (Vec<Change>, BTreeMap<JobId, JobEntry>) {
        (self.picked.into_values().collect(), self.jobs)
    }
}

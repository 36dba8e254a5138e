//! Jobs as threads: labelling blocks, so it is done beside the loop. An idle daemon has none of these threads.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event::{Closed, Event, Order, RunFailure};
use super::run::{Input, Inputs};
use crate::bus::error::Error;
use crate::bus::job::{JobRecord, JobState, Kind, Snapshot};
use crate::bus::request::Caller;
use crate::model::config::Config;
use crate::model::report::LabelReport;
use crate::ops::keys;
use crate::ops::labels::{Progress, Request, run_by_package};
use crate::sys::process;
use crate::sys::root::Root;

/// A job that is there: waiting, running or ended.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) record: Arc<JobRecord>,
    pub(super) progress: Arc<Progress>,
    /// Who asked for it, if somebody did.
    pub(super) owner: Option<Caller>,
    /// What it found.
    pub(super) report: Option<LabelReport>,
}

impl Job {
    pub(super) fn new(id: u32, kind: Kind, owner: Option<Caller>) -> Self {
        Self { record: JobRecord::new(id, kind), progress: Arc::default(), owner, report: None }
    }

    /// Begins it: a thread that sends its outcome.
    pub(super) fn begin(&self, order: Order, root: &Arc<Root>, config: &Arc<Config>, inputs: &Inputs) {
        self.record.set(Snapshot { state: JobState::Running, ..Snapshot::default() });
        let (root, config, progress) = (root.clone(), config.clone(), self.progress.clone());
        let (id, sender) = (order.id, inputs.clone());
        let thread = move || {
            let found = keys::gather(&root, &config.keys.dir);
            let who = format!("imad: {}", order.kind.name());
            let request = Request {
                root: &root,
                rules: &config.labels,
                trust: &found.trust,
                selection: &order.selection,
                write: order.write.then_some(&who),
                full: order.full,
            };
            let outcome = run_by_package(&request, &progress);
            process::release_memory();
            // The loop is gone only when the process is about to end.
            sender.send(Input::Event(Event::Ended(id, outcome))).unwrap_or_default();
        };
        if let Err(error) = std::thread::Builder::new().name("imad-labels".to_owned()).spawn(thread) {
            tracing::warn!("no thread for a job: {error}");
            let cancelled = Event::Ended(id, Err(crate::ops::labels::RunError::Cancelled));
            inputs.send(Input::Event(cancelled)).unwrap_or_default();
        }
    }

    /// Makes it end between two files.
    pub(super) fn cancel(&self) {
        self.progress.cancel.store(true, Ordering::Relaxed);
    }

    /// Files done, files to do as far as known, bytes hashed.
    pub(super) fn counters(&self) -> (u64, u64, u64) {
        let Progress { done, total, bytes, .. } = &*self.progress;
        (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }

    /// Shows its progress; `false` where there is nothing new.
    pub(super) fn show_progress(&self) -> bool {
        let old = self.record.snapshot();
        let progress = self.counters();
        let new = old.state == JobState::Running && old.progress != progress;
        if new {
            self.record.set(Snapshot { progress, ..old });
        }
        new
    }

    /// Shows how it ended.
    pub(super) fn close(&mut self, closed: Closed) -> &'static str {
        let (state, error) = match closed {
            Closed::Done(report) => {
                self.report = Some(report);
                (JobState::Done, None)
            }
            Closed::Failed(RunFailure::Database(problem)) => {
                (JobState::Failed, Some(Error::Database(Error::text(&problem))))
            }
            Closed::Failed(RunFailure::NoSpace(problem)) => {
                (JobState::Failed, Some(Error::NoSpace(Error::text(&problem))))
            }
            Closed::Failed(RunFailure::NoSuchPackage(problem)) => {
                (JobState::Failed, Some(Error::NoSuchPackage(Error::text(&problem))))
            }
            Closed::Canceled => (JobState::Canceled, None),
        };
        let error = error.map(|error| {
            use zbus::DBusError;
            (error.name().to_string(), error.description().unwrap_or_default().to_owned())
        });
        let progress = self.counters();
        self.record.set(Snapshot { state, progress, error: error.unwrap_or_default() });
        state.name()
    }
}

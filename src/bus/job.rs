//! `org.imad1.Job`: work that takes its time, and its progress.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zbus::message::Header;
use zbus::{ObjectPath, OwnedObjectPath, interface};

use super::JOBS;
use super::error::Failure;
use super::request::{Ask, Desk, Options, known};

/// Why a job exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Labelling all that is missing, because the daemon started or the database is another one.
    Catchup,
    /// Labelling what a package transaction brought.
    Transaction,
    /// Labelling what somebody asked for.
    Relabel,
    /// Looking at labels without writing.
    Check,
}

impl Kind {
    /// Its name on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catchup => "catch-up",
            Self::Transaction => "transaction",
            Self::Relabel => "relabel",
            Self::Check => "check",
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobState {
    /// Others are before it.
    #[default]
    Waiting,
    /// It is being done.
    Running,
    /// It was done.
    Done,
    /// It could not be done.
    Failed,
    /// It was cancelled.
    Canceled,
}

impl JobState {
    /// Its name on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the job has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Canceled)
    }
}

/// What changes while a job goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// How far it is.
    pub state: JobState,
    /// Files done, files to do as far as known, bytes hashed.
    pub progress: (u64, u64, u64),
    /// Name and text of the D-Bus error with which it ended; empty where it did not fail.
    pub error: (String, String),
}

/// A job as its object shows it.
#[derive(Debug)]
pub struct JobRecord {
    id: u32,
    kind: Kind,
    snapshot: Mutex<Snapshot>,
}

impl JobRecord {
    /// A job that waits.
    pub fn new(id: u32, kind: Kind) -> Arc<Self> {
        Arc::new(Self { id, kind, snapshot: Mutex::default() })
    }

    /// Its number.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Why it exists.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its object.
    pub fn path(&self) -> OwnedObjectPath {
        ObjectPath::from_string_unchecked(format!("{JOBS}/{}", self.id)).into()
    }

    /// How far it is.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// Says how far it is.
    pub fn set(&self, snapshot: Snapshot) {
        *self.lock() = snapshot;
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The interface's object.
#[derive(Debug)]
pub struct Job {
    record: Arc<JobRecord>,
    desk: Desk,
}

impl Job {
    /// The object of a job, which asks at this desk.
    pub const fn new(record: Arc<JobRecord>, desk: Desk) -> Self {
        Self { record, desk }
    }
}

#[interface(
    name = "org.imad1.Job",
    proxy(default_service = "org.imad1", default_path = "/org/imad1/job/1", visibility = "pub")
)]
impl Job {
    /// The job's number, which is also the last part of its object's path.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> u32 {
        self.record.id()
    }

    /// Why it exists: "catch-up" (all that is missing, because the daemon started or the package database is another
    /// one), "transaction" (what a package transaction brought), "relabel" (somebody asked), "check" (only a look).
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> String {
        self.record.kind().name().to_owned()
    }

    /// How far it is: "waiting", "running", "done", "failed" or "canceled".
    #[zbus(property)]
    fn state(&self) -> String {
        self.record.snapshot().state.name().to_owned()
    }

    /// Files done, files to do as far as known, bytes hashed. Signalled a few times a second at most.
    #[zbus(property)]
    fn progress(&self) -> (u64, u64, u64) {
        self.record.snapshot().progress
    }

    /// Name and text of the D-Bus error with which the job failed; both empty where it did not.
    #[zbus(property)]
    fn error(&self) -> (String, String) {
        self.record.snapshot().error
    }

    /// Ends the job between two files; what was labelled stays labelled. Asks polkit for org.imad1.manage-labels.
    async fn cancel(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Failure> {
        self.desk.ask(&header, |reply| Ask::Cancel(self.record.id(), reply)).await
    }

    /// The report of a job that is done, as JSON (what imactl relabel prints when asked for JSON). There are no
    /// options yet. Asks polkit for org.imad1.inspect-files, unless the caller is the one who asked for the job.
    #[zbus(out_args("report"))]
    async fn get_report(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String, Failure> {
        known(&options, &[])?;
        self.desk.ask(&header, |reply| Ask::Report(self.record.id(), reply)).await
    }
}

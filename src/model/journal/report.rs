//! What `imactl labels history` and `imactl labels revert` report.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::super::report::Problem;

/// A label that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The job.
    pub job: u64,
    /// When the job began; absent where the journal does not reach back to its beginning.
    pub begin_time_us: Option<u64>,
    /// Who asked for it, and why.
    pub who: Option<String>,
    /// The job that it put back.
    pub reverts: Option<u64>,
    /// How the job ended; absent while it runs, or where it was interrupted and its files were not judged again yet.
    pub job_end: Option<String>,
    /// The file's path as the job knew it.
    pub path: String,
    /// Device of the inode.
    pub dev: u64,
    /// Its number.
    pub ino: u64,
    /// The label before, in words; absent where there was none.
    pub from: Option<String>,
    /// The label that was intended; absent where it was removed.
    pub to: Option<String>,
    /// `written`, `not-written`, or `unknown`.
    pub state: String,
}

/// A job and how many labels it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// The job.
    pub job: u64,
    /// When it began.
    pub begin_time_us: u64,
    /// When it ended.
    pub end_time_us: Option<u64>,
    /// How it ended; absent while it runs, or where it was interrupted and its files were not judged again yet.
    pub end: Option<String>,
    /// Who asked for it, and why.
    pub who: String,
    /// Which files it was about.
    pub selection: String,
    /// The job that it put back.
    pub reverts: Option<u64>,
    /// Labels that it wrote or removed.
    pub written: u64,
    /// Labels that it meant to write, and did not.
    pub not_written: u64,
    /// Labels of which that is not known.
    pub unknown: u64,
}

/// `imactl labels history`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Version of the schema.
    pub version: u32,
    /// The file; absent where the jobs are listed.
    pub path: Option<String>,
    /// The file's changes, the oldest first.
    pub changes: Vec<HistoryEntry>,
    /// The jobs, the oldest first; empty where a file is named.
    pub jobs: Vec<JobReport>,
    /// What the journal could not tell.
    pub problems: Vec<Problem>,
}

/// A file that was, or would be, put back, or was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertedFile {
    /// The file.
    pub path: String,
    /// The label is put back (with `--dry-run`: would be).
    pub reverted: bool,
    /// Which label comes back, or why the file is left.
    pub reason: String,
    /// The step that mends it; empty where nothing needs mending.
    pub next: String,
}

/// `imactl labels revert`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverted {
    /// Version of the schema.
    pub version: u32,
    /// The job that is put back.
    pub job: u64,
    /// The job that did so; absent where nothing was to be done, and with `--dry-run`.
    pub by_job: Option<u64>,
    /// Nothing was written.
    pub dry_run: bool,
    /// Files whose label was put back.
    pub reverted: u64,
    /// Files that were left.
    pub left: u64,
    /// Each file.
    pub files: Vec<RevertedFile>,
    /// What kept it from being complete.
    pub problems: Vec<Problem>,
}

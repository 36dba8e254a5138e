//! Labelling and checking: every packaged file, judged and written through one descriptor.
//!
//! One thread reads the packages ([`feed`]), all cores judge their files ([`worker`]); what is to be written is collected
//! in groups and written a group at a time.
#![forbid(unsafe_code)]

mod collected;
mod feed;
mod file;
mod log;
mod memory;
mod place;
mod protection;
mod sealed;
mod selection;
mod space;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

pub use collected::{LISTED, PackageLabels};
pub use file::judge_file;
pub use selection::Selection;

use collected::Collected;
use log::Log;
use protection::Protection;
use space::Space;
use worker::Run;

use crate::model::config::Labels;
use crate::model::journal::JobEnd;
use crate::model::report::{LabelReport, Problem};
use crate::model::verify::Trust;
use crate::sys::proofs::Proofs;
use crate::sys::root::Root;
use crate::sys::rpmdb::{Database, DbError};
use crate::sys::state_dir::FOLDER;
use crate::sys::{clock, process};

/// A run over labels.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The root.
    pub root: &'a Root,
    /// Which labels are ours to write.
    pub rules: &'a Labels,
    /// The certificates that count.
    pub trust: &'a Trust,
    /// Which files.
    pub selection: &'a Selection,
    /// Write what is missing, stale or a mere hash, for whom this names in the label journal; `None` only looks.
    pub write: Option<&'a str>,
    /// Read every file, also those whose content cannot have changed since their labels were verified.
    pub full: bool,
}

/// How far a run is, shared with those who watch or cancel it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files to do, as far as known.
    pub total: AtomicU64,
    /// Files done.
    pub done: AtomicU64,
    /// Bytes hashed, in the middle of a file too.
    pub bytes: Arc<AtomicU64>,
    /// Set it to stop the run between two files.
    pub cancel: AtomicBool,
}

impl Progress {
    /// Whether the run is to stop.
    pub(super) fn is_canceled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// Why a run could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The package database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A package that is asked for is not installed.
    #[error("package {0} is not installed")]
    NoSuchPackage(String),
    /// Labels would not find room.
    #[error("{mount}: {labels} labels may take {needed} bytes, and {available} are free; nothing was written there")]
    NoSpace {
        /// Where the file system is mounted.
        mount: String,
        /// Labels that are to be written.
        labels: u64,
        /// Bytes that they take at most.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl RunError {
    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::Database(error) => error.next_step(),
            Self::NoSuchPackage(name) => format!("rpm -q {name}"),
            Self::NoSpace { mount, .. } => format!("free some space: df -h {mount}"),
            Self::Cancelled => String::new(),
        }
    }
}

/// Makes a run. Files that no package owns are reported only where `Selection::Paths` names them.
pub fn run(request: &Request<'_>, progress: &Progress) -> Result<LabelReport, RunError> {
    run_by_package(request, progress).map(|(report, _)| report)
}

/// Makes a run, and says what it found in each package of which files were looked at.
pub fn run_by_package(
    request: &Request<'_>,
    progress: &Progress,
) -> Result<(LabelReport, Vec<PackageLabels>), RunError> {
    let begin = clock::since_boot_us();
    let no_privilege = request.write.and_then(|_| place::no_privilege());
    let request = &Request { write: request.write.filter(|_| no_privilege.is_none()), ..*request };
    let database = Database::open(request.root)?;
    let numbers = request.selection.numbers(&database, request.root)?;
    let collected = Mutex::new(Collected::default());
    let log = Log::new(request);
    let space = Space::new(request);
    let protection = request.write.map_or_else(Protection::default, |_| Protection::of_running_kernel());
    // What is remembered is worth its reading and writing where every file is looked at.
    let (proofs, mut of_proofs) =
        if *request.selection == Selection::All { Proofs::open(request.root) } else { Proofs::none() };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let together = worker::group(workers, process::open_files_limit());
    let (sender, receiver) = sync_channel(2 * workers);
    let receiver = Mutex::new(receiver);
    let run = Run {
        request,
        collected: &collected,
        progress,
        log: &log,
        proofs: &proofs,
        space: &space,
        protection: &protection,
        together,
    };

    let read = std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| worker::work(&run, &receiver));
        }
        let read = feed::feed(&database, request, &numbers, sender, &collected, progress);
        if read.is_err() {
            progress.cancel.store(true, Ordering::Relaxed);
        }
        read
    });
    let read = space.into_failure().map_or(read, Err);
    let (end, result) = match (read, progress.is_canceled()) {
        (Err(error), _) => (JobEnd::Failed(error.to_string()), Err(error)),
        (Ok(()), true) => (JobEnd::Cancelled, Err(RunError::Cancelled)),
        (Ok(()), false) => (JobEnd::Finished, Ok(())),
    };
    let judged_all = result.is_ok() && *request.selection == Selection::All;
    let of_log = log.end(end, judged_all);
    if let Err(error) = proofs.save(judged_all) {
        of_proofs.push(Problem::new(
            format!("what was verified cannot be remembered in {FOLDER}: {error}"),
            format!("findmnt -T {FOLDER}; df -h {FOLDER}"),
        ));
    }
    result?;
    let mut found = Collected::into_found(collected);
    found.0.problems.extend(no_privilege.into_iter().chain(protection.into_problem()).chain(of_log.iter().cloned()));
    found.0.of_journal = of_log.into_iter().chain(of_proofs).collect();
    found.0.counts.packages = numbers.len() as u64;
    found.0.counts.counted_time_us = clock::wall_us();
    found.0.counts.duration_us = clock::since_boot_us() - begin;
    Ok(found)
}

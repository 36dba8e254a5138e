//! Puts back what a job did to labels, where nothing else happened to them since.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::in_words;
use crate::model::journal::ledger::{Changes, JobEntry};
use crate::model::journal::report::{Reverted, RevertedFile};
use crate::model::journal::{Intent, JobEnd, JobId, Mark, Outcome};
use crate::model::report::{Problem, VERSION};
use crate::sys::clock;
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::label_journal::{self, JournalError, LIMIT, LabelJournal, NewIntent, NewJob};
use crate::sys::lock::{LabelLock, LockError};
use crate::sys::root::Root;

/// Files that are open at a time.
const BATCH: usize = 128;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The root.
    pub root: &'a Root,
    /// The job.
    pub job: JobId,
    /// Write nothing, say what would be done.
    pub dry_run: bool,
    /// Who asks, for the journal.
    pub who: String,
    /// How long to wait for whoever writes labels now.
    pub patience: Duration,
}

/// Why nothing could be done at all.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// The journal does not know the job.
    #[error("the label journal knows no job {0}{range}", range = known(*.1))]
    NoSuchJob(JobId, Option<(JobId, JobId)>),
    /// Somebody else writes labels.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn known(range: Option<(JobId, JobId)>) -> String {
    range.map_or_else(|| "; it is empty".to_owned(), |(first, last)| format!(", but {first} to {last}"))
}

impl RevertError {
    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::NoSuchJob(..) => "imactl labels history (lists the jobs)".to_owned(),
            Self::Locked(error) => error.next_step(),
            Self::Journal(error) => error.next_step(),
        }
    }
}

/// What a job did to one file, over all its steps.
#[derive(Debug)]
struct Target {
    path: Vec<u8>,
    dev: u64,
    ino: u64,
    /// The label that comes back.
    old: Option<Vec<u8>>,
    /// The label that the job wrote last.
    new: Option<Mark>,
}

/// A file that is ready.
#[derive(Debug)]
struct Ready {
    target: Target,
    file: OpenFile,
    present: Option<Vec<u8>>,
}

/// Why a file is left, and what mends it.
struct Left(String, String);

impl Left {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into(), String::new())
    }
}

/// Puts back what a job changed. Each file is told.
pub fn run(request: &Request<'_>) -> Result<Reverted, RevertError> {
    // Before the journal is read: what is read must not change.
    let lock = if request.dry_run { None } else { Some(LabelLock::take(request.root, request.patience)?) };
    let mut problems = Vec::new();
    let journal = match &lock {
        None => None,
        Some(lock) => {
            let (journal, found) = LabelJournal::open(request.root, lock, LIMIT)?;
            problems.extend(found.problems);
            if !found.pending.is_empty() {
                let what = format!("{} files of an interrupted job were not judged again yet", found.pending.len());
                problems.push(Problem::new(what, "imactl relabel"));
            }
            Some(journal)
        }
    };
    let (targets, entry) = targets(request, &mut problems)?;
    let same_boot = clock::boot_id() == Some(entry.job.boot);
    let mut report =
        Reverted { version: VERSION, job: request.job, dry_run: request.dry_run, problems, ..Reverted::default() };
    let job = journal.as_ref().map(|journal| {
        journal.begin(NewJob {
            who: request.who.clone(),
            selection: format!("what job {} changed", request.job),
            reverts: Some(request.job),
        })
    });
    let mut batch = Vec::new();
    for target in targets {
        let path = target.path.clone();
        match ready(request.root, target, same_boot) {
            Ok(ready) => batch.push(ready),
            Err(left) => tell(&mut report, &path, false, left),
        }
        if batch.len() == BATCH {
            put_back(journal.as_ref(), std::mem::take(&mut batch), &mut report);
        }
    }
    put_back(journal.as_ref(), batch, &mut report);
    if let Some(journal) = &journal {
        journal.end(JobEnd::Finished)?;
    }
    report.by_job = job.filter(|_| report.reverted > 0);
    report.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

/// The files that the job changed: one for each inode, however often it was written.
fn targets(request: &Request<'_>, problems: &mut Vec<Problem>) -> Result<(Vec<Target>, JobEntry), RevertError> {
    let mut changes = Changes::new(|intent: &Intent| intent.job == request.job);
    let found = label_journal::read(request.root, |placed| changes.take(placed))?;
    problems.extend(found.unwrap_or_default());
    let (changes, mut jobs) = changes.into_parts();
    let range = jobs.keys().next().copied().zip(jobs.keys().next_back().copied());
    let entry = jobs.remove(&request.job).ok_or(RevertError::NoSuchJob(request.job, range))?;
    let mut by_inode: BTreeMap<(u64, u64), Target> = BTreeMap::new();
    // What a killed job may or may not have written counts too: the label on the file tells.
    for change in changes.into_iter().filter(|change| change.outcome != Some(Outcome::NotWritten)) {
        let Intent { path, dev, ino, old, new, .. } = change.intent;
        by_inode.entry((dev, ino)).and_modify(|target| target.new = new).or_insert(Target { path, dev, ino, old, new });
    }
    Ok((by_inode.into_values().collect(), entry))
}

/// Opens a file and looks whether its label is still the one that the job wrote. Device numbers may change from boot to
/// boot; inode numbers and signatures do not.
fn ready(root: &Root, target: Target, same_boot: bool) -> Result<Ready, Left> {
    let file = OpenFile::open(root, &target.path).map_err(|error| match error {
        OpenError::Absent => Left::new("it is not there any more"),
        OpenError::NotRegular => Left::new("something else than a regular file is there now"),
        OpenError::Io(error) => Left::new(format!("opening it failed: {error}")),
    })?;
    let identity = file.identity().map_err(|error| Left::new(error.to_string()))?;
    if identity.ino != target.ino || (same_boot && identity.dev != target.dev) {
        return Err(Left::new("the file was replaced since"));
    }
    let present = file.label().map_err(|error| Left::new(format!("reading its label failed: {error}")))?;
    let mark = present.as_deref().map(Mark::of).transpose().map_err(|error| Left::new(error.to_string()))?;
    if mark != target.new {
        let reason = if present == target.old {
            "it has the label that it had before".to_owned()
        } else {
            let now = present.as_deref().map_or_else(|| "none".to_owned(), in_words);
            format!("its label was changed since (now: {now})")
        };
        return Err(Left::new(reason));
    }
    if file.is_immutable() {
        let path = String::from_utf8_lossy(&target.path).into_owned();
        return Err(Left("it has the immutable or append-only attribute".to_owned(), format!("chattr -ia {path}")));
    }
    Ok(Ready { target, file, present })
}

/// Records what is going to be done, and does it. Without a journal: only says so.
fn put_back(journal: Option<&LabelJournal>, batch: Vec<Ready>, report: &mut Reverted) {
    let Some(journal) = journal else {
        for Ready { target, .. } in batch {
            tell(report, &target.path, true, Left::new(comes_back(&target)));
        }
        return;
    };
    let intent = |ready: &Ready| {
        (ready.target.path.clone(), ready.target.dev, ready.target.ino, ready.present.clone(), ready.target.old.clone())
    };
    let intents: Vec<_> = batch.iter().map(intent).collect();
    let intents: Vec<NewIntent<'_>> = intents
        .iter()
        .map(|(path, dev, ino, old, new)| NewIntent {
            path,
            dev: *dev,
            ino: *ino,
            old: old.as_deref(),
            new: new.as_deref(),
        })
        .collect();
    let first = match journal.intend(&intents) {
        Ok(first) => first,
        Err(error) => {
            for Ready { target, .. } in batch {
                tell(report, &target.path, false, Left(error.to_string(), error.next_step()));
            }
            return;
        }
    };
    let mut outcomes = Vec::new();
    for (number, ready) in (first..).zip(batch) {
        let written = write(&ready);
        outcomes.push((number, if written.is_ok() { Outcome::Written } else { Outcome::NotWritten }));
        match written {
            Ok(()) => tell(report, &ready.target.path, true, Left::new(comes_back(&ready.target))),
            Err(left) => tell(report, &ready.target.path, false, left),
        }
    }
    if let Err(error) = journal.done(&outcomes) {
        report.problems.push(Problem::new(error.to_string(), error.next_step()));
    }
}

fn write(ready: &Ready) -> Result<(), Left> {
    let Ready { target, file, present } = ready;
    // The lock keeps imad out, not everybody.
    let now = file.label().map_err(|error| Left::new(error.to_string()))?;
    if now != *present {
        return Err(Left::new("its label was changed at this very moment"));
    }
    match &target.old {
        Some(old) => file.set_label(old),
        None => file.remove_label(),
    }
    .map_err(|error| match error.raw_os_error() {
        Some(libc::EROFS) => Left("its file system is read-only".to_owned(), "mount it read-write".to_owned()),
        Some(libc::ENOSPC | libc::EDQUOT) => {
            Left("no space is left for its label".to_owned(), "free some space".to_owned())
        }
        _ => Left::new(format!("writing its label failed: {error}")),
    })
}

fn comes_back(target: &Target) -> String {
    target.old.as_deref().map_or_else(|| "no label, as before".to_owned(), in_words)
}

fn tell(report: &mut Reverted, path: &[u8], reverted: bool, left: Left) {
    let Left(reason, next) = left;
    if reverted {
        report.reverted += 1;
    } else {
        report.left += 1;
    }
    report.files.push(RevertedFile { path: String::from_utf8_lossy(path).into_owned(), reverted, reason, next });
}

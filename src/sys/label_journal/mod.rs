//! The label journal's file: appended to, made durable, cut, mended, and bounded.
//!
//! Nothing is held back: what a call records is in the file when it returns, and intents are durable. A crash at any
//! instant leaves a file that the next [`LabelJournal::open`] reads up to its last whole record.
#![forbid(unsafe_code)]

mod mend;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

use super::clock;
use super::lock::LabelLock;
use super::root::Root;
use super::state_dir::{FOLDER, StateDir};
use crate::model::journal::format::{HEADER, Header, LONGEST_PATH, Record, done_records, frame, intent_records};
use crate::model::journal::ledger::{Ledger, Pending};
use crate::model::journal::replay::{self, Bytes, Placed};
use crate::model::journal::{Intent, Job, JobEnd, JobId, Mark, Outcome};
use crate::model::report::Problem;

/// The file's name in `/var/lib/imad`.
pub const NAME: &str = "labels.journal";
/// So long the file grows before old jobs are dropped, where nobody says otherwise: some 400,000 labels that were missing.
pub const LIMIT: u64 = 20 << 20;
/// Read at a time.
const WINDOW: usize = 1 << 20;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No space for it.
    #[error("{file}: no space is left to record what is going to be done")]
    NoSpace {
        /// The journal.
        file: String,
    },
    /// Anything else.
    #[error("{file}: {what}: {error}")]
    Io {
        /// The journal.
        file: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// A write failed in a way that leaves unclear what is on the disk.
    #[error("{file}: it cannot be relied on since {why}")]
    Broken {
        /// The journal.
        file: String,
        /// What happened.
        why: String,
    },
    /// A label's mark cannot be computed, or its path is none.
    #[error("{0}")]
    Input(String),
}

impl JournalError {
    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::NoSpace { file } => format!("free some space: df -h {file}"),
            Self::Io { file, error, .. } if error.raw_os_error() == Some(libc::EROFS) => {
                format!("mount it read-write: findmnt -T {file}")
            }
            Self::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => "run it as root".to_owned(),
            Self::Io { file, .. } => format!("ls -l {file}"),
            Self::Broken { file, .. } => format!("look at the disk (dmesg; findmnt -T {file}), then run it again"),
            Self::Input(_) => String::new(),
        }
    }
}

/// A job that is about to begin.
#[derive(Debug, Clone, Default)]
pub struct NewJob {
    /// Who asked for it, and why: `imactl relabel by uid 0`.
    pub who: String,
    /// Which files it is about, in words.
    pub selection: String,
    /// The job that it puts back.
    pub reverts: Option<JobId>,
}

/// A label that is going to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewIntent<'a> {
    /// The file, as its root sees it.
    pub path: &'a [u8],
    /// Device of the inode that was judged.
    pub dev: u64,
    /// Its number.
    pub ino: u64,
    /// The label that it has.
    pub old: Option<&'a [u8]>,
    /// The label that it is to have; `None` where it is to be removed.
    pub new: Option<&'a [u8]>,
}

/// What opening a journal brought to light.
#[derive(Debug, Default)]
pub struct Found {
    /// Files whose label an interrupted job may or may not have written: judge them again, then
    /// [settle](LabelJournal::settle).
    pub pending: Vec<Pending>,
    /// Part of the journal was lost: which files an interrupted job had begun is not certain, so judge every file.
    pub judge_all: bool,
    /// Bytes of an unfinished record that were cut off.
    pub torn: u64,
    /// What a person should know.
    pub problems: Vec<Problem>,
}

/// Instants at which a test ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before anything of a record is written.
    Append,
    /// After the first half of it.
    Torn,
    /// After all of it, before it is durable.
    Appended,
    /// After it is durable.
    Synced,
    /// After a new file is written, before it has its name.
    Begun,
    /// After it has its name.
    Renamed,
}

/// Called at each step.
pub type Watch = Box<dyn Fn(Step) + Send>;

/// The open journal. Shared by the threads of a run.
#[derive(Debug)]
pub struct LabelJournal {
    inner: Mutex<Inner>,
}

struct Inner {
    dir: StateDir,
    file: File,
    /// Bytes of the file.
    length: u64,
    /// Bytes of it that are durable.
    synced: u64,
    next_job: JobId,
    next_intent: u64,
    limit: u64,
    /// The job that was begun; its record is written with its first intent.
    job: Option<(Job, bool)>,
    /// Jobs that were interrupted, until their files are judged again.
    unsettled: Vec<JobId>,
    broken: Option<String>,
    watch: Option<Watch>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("dir", &self.dir)
            .field("length", &self.length)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl LabelJournal {
    /// Opens a root's journal, makes it where there is none, and mends what a crash left. Only who has the lock may.
    pub fn open(root: &Root, lock: &LabelLock, limit: u64) -> Result<(Self, Found), JournalError> {
        Self::open_watched(root, lock, limit, None)
    }

    /// The same, and `watch` is called at each step.
    pub fn open_watched(
        root: &Root,
        _lock: &LabelLock,
        limit: u64,
        watch: Option<Watch>,
    ) -> Result<(Self, Found), JournalError> {
        let shown = shown(root);
        let dir = StateDir::create(root).map_err(|error| failed(&shown, "making its folder failed", error))?;
        let mut found = Found::default();
        let opened = mend::open(&dir, watch.as_ref(), &mut found);
        let (file, ledger, length) = opened.map_err(|error| failed(&shown, "opening it failed", error))?;
        let mut inner = Inner {
            dir,
            file,
            length,
            synced: length,
            next_job: ledger.next_job,
            next_intent: ledger.next_intent,
            limit,
            job: None,
            unsettled: ledger.unsettled(),
            broken: None,
            watch,
        };
        found.pending = ledger.into_pending();
        if found.pending.is_empty() && !inner.unsettled.is_empty() {
            // Killed between two batches: nothing is left to be judged.
            inner.settle()?;
        }
        Ok((Self { inner: Mutex::new(inner) }, found))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a job. It appears in the journal with its first intent: a job that changes nothing leaves no trace.
    pub fn begin(&self, job: NewJob) -> JobId {
        let mut inner = self.lock();
        let id = inner.next_job;
        let NewJob { who, selection, reverts } = job;
        let boot = clock::boot_id().unwrap_or_default();
        inner.job = Some((Job { id, time_us: clock::wall_us(), boot, who, selection, reverts }, false));
        id
    }

    /// Records what is going to be written, durably: when this returns, the labels may be written. Numbers are given in
    /// the order of the intents, from the one returned on. Give some hundred at a time: each call waits for the disk.
    pub fn intend(&self, intents: &[NewIntent<'_>]) -> Result<u64, JournalError> {
        self.lock().intend(intents)
    }

    /// Records what became of intents. Losing this costs only that those files are judged again.
    pub fn done(&self, outcomes: &[(u64, Outcome)]) -> Result<(), JournalError> {
        self.lock().append(&done_records(outcomes.to_vec()), false)
    }

    /// Ends the job.
    pub fn end(&self, end: JobEnd) -> Result<(), JournalError> {
        let mut inner = self.lock();
        match inner.job.take() {
            Some((job, true)) => inner.append(&[Record::End { job: job.id, time_us: clock::wall_us(), end }], true),
            _ => Ok(()),
        }
    }

    /// Says that the files of interrupted jobs were judged again.
    pub fn settle(&self) -> Result<(), JournalError> {
        self.lock().settle()
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.lock().length
    }
}

impl Inner {
    fn shown(&self) -> String {
        self.dir.shown(NAME)
    }

    fn step(&self, step: Step) {
        if let Some(watch) = &self.watch {
            watch(step);
        }
    }

    fn settle(&mut self) -> Result<(), JournalError> {
        let time_us = clock::wall_us();
        let end = |&job: &JobId| Record::End { job, time_us, end: JobEnd::Interrupted };
        let records: Vec<Record> = self.unsettled.iter().map(end).collect();
        if !records.is_empty() {
            self.append(&records, true)?;
            self.unsettled.clear();
        }
        Ok(())
    }

    fn intend(&mut self, intents: &[NewIntent<'_>]) -> Result<u64, JournalError> {
        let first = self.next_intent;
        let Some((job, is_recorded)) = self.job.clone() else {
            return Err(JournalError::Input("a label is to be written by no job".to_owned()));
        };
        if intents.is_empty() {
            return Ok(first);
        }
        let recorded = intents.iter().zip(first..).map(|(intent, number)| record_of(intent, number, job.id));
        let mut records = intent_records(recorded.collect::<Result<_, _>>()?);
        let id = job.id;
        if !is_recorded {
            if self.length > self.limit {
                self.drop_old_jobs()?;
            }
            records.insert(0, Record::Job(job));
        }
        self.append(&records, true)?;
        if let Some((_, is_recorded)) = &mut self.job {
            *is_recorded = true;
        }
        self.next_job = self.next_job.max(id + 1);
        self.next_intent += intents.len() as u64;
        Ok(first)
    }

    /// Writes records behind the others; all of them or, where that fails, none.
    fn append(&mut self, records: &[Record], durably: bool) -> Result<(), JournalError> {
        if let Some(why) = &self.broken {
            return Err(JournalError::Broken { file: self.shown(), why: why.clone() });
        }
        let mut bytes = Vec::new();
        for record in records {
            let behind = self.length + bytes.len() as u64 - self.synced;
            bytes.extend(frame(record, u32::try_from(behind).unwrap_or(u32::MAX)));
        }
        self.step(Step::Append);
        if let Err(error) = self.write(&bytes) {
            return Err(self.take_back(error));
        }
        self.step(Step::Appended);
        if durably {
            if let Err(error) = self.file.sync_data() {
                return Err(self.take_back(error));
            }
            self.synced = self.length + bytes.len() as u64;
            self.step(Step::Synced);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if self.watch.is_none() {
            return self.file.write_all_at(bytes, self.length);
        }
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.file.write_all_at(first, self.length)?;
        self.step(Step::Torn);
        self.file.write_all_at(second, self.length + first.len() as u64)
    }

    /// Removes what a failed write left. Where that fails too nothing more is written: a later record would follow on
    /// bytes that are none.
    fn take_back(&mut self, error: io::Error) -> JournalError {
        let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
        if let Err(second) = cut {
            self.broken = Some(format!("writing it failed ({error}), and taking that back too ({second})"));
        }
        failed(&self.shown(), "writing it failed", error)
    }

    /// Writes the file anew without its oldest jobs, so that it is half full.
    fn drop_old_jobs(&mut self) -> Result<(), JournalError> {
        let shown = self.shown();
        let mut ledger = Ledger::new(Header { next_job: self.next_job, next_intent: self.next_intent });
        let mut bytes = FileBytes::new(&self.file);
        let ending = replay::read(&mut bytes, |placed| ledger.take(placed))
            .map_err(|error| failed(&shown, "reading it failed", error))?;
        let Some(from) = ledger.cut(ending.kept, self.limit / 2) else { return Ok(()) };
        if from <= HEADER as u64 {
            return Ok(());
        }
        let header = Header { next_job: self.next_job, next_intent: self.next_intent };
        let written = mend::rewrite(&self.dir, &self.file, header, &[(from, ending.kept)], self.watch.as_ref());
        let error = match written {
            Ok((file, length)) => {
                (self.file, self.length, self.synced) = (file, length, length);
                return Ok(());
            }
            Err(error) => failed(&shown, "writing it anew failed", error),
        };
        if !self.is_in_place() {
            self.broken = Some(error.to_string());
        }
        match error {
            // What is there can still be appended to, as long as there is space.
            JournalError::NoSpace { .. } if self.broken.is_none() => Ok(()),
            error => Err(error),
        }
    }

    /// Whether the file still has its name.
    fn is_in_place(&self) -> bool {
        let inode = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
        let named = self.dir.file(NAME, OFlags::RDONLY).ok().flatten();
        named.is_some_and(|named| inode(&named).is_some() && inode(&named) == inode(&self.file))
    }
}

fn record_of(intent: &NewIntent<'_>, number: u64, job: JobId) -> Result<Intent, JournalError> {
    let NewIntent { path, dev, ino, old, new } = *intent;
    if path.len() > LONGEST_PATH || old.is_some_and(|old| old.len() > usize::from(u16::MAX) + 9) {
        let path = String::from_utf8_lossy(path.get(..80).unwrap_or(path));
        return Err(JournalError::Input(format!("{path}…: no path or label is so long")));
    }
    let new = new.map(Mark::of).transpose().map_err(|error| JournalError::Input(error.to_string()))?;
    Ok(Intent { number, job, path: path.to_vec(), dev, ino, old: old.map(<[u8]>::to_vec), new })
}

fn failed(file: &str, what: &'static str, error: io::Error) -> JournalError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => JournalError::NoSpace { file: file.to_owned() },
        _ => JournalError::Io { file: file.to_owned(), what, error },
    }
}

fn shown(root: &Root) -> String {
    root.path().join(FOLDER.trim_start_matches('/')).join(NAME).display().to_string()
}

/// Reads a root's journal without changing it; what is torn off or damaged is left as it is. `None` without one.
pub fn read(root: &Root, each: impl FnMut(Placed)) -> Result<Option<Vec<Problem>>, JournalError> {
    let shown = shown(root);
    let fail = |error| failed(&shown, "reading it failed", error);
    let Some(dir) = StateDir::open(root).map_err(fail)? else { return Ok(None) };
    let Some(file) = dir.file(NAME, OFlags::RDONLY).map_err(fail)? else { return Ok(None) };
    let mut problems = Vec::new();
    let mut bytes = FileBytes::new(&file);
    if let Err(error) = Header::parse(bytes.window(0, HEADER).map_err(fail)?) {
        problems.push(Problem::new(format!("{shown}: {error}"), mend::NEXT_RUN));
    }
    let ending = replay::read(&mut bytes, each).map_err(fail)?;
    problems.extend(ending.damaged.iter().map(|damage| mend::told(&shown, damage, mend::NEXT_RUN)));
    Ok(Some(problems))
}

/// A file's bytes for [`replay::read`].
struct FileBytes<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    at: u64,
}

impl<'a> FileBytes<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, buffer: Vec::new(), at: 0 }
    }
}

impl Bytes for FileBytes<'_> {
    type Error = io::Error;

    fn window(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let has = |this: &Self| {
            let skip = usize::try_from(offset.checked_sub(this.at)?).ok()?;
            (skip.checked_add(length)? <= this.buffer.len()).then_some(skip)
        };
        let skip = if let Some(skip) = has(self) {
            skip
        } else {
            self.buffer.resize(WINDOW.max(length), 0);
            self.at = offset;
            let mut read = 0;
            while let Some(rest) = self.buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
                match self.file.read_at(rest, offset + read as u64) {
                    Ok(0) => break,
                    Ok(more) => read += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.buffer.truncate(read);
            0
        };
        let end = skip.saturating_add(length).min(self.buffer.len());
        Ok(self.buffer.get(skip..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;

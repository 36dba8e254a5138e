//! The record of what setup changed: each change is on disk before it is made.
#![forbid(unsafe_code)]

use std::io;

use rustix::fs::Mode;

use crate::model::report::Problem;
use crate::model::setup::{Change, RECORD, Record, VERSION, kept_beside};
use crate::sys::attempts::FOLDER;
use crate::sys::kept::{self, NewFile};
use crate::sys::root::Root;
use crate::sys::{clock, state_dir};

/// No record is longer.
const LIMIT: u64 = 1 << 24;

/// Writes files and remembers what was there.
#[derive(Debug)]
pub(super) struct Recorder<'a> {
    root: &'a Root,
    pub(super) record: Record,
}

/// The record of a root; `None` where setup changed nothing.
pub(super) fn read(root: &Root) -> Result<Option<Record>, Problem> {
    let failed = |why: String| Problem::new(format!("{RECORD}: {why}"), format!("look at it, then remove {RECORD}"));
    match root.read(RECORD, LIMIT) {
        Ok(bytes) => {
            let record: Record = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
            if record.version > VERSION {
                return Err(failed(format!("a newer imad wrote it (version {})", record.version)));
            }
            Ok(Some(record))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::new(format!("{RECORD}: {error}"), "run it as root")),
    }
}

impl<'a> Recorder<'a> {
    pub(super) fn open(root: &'a Root, dry_run: bool) -> Result<Self, Problem> {
        let record = read(root)?;
        if !dry_run {
            state_dir::make_folders(root, FOLDER, Mode::RWXU)
                .map_err(|error| Problem::new(format!("{FOLDER}: {error}"), "run it as root"))?;
        }
        Ok(Self { root, record: record.unwrap_or_default() })
    }

    /// Puts a change on record, durably.
    pub(super) fn note(&mut self, change: Change) -> io::Result<()> {
        if !self.record.add(change) {
            return Ok(());
        }
        if self.record.begun_time_us == 0 {
            self.record.begun_time_us = clock::wall_us();
        }
        self.record.version = VERSION;
        self.save()
    }

    pub(super) fn save(&self) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(&self.record)?;
        json.push(b'\n');
        kept::put(self.root, RECORD, &NewFile { bytes: &json, owner: None, mode: 0o600, xattrs: &[] })
    }

    /// Puts a file's replacement on record and keeps what is there.
    pub(super) fn keep(&mut self, path: &str) -> io::Result<()> {
        if self.record.has_file(path) {
            return Ok(());
        }
        let beside = kept::is_file(self.root, path).then(|| kept_beside(path));
        self.note(Change::File { path: path.to_owned(), kept: beside.clone() })?;
        beside.map_or(Ok(()), |beside| kept::keep(self.root, path, &beside))
    }

    /// Writes a file, after what is there was kept.
    pub(super) fn put(&mut self, path: &str, new: &NewFile<'_>) -> io::Result<()> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            state_dir::make_folders(self.root, folder, Mode::from_raw_mode(0o755))?;
        }
        self.keep(path)?;
        kept::put(self.root, path, new)
    }
}

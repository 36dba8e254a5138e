//! Reports that are kept in `/var/lib/imad`, for whoever asks before the next one is made.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};

use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::report::Problem;
use crate::sys::root::Root;
use crate::sys::state_dir::{FOLDER, StateDir};

/// No report is longer.
const LIMIT: u64 = 1 << 24;

/// Reads a report; `None` where there is none. `make` is the command that makes it anew.
pub(super) fn read<T: DeserializeOwned>(root: &Root, file: &str, make: &str) -> Result<Option<T>, Problem> {
    let failed = |why: String, next: &str| Problem::new(format!("{FOLDER}/{file}: {why}"), next);
    let unreadable = |error: io::Error| failed(error.to_string(), "run it as root");
    let Some(folder) = StateDir::open(root).map_err(unreadable)? else { return Ok(None) };
    let Some(open) = folder.file(file, OFlags::RDONLY).map_err(unreadable)? else { return Ok(None) };
    let mut bytes = Vec::new();
    open.take(LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string(), make))
}

/// Writes a report, durably.
pub(super) fn write(root: &Root, file: &str, report: &impl Serialize) -> Result<(), Problem> {
    let write = || {
        let folder = StateDir::create(root)?;
        let mut open = folder.begin(file)?;
        let written = open.write_all(&serde_json::to_vec(report)?).and_then(|()| folder.commit(file, &open));
        if written.is_err() {
            // What failed is reported; that its left-over cannot be removed either adds nothing.
            folder.abandon(file).unwrap_or_default();
        }
        written
    };
    write().map_err(|error: io::Error| {
        Problem::new(format!("{FOLDER}/{file} cannot be written: {error}"), format!("ls -ld {FOLDER}; df {FOLDER}"))
    })
}

/// Removes a report, if there is one.
pub(super) fn forget(root: &Root, file: &str) -> Result<(), Problem> {
    let removed = StateDir::open(root).and_then(|folder| folder.map_or(Ok(()), |folder| folder.remove(file)));
    removed.map_err(|error| {
        let path = format!("{FOLDER}/{file}");
        Problem::new(format!("{path}: {error}"), format!("rm {path}"))
    })
}

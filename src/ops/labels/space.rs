//! Free space, asked before the first label of a file system is written: a run that would fill it writes nothing.
#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};

use super::selection::Picked;
use super::{Request, RunError};
use crate::model::rpm::{Header, PackagedFile};
use crate::sys::file::OpenFile;
use crate::sys::filesystem;
use crate::sys::rpmdb::Database;
use crate::sys::sealed::SealedFile;

/// What the threads of a run know of the room there is.
#[derive(Debug)]
pub(super) struct Space<'a> {
    request: &'a Request<'a>,
    /// Devices with room enough, and what keeps the run from going on.
    known: Mutex<(Vec<u64>, Option<RunError>)>,
}

impl<'a> Space<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        Self { request, known: Mutex::default() }
    }

    /// Whether labels may be written on an open file's file system, of this device number.
    pub(super) fn is_enough(&self, device: u64, file: &OpenFile) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (enough, failure) = &mut *known;
        if failure.is_none() && !enough.contains(&device) {
            match self.look(device, file) {
                Ok(()) => enough.push(device),
                Err(error) => *failure = Some(error),
            }
        }
        failure.is_none()
    }

    /// What keeps the run from going on.
    pub(super) fn into_failure(self) -> Option<RunError> {
        self.known.into_inner().unwrap_or_else(PoisonError::into_inner).1
    }

    fn look(&self, device: u64, file: &OpenFile) -> Result<(), RunError> {
        // Where it cannot be asked, the first label that finds no room says so.
        let Ok(room) = file.room() else { return Ok(()) };
        if room.holds_all() {
            return Ok(());
        }
        let labels = lacking(self.request, device)?;
        if room.holds(labels) {
            return Ok(());
        }
        let mount = filesystem::of(file).map(|filesystem| String::from_utf8_lossy(&filesystem.mounted_at).into_owned());
        Err(RunError::NoSpace {
            mount: mount.unwrap_or_else(|_| format!("device {device}")),
            labels,
            needed: room.needed(labels),
            available: room.available,
        })
    }
}

/// How many files of the selection lie on this device and have another label than their package's signature.
fn lacking(request: &Request<'_>, device: u64) -> Result<u64, RunError> {
    let database = Database::open(request.root)?;
    let mut picked = Picked::new(request.selection, request.root);
    let (mut blob, mut count) = (Vec::new(), 0);
    for number in request.selection.numbers(&database, request.root)? {
        // What cannot be read is not labelled; the run itself reports it.
        if !database.read(number, &mut blob)? {
            continue;
        }
        let Ok(files) = Header::parse(&blob).and_then(|header| {
            header.files()?.iter().map(|file| file?.to_owned()).collect::<Result<Vec<PackagedFile>, _>>()
        }) else {
            continue;
        };
        let ours = |file: &&PackagedFile| {
            file.is_regular()
                && file.is_installed()
                && !request.rules.excludes(&file.path)
                && (request.rules.config_files || !file.is_plain_config())
        };
        for file in files.iter().filter(ours) {
            let Some(signature) = &file.signature else { continue };
            if picked.pick(request.root, file)
                && let Ok(found) = SealedFile::find(request.root, &file.path)
                && found.inode().0 == device
                && found.label().is_ok_and(|label| label.as_ref() != Some(signature))
            {
                count += 1;
            }
        }
    }
    Ok(count)
}

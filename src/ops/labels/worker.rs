//! A thread of a run: judges files, collects what is to be written, and writes it a group at a time.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use super::collected::Collected;
use super::file::{Done, Examined, Labeller, Pending};
use super::log::Log;
use super::memory::Memory;
use super::{Progress, Request, Selection};
use crate::model::journal::Outcome;
use crate::model::rpm::PackagedFile;
use crate::sys::label_journal::NewIntent;
use crate::sys::proofs::Proofs;

/// Labels written together at most: each holds its file open.
const GROUP: usize = 128;

/// Labels that each of so many workers may write together, and as many files that it holds afterwards: half of the files
/// that the process may have open are left to others.
pub(super) fn group(workers: usize, open_files: u64) -> usize {
    let each = usize::try_from(open_files / 4).unwrap_or(usize::MAX) / workers.max(1);
    each.clamp(1, GROUP)
}

/// Files of one package.
#[derive(Debug)]
pub(super) struct Batch {
    /// Place among the collected packages.
    pub(super) place: usize,
    pub(super) package: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) files: Vec<PackagedFile>,
}

/// A label that is to be written: the file's batch, its place in it, and the file.
type Waiting = (Arc<Batch>, usize, Pending);

/// Takes batches until there are none.
pub(super) fn work(
    request: &Request<'_>,
    receiver: &Mutex<Receiver<Batch>>,
    collected: &Mutex<Collected>,
    progress: &Progress,
    log: &Log<'_>,
    proofs: &Proofs,
    together: usize,
) {
    let memory = proofs.is_kept().then(|| Memory::new(proofs, request.trust, request.full, together));
    let labeller = Labeller::new(request, Some(&progress.bytes), memory);
    let list_all = matches!(request.selection, Selection::Paths(_));
    let note = |batch: &Batch, file: &PackagedFile, done: &Done| {
        progress.done.fetch_add(1, Ordering::Relaxed);
        Collected::file(collected, &file.path, done, Some((batch, file)), list_all);
    };
    let mut group: Vec<Waiting> = Vec::new();
    loop {
        let batch = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { break };
        let batch = Arc::new(batch);
        for (place, file) in batch.files.iter().enumerate() {
            if progress.is_canceled() {
                continue; // drain, so that the reader is not left waiting
            }
            match labeller.examine(&file.path, Some(file)) {
                Examined::Done(done) => note(&batch, file, &done),
                Examined::Write(pending) => group.push((batch.clone(), place, pending)),
            }
            if group.len() >= together {
                settle(&labeller, log, std::mem::take(&mut group), note);
            }
        }
    }
    settle(&labeller, log, group, note);
    labeller.finish();
}

fn intent((batch, place, pending): &Waiting) -> Option<NewIntent<'_>> {
    let file = batch.files.get(*place)?;
    let (dev, ino, old) = pending.before();
    Some(NewIntent { path: &file.path, dev, ino, old, new: file.signature.as_deref() })
}

/// Notes what is going to be written, writes it, and notes what became of it.
fn settle(labeller: &Labeller<'_>, log: &Log<'_>, group: Vec<Waiting>, note: impl Fn(&Batch, &PackagedFile, &Done)) {
    // Each has its file: a label's place in the group is that of its intent.
    let intents: Vec<_> = group.iter().filter_map(intent).collect();
    if intents.is_empty() {
        return;
    }
    let noted = log.intend(&intents);
    let mut outcomes = Vec::new();
    for (place_in_group, (batch, place, pending)) in (0..).zip(group) {
        let Some(file) = batch.files.get(place) else { continue };
        let done = match &noted {
            Ok(_) => labeller.settle(&file.path, Some(file), pending),
            Err(why) => pending.leave(why),
        };
        if let Ok(Some(first)) = noted {
            outcomes.push((first + place_in_group, if done.written { Outcome::Written } else { Outcome::NotWritten }));
        }
        note(&batch, file, &done);
    }
    log.done(&outcomes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_leave_files_to_others() {
        assert_eq!(group(2, 1024), 128);
        assert_eq!(group(64, 1024), 4);
        assert_eq!(group(1024, 1024), 1);
        assert_eq!(group(2, u64::MAX), 128);
    }
}

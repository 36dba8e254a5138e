//! A thread of a run: judges files, collects what is to be written, and writes it a group at a time.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use super::collected::Collected;
use super::file::{Done, Examined, Labeller, Pending};
use super::log::Log;
use super::memory::Memory;
use super::protection::Protection;
use super::space::Space;
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

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) collected: &'a Mutex<Collected>,
    pub(super) progress: &'a Progress,
    pub(super) log: &'a Log<'a>,
    pub(super) proofs: &'a Proofs,
    pub(super) space: &'a Space<'a>,
    pub(super) protection: &'a Protection,
    /// Labels that a thread writes together.
    pub(super) together: usize,
}

impl Run<'_> {
    fn note(&self, batch: &Batch, file: &PackagedFile, done: &Done) {
        let list_all = matches!(self.request.selection, Selection::Paths(_));
        self.progress.done.fetch_add(1, Ordering::Relaxed);
        Collected::file(self.collected, &file.path, done, Some((batch, file)), list_all);
    }
}

/// Takes batches until there are none.
pub(super) fn work(run: &Run<'_>, receiver: &Mutex<Receiver<Batch>>) {
    let memory =
        run.proofs.is_kept().then(|| Memory::new(run.proofs, run.request.trust, run.request.full, run.together));
    let labeller = Labeller::new(run.request, Some(&run.progress.bytes), memory).minding(run.protection);
    let mut group: Vec<Waiting> = Vec::new();
    loop {
        let batch = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { break };
        let batch = Arc::new(batch);
        for (place, file) in batch.files.iter().enumerate() {
            if run.progress.is_canceled() {
                continue; // drain, so that the reader is not left waiting
            }
            match labeller.examine(&file.path, Some(file)) {
                Examined::Done(done) => run.note(&batch, file, &done),
                Examined::Write(pending) => group.push((batch.clone(), place, pending)),
            }
            if group.len() >= run.together {
                settle(run, &labeller, std::mem::take(&mut group));
            }
        }
    }
    settle(run, &labeller, group);
    labeller.finish();
}

fn intent((batch, place, pending): &Waiting) -> Option<NewIntent<'_>> {
    let file = batch.files.get(*place)?;
    let (dev, ino, old) = pending.before();
    Some(NewIntent { path: &file.path, dev, ino, old, new: file.signature.as_deref() })
}

/// Notes what is going to be written, writes it, and notes what became of it.
fn settle(run: &Run<'_>, labeller: &Labeller<'_>, group: Vec<Waiting>) {
    if !group.iter().all(|(_, _, pending)| pending.has_room(run.space)) {
        // The run ends with that, whatever else it found.
        run.progress.cancel.store(true, Ordering::Relaxed);
        return;
    }
    // Each has its file: a label's place in the group is that of its intent.
    let intents: Vec<_> = group.iter().filter_map(intent).collect();
    if intents.is_empty() {
        return;
    }
    let noted = run.log.intend(&intents);
    let mut outcomes = Vec::new();
    for (place_in_group, (batch, place, pending)) in (0..).zip(group) {
        let Some(file) = batch.files.get(place) else { continue };
        let done = labeller.settle(&file.path, Some(file), pending);
        if let Some(first) = noted {
            outcomes.push((first + place_in_group, if done.written { Outcome::Written } else { Outcome::NotWritten }));
        }
        run.note(&batch, file, &done);
    }
    run.log.done(&outcomes);
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

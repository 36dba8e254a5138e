//! Labels the files of `/files` of a root as a run does: intents, labels, outcomes; after what an earlier run left.
//!
//! `label-loop ROOT LABEL STEP`: LABEL in hexadecimal; at STEP (counted from 1 over every step of the journal and every
//! label written) the process kills itself. With `hold` for LABEL it takes the lock, says so, and waits to be killed.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what fails ends the program")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use imad::model::journal::{JobEnd, Outcome};
use imad::sys::file::OpenFile;
use imad::sys::label_journal::{LabelJournal, NewIntent, NewJob};
use imad::sys::lock::LabelLock;
use imad::sys::root::Root;
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

/// So small that the journal is written anew now and then.
const LIMIT: u64 = 3000;
const BATCH: usize = 3;

/// Counts steps and dies at one.
#[derive(Clone)]
struct Fate {
    step: Arc<AtomicU64>,
    last: u64,
}

impl Fate {
    fn step(&self) {
        if self.step.fetch_add(1, Ordering::Relaxed) + 1 == self.last {
            kill(getpid(), Signal::SIGKILL).unwrap();
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let root = Root::open(Path::new(&arguments[1])).unwrap();
    let lock = LabelLock::take(&root, Duration::from_secs(10)).unwrap();
    if arguments[2] == "hold" {
        println!("held");
        loop {
            std::thread::park();
        }
    }
    let digits = arguments[2].as_bytes().chunks(2);
    let label: Vec<u8> = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect();
    let fate = Fate { step: Arc::default(), last: arguments[3].parse().unwrap() };
    let watch = fate.clone();
    let watch = Box::new(move |_| watch.step());
    let (journal, found) = LabelJournal::open_watched(&root, &lock, LIMIT, Some(watch)).unwrap();
    assert!(found.problems.is_empty() && !found.judge_all, "{found:?}");

    // What was left comes first, then everything.
    let mut paths: Vec<Vec<u8>> = found.pending.iter().map(|pending| pending.path.clone()).collect();
    let pending = paths.len();
    let known: BTreeSet<_> = paths.iter().cloned().collect();
    let all = root.list("/files").unwrap();
    let all = all.iter().map(|name| format!("/files/{}", name.display()).into_bytes());
    paths.extend(all.filter(|path| !known.contains(path)));

    journal.begin(NewJob { who: "label-loop".to_owned(), selection: "/files".to_owned(), reverts: None });
    let (first, rest) = paths.split_at(pending);
    for batch in first.chunks(BATCH) {
        label_batch(&root, &journal, batch, &label, &fate);
    }
    journal.settle().unwrap();
    for batch in rest.chunks(BATCH) {
        label_batch(&root, &journal, batch, &label, &fate);
    }
    journal.end(JobEnd::Finished).unwrap();
    println!("{} steps", fate.step.load(Ordering::Relaxed));
}

fn label_batch(root: &Root, journal: &LabelJournal, paths: &[Vec<u8>], label: &[u8], fate: &Fate) {
    let open = paths.iter().map(|path| {
        let file = OpenFile::open(root, path).unwrap();
        let (old, identity) = (file.label().unwrap(), file.identity().unwrap());
        (path, file, old, identity)
    });
    let wanting: Vec<_> = open.filter(|(_, _, old, _)| old.as_deref() != Some(label)).collect();
    let intents: Vec<NewIntent<'_>> = wanting
        .iter()
        .map(|(path, _, old, identity)| NewIntent {
            path,
            dev: identity.dev,
            ino: identity.ino,
            old: old.as_deref(),
            new: Some(label),
        })
        .collect();
    let first = journal.intend(&intents).unwrap();
    let mut outcomes = Vec::new();
    for (number, (_, file, _, _)) in (first..).zip(&wanting) {
        fate.step();
        file.set_label(label).unwrap();
        fate.step();
        outcomes.push((number, Outcome::Written));
    }
    if !outcomes.is_empty() {
        journal.done(&outcomes).unwrap();
    }
}

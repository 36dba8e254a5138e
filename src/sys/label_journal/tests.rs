#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::model::journal::ledger::Changes;

const LABEL: &[u8] = &[3, 2, 4, 0xd3, 0x32, 4, 0x49, 0, 1, 9];

struct Place {
    dir: tempfile::TempDir,
    root: Root,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        Self { dir, root }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("var/lib/imad").join(NAME)
    }

    fn lock(&self) -> LabelLock {
        LabelLock::take(&self.root, Duration::ZERO).unwrap()
    }

    fn open(&self, lock: &LabelLock) -> (LabelJournal, Found) {
        LabelJournal::open(&self.root, lock, LIMIT).unwrap()
    }

    /// Every change of the journal as `job path outcome`.
    fn changes(&self) -> Vec<String> {
        let mut changes = Changes::new(|_: &Intent| true);
        assert_eq!(read(&self.root, |placed| changes.take(placed)).unwrap(), Some(Vec::new()));
        let (changes, _) = changes.into_parts();
        let told = changes.iter().map(|change| {
            format!("{} {} {:?}", change.intent.job, String::from_utf8_lossy(&change.intent.path), change.outcome)
        });
        told.collect()
    }
}

fn job(who: &str) -> NewJob {
    NewJob { who: who.to_owned(), selection: "all".to_owned(), reverts: None }
}

fn intents<'a>(paths: &'a [&'a str]) -> Vec<NewIntent<'a>> {
    let intent = |path: &&'a str| NewIntent { path: path.as_bytes(), dev: 1, ino: 2, old: None, new: Some(LABEL) };
    paths.iter().map(intent).collect()
}

#[test]
fn a_run_is_told_and_one_that_changes_nothing_leaves_no_trace() {
    let place = Place::new();
    assert_eq!(read(&place.root, |_| {}).unwrap(), None);
    let lock = place.lock();
    let (journal, found) = place.open(&lock);
    assert!(found.pending.is_empty() && found.problems.is_empty() && !found.judge_all);
    assert!(journal.intend(&intents(&["/x"])).is_err());
    let empty = journal.length();
    assert_eq!(journal.begin(job("idle")), 1);
    journal.end(JobEnd::Finished).unwrap();
    assert_eq!(journal.length(), empty);

    assert_eq!(journal.begin(job("busy")), 1);
    let first = journal.intend(&intents(&["/a", "/b"])).unwrap();
    journal.done(&[(first + 1, Outcome::NotWritten), (first, Outcome::Written)]).unwrap();
    let second = journal.intend(&intents(&["/c"])).unwrap();
    assert_eq!((first, second), (0, 2));
    journal.done(&[(second, Outcome::Written)]).unwrap();
    journal.end(JobEnd::Finished).unwrap();
    drop(journal);
    assert_eq!(place.changes(), ["1 /a Some(Written)", "1 /b Some(NotWritten)", "1 /c Some(Written)"]);
    let (journal, found) = place.open(&lock);
    assert!(found.pending.is_empty() && found.problems.is_empty());
    assert_eq!(journal.begin(job("next")), 2);
}

#[test]
fn what_a_killed_run_left_is_pending_until_it_is_settled() {
    let place = Place::new();
    let lock = place.lock();
    let (journal, _) = place.open(&lock);
    journal.begin(job("killed"));
    let first = journal.intend(&intents(&["/a", "/b"])).unwrap();
    journal.done(&[(first, Outcome::Written)]).unwrap();
    drop(journal);
    for _ in 0..2 {
        let (_, found) = place.open(&lock);
        assert_eq!(found.pending.iter().map(|pending| &pending.path[..]).collect::<Vec<_>>(), [b"/b"]);
    }
    let (journal, _) = place.open(&lock);
    journal.begin(job("again"));
    journal.intend(&intents(&["/b"])).unwrap();
    journal.settle().unwrap();
    drop(journal);
    let (_, found) = place.open(&lock);
    assert_eq!(found.pending.iter().map(|pending| pending.job).collect::<Vec<_>>(), [2]);
}

#[test]
fn every_truncation_is_opened_and_appended_to() {
    let place = Place::new();
    let lock = place.lock();
    let (journal, _) = place.open(&lock);
    journal.begin(job("a"));
    journal.intend(&intents(&["/a", "/b"])).unwrap();
    journal.done(&[(0, Outcome::Written), (1, Outcome::Written)]).unwrap();
    journal.end(JobEnd::Finished).unwrap();
    drop(journal);
    let whole = std::fs::read(place.path()).unwrap();
    for length in (HEADER..whole.len()).step_by(29) {
        std::fs::write(place.path(), &whole[..length]).unwrap();
        let (journal, found) = place.open(&lock);
        assert!(found.problems.is_empty() && !found.judge_all, "{length}");
        journal.begin(job("b"));
        let number = journal.intend(&intents(&["/c"])).unwrap();
        journal.done(&[(number, Outcome::Written)]).unwrap();
        journal.settle().unwrap();
        journal.end(JobEnd::Finished).unwrap();
        drop(journal);
        let (_, found) = place.open(&lock);
        assert!(found.pending.is_empty() && found.torn == 0, "{length}: {found:?}");
        assert!(place.changes().last().unwrap().ends_with("/c Some(Written)"), "{length}");
    }
}

#[test]
fn damage_is_told_set_aside_and_the_rest_is_kept() {
    let place = Place::new();
    let lock = place.lock();
    let (journal, _) = place.open(&lock);
    let mut ends = Vec::new();
    for path in ["/a", "/b", "/c"] {
        journal.begin(job(path));
        ends.push(usize::try_from(journal.length()).unwrap());
        let number = journal.intend(&intents(&[path])).unwrap();
        journal.done(&[(number, Outcome::Written)]).unwrap();
        journal.end(JobEnd::Finished).unwrap();
    }
    drop(journal);
    let whole = std::fs::read(place.path()).unwrap();
    let mut damaged = whole.clone();
    damaged[ends[1] + 20] ^= 1;
    std::fs::write(place.path(), &damaged).unwrap();
    let mut problems = Vec::new();
    let jobs = std::cell::Cell::new(0);
    problems.extend(
        read(&place.root, |placed| jobs.set(jobs.get() + u32::from(matches!(placed.record, Record::Job(_)))))
            .unwrap()
            .unwrap(),
    );
    assert_eq!((problems.len(), jobs.get()), (1, 2));
    let (journal, found) = place.open(&lock);
    assert!(found.judge_all);
    let Problem { what, next } = &found.problems[0];
    assert!(what.contains(&format!("bytes at offset {} cannot be read: a record's checksum", ends[1])), "{what}");
    assert!(next.ends_with("labels.journal.damaged"), "{next}");
    assert_eq!(std::fs::read(place.path().with_extension("journal.damaged")).unwrap(), damaged);
    assert_eq!(journal.begin(job("next")), 4);
    drop(journal);
    assert_eq!(place.changes().len(), 3);

    // A damaged beginning loses nothing else.
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    std::fs::write(place.path(), &damaged).unwrap();
    let (journal, found) = place.open(&lock);
    assert!(found.problems[0].what.contains("32 bytes at offset 0"), "{found:?}");
    assert_eq!(journal.begin(job("next")), 4);
    drop(journal);
    assert_eq!(place.changes().len(), 3);
}

#[test]
fn another_version_and_another_file_are_set_aside() {
    let place = Place::new();
    let lock = place.lock();
    drop(place.open(&lock));
    let mut other = std::fs::read(place.path()).unwrap();
    other[8] = 9;
    for (content, expected) in [(&other[..], "version 9"), (b"x", "does not begin as"), (b"", "does not begin as")] {
        std::fs::write(place.path(), content).unwrap();
        assert_eq!(read(&place.root, |_| {}).unwrap().unwrap().len(), 1);
        let (journal, found) = place.open(&lock);
        assert!(found.judge_all && found.problems[0].what.contains(expected), "{found:?}");
        assert_eq!(journal.begin(job("next")), 1);
        drop(journal);
        assert!(place.open(&lock).1.problems.is_empty());
    }
    assert_eq!(std::fs::read(place.path().with_extension("journal.damaged")).unwrap(), other);
    assert_eq!(std::fs::read(place.path().with_extension("journal.damaged.2")).unwrap(), b"x");
}

#[test]
fn old_jobs_go_when_the_file_is_full() {
    let place = Place::new();
    let lock = place.lock();
    for round in 1..=25 {
        let (journal, found) = LabelJournal::open(&place.root, &lock, 3000).unwrap();
        assert!(found.pending.is_empty() && found.problems.is_empty(), "{round}: {found:?}");
        assert_eq!(journal.begin(job(&"x".repeat(200))), round);
        let number = journal.intend(&intents(&["/a"])).unwrap();
        journal.done(&[(number, Outcome::Written)]).unwrap();
        journal.end(JobEnd::Finished).unwrap();
        assert!(journal.length() < 3500, "{round}");
    }
    let changes = place.changes();
    assert!((3..12).contains(&changes.len()), "{}", changes.len());
    assert_eq!(changes.last().unwrap(), "25 /a Some(Written)");
}

#[test]
fn a_write_that_fails_is_taken_back() {
    let place = Place::new();
    let lock = place.lock();
    let (journal, _) = place.open(&lock);
    journal.begin(job("a"));
    journal.intend(&intents(&["/a"])).unwrap();
    let before = std::fs::read(place.path()).unwrap();
    {
        let mut inner = journal.lock();
        let reading = File::open(place.path()).unwrap();
        let writing = std::mem::replace(&mut inner.file, reading);
        // A file that cannot be written cannot be cut either: nothing more is recorded.
        assert!(inner.append(&[Record::Done(vec![(0, Outcome::Written)])], true).is_err());
        inner.file = writing;
        assert!(inner.broken.is_some());
    }
    let error = journal.intend(&intents(&["/b"])).unwrap_err();
    assert!(matches!(&error, JournalError::Broken { .. }) && error.next_step().contains("dmesg"), "{error}");
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
    let long = vec![b'x'; LONGEST_PATH + 1];
    let intent = NewIntent { path: &long, dev: 1, ino: 1, old: None, new: None };
    assert!(matches!(journal.intend(&[intent]), Err(JournalError::Input(_))));
}

#[test]
fn a_hundred_thousand_intents_cost_less_than_a_second() {
    let place = Place::new();
    let lock = place.lock();
    let (journal, _) = place.open(&lock);
    journal.begin(job("everything"));
    let paths: Vec<String> = (0..100_000).map(|n| format!("/usr/share/doc/package{}/file{n}", n / 20)).collect();
    // Of this thread: other tests run beside it.
    let thread = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    let cpu = || Duration::from(nix::time::clock_gettime(thread).unwrap());
    let (before, wall) = (cpu(), Instant::now());
    for batch in paths.chunks(512) {
        let batch: Vec<_> = batch.iter().map(String::as_str).collect();
        let first = journal.intend(&intents(&batch)).unwrap();
        let outcomes: Vec<_> = (first..first + batch.len() as u64).map(|number| (number, Outcome::Written)).collect();
        journal.done(&outcomes).unwrap();
    }
    journal.end(JobEnd::Finished).unwrap();
    let (cpu, wall) = (cpu().saturating_sub(before).as_millis(), wall.elapsed());
    println!("100,000 intents: {cpu} ms CPU, {wall:?}, {} bytes", journal.length());
    // Not even optimized.
    assert!(journal.length() < 8 << 20 && cpu < 1000, "{cpu} ms");
    drop(journal);
    let begin = Instant::now();
    let (_, found) = place.open(&lock);
    println!("opened again in {:?}", begin.elapsed());
    assert!(found.pending.is_empty());
}

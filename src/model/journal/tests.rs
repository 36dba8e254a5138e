use proptest::prelude::*;

use super::format::{HEADER, Header, HeaderError, LONGEST, Record, Scanned, done_records, frame, intent_records, scan};
use super::ledger::Ledger;
use super::replay::{Ending, Placed, read};
use super::*;

fn job(id: JobId) -> Job {
    Job { id, time_us: 17, boot: [3; 16], who: "test".to_owned(), selection: "all".to_owned(), reverts: None }
}

fn intent(number: u64, job: JobId, path: &str) -> Intent {
    let new = Some(Mark::of(&[3, 2, 4, 1, 2, 3, 4, 0, 1, 9]).unwrap());
    Intent { number, job, path: path.into(), dev: 1, ino: number, old: Some(vec![4, 4, 7]), new }
}

/// A file of one job, three batches, and the offsets at which its records end.
fn sample() -> (Vec<u8>, Vec<usize>, Vec<Record>) {
    let records = vec![
        Record::Job(job(5)),
        Record::Intents((0..3).map(|number| intent(number, 5, &format!("/usr/bin/tool{number}"))).collect()),
        Record::Done(vec![(0, Outcome::Written), (1, Outcome::Written), (2, Outcome::NotWritten)]),
        Record::Intents((3..5).map(|number| intent(number, 5, "/usr/lib/x")).collect()),
        Record::Done(vec![(3, Outcome::Written)]),
        Record::End { job: 5, time_us: 99, end: JobEnd::Failed("disk full".to_owned()) },
    ];
    let mut bytes = Header { next_job: 1, next_intent: 0 }.bytes().to_vec();
    let mut ends = vec![bytes.len()];
    let mut synced = bytes.len();
    for record in &records {
        let behind = u32::try_from(bytes.len() - synced).unwrap();
        bytes.extend(frame(record, behind));
        // As the journal does: a batch of intents and an end are durable before anything else is done.
        if matches!(record, Record::Intents(_) | Record::End { .. }) {
            synced = bytes.len();
        }
        ends.push(bytes.len());
    }
    (bytes, ends, records)
}

fn all(mut bytes: &[u8]) -> (Vec<Record>, Ending) {
    let mut records = Vec::new();
    let Ok(ending) = read(&mut bytes, |placed: Placed| records.push(placed.record));
    (records, ending)
}

#[test]
fn every_truncation_keeps_what_is_before_it() {
    let (bytes, ends, records) = sample();
    for length in HEADER..=bytes.len() {
        let (read, ending) = all(&bytes[..length]);
        let whole = ends.iter().rposition(|end| *end <= length).unwrap();
        assert_eq!(read, records[..whole], "{length}");
        assert_eq!((ending.kept, ending.torn), (ends[whole] as u64, (length - ends[whole]) as u64), "{length}");
        assert_eq!(ending.damaged, []);
    }
}

#[test]
fn every_flipped_byte_is_noticed_and_costs_only_its_record() {
    let (bytes, ends, records) = sample();
    for at in HEADER..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x41;
        let hit = ends.iter().rposition(|end| *end <= at).unwrap();
        let (read, ending) = all(&bytes);
        if hit == records.len() - 1 {
            // Nothing behind it proves that the last record was durable.
            assert_eq!((read.as_slice(), ending.kept), (&records[..hit], ends[hit] as u64), "{at}");
            continue;
        }
        let mut others = records.clone();
        others.remove(hit);
        let is_damaged = !ending.damaged.is_empty();
        if is_damaged {
            assert_eq!((read, ending.damaged[0].at), (others, ends[hit] as u64), "{at}");
            assert_eq!(ending.damaged[0].bytes, (ends[hit + 1] - ends[hit]) as u64, "{at}");
        } else {
            // The last outcomes were not durable yet when the end was written behind them: cut, and judged again.
            assert_eq!((read, hit), (records[..hit].to_vec(), 4), "{at}");
        }
    }
    for at in 0..HEADER {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x41;
        assert!(Header::parse(&bytes).is_err(), "{at}");
    }
}

#[test]
fn zeros_behind_the_end_are_cut() {
    let (mut bytes, ends, records) = sample();
    bytes.extend([0; 5000]);
    let (read, ending) = all(&bytes);
    assert_eq!((read, ending.kept, ending.torn), (records, *ends.last().unwrap() as u64, 5000));
}

#[test]
fn another_version_is_told_from_another_file() {
    let mut bytes = Header { next_job: 7, next_intent: 9 }.bytes();
    assert_eq!(Header::parse(&bytes), Ok(Header { next_job: 7, next_intent: 9 }));
    bytes[8] = 2;
    assert_eq!(Header::parse(&bytes), Err(HeaderError::Version(2)));
    assert_eq!(Header::parse(b"imadjrnl"), Err(HeaderError::NotOurs));
    assert_eq!(Header::parse(&[0; 64]), Err(HeaderError::NotOurs));
}

fn ledger(bytes: &[u8]) -> Ledger {
    let mut ledger = Ledger::new(Header::parse(bytes).unwrap());
    let mut rest = bytes;
    let Ok(_) = read(&mut rest, |placed| ledger.take(placed));
    ledger
}

#[test]
fn intents_without_outcome_are_pending_until_somebody_settles_them() {
    let (bytes, ends, _) = sample();
    let numbers = |bytes: &[u8]| ledger(bytes).into_pending().iter().map(|pending| pending.number).collect::<Vec<_>>();
    assert_eq!(numbers(&bytes[..ends[2]]), [0, 1, 2]);
    assert!(numbers(&bytes[..ends[3]]).is_empty());
    assert_eq!(numbers(&bytes[..ends[4]]), [3, 4]);
    // The job ended, and yet the outcome of one was not recorded.
    assert_eq!(numbers(&bytes), [4]);
    assert_eq!(ledger(&bytes).unsettled(), [5]);
    let settled = [bytes, frame(&Record::End { job: 5, time_us: 1, end: JobEnd::Interrupted }, 0)].concat();
    assert!(ledger(&settled).is_settled() && ledger(&settled).unsettled().is_empty());
    assert_eq!((ledger(&settled).next_job, ledger(&settled).next_intent), (6, 5));
}

#[test]
fn old_jobs_are_dropped_but_never_the_last_or_an_unsettled_one() {
    let mut ledger = Ledger::new(Header { next_job: 1, next_intent: 0 });
    for (id, at) in [(1, 32), (2, 1000), (3, 2000)] {
        ledger.take(Placed { at, size: 100, record: Record::Job(job(id)) });
        ledger.take(Placed { at, size: 9, record: Record::End { job: id, time_us: 0, end: JobEnd::Finished } });
    }
    assert_eq!(ledger.cut(3000, 10_000), Some(32));
    assert_eq!(ledger.cut(3000, 2500), Some(1000));
    assert_eq!(ledger.cut(3000, 10), Some(2000));
    ledger.take(Placed { at: 1100, size: 9, record: Record::Intents(vec![intent(8, 2, "/x")]) });
    assert_eq!(ledger.cut(3000, 10), Some(1000));
}

#[test]
fn long_batches_are_parted_and_marks_have_words() {
    let intents = (0..10_000).map(|number| intent(number, 1, &format!("/usr/share/{number}/{}", "x".repeat(200))));
    let intents: Vec<_> = intents.collect();
    let records = intent_records(intents.clone());
    assert!(records.len() > 5);
    let mut read = Vec::new();
    for record in &records {
        let bytes = frame(record, 0);
        assert!(bytes.len() <= LONGEST);
        let Scanned::Record(Record::Intents(part), _, 0) = scan(&bytes) else { panic!("no record") };
        read.extend(part);
    }
    assert_eq!(read, intents);
    let scattered: Vec<_> = (0..50_000).map(|n| (n * 2, Outcome::Written)).collect();
    for record in done_records(scattered) {
        assert!(matches!(scan(&frame(&record, 1)), Scanned::Record(again, _, 1) if again == record));
    }
    assert_eq!(
        Mark::of(&[3, 2, 4, 0xd3, 0x32, 4, 0x49, 0, 1, 9]).unwrap().to_string(),
        "signature by key d3320449 (ce82f9df)"
    );
    assert!(Mark::of(&[4, 4, 7]).unwrap().to_string().starts_with("hash label ("));
    assert!(Mark::of(&[]).unwrap().to_string().starts_with("malformed label ("));
}

fn outcomes() -> impl Strategy<Value = Record> {
    let outcome = prop_oneof![Just(Outcome::Written), Just(Outcome::NotWritten)];
    prop::collection::vec((0..50u64, outcome), 1..30).prop_map(Record::Done)
}

fn intents() -> impl Strategy<Value = Record> {
    let label = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let one = (prop::collection::vec(any::<u8>(), 0..60), any::<u64>(), any::<u64>(), label(), label());
    (any::<u64>(), 0..u64::MAX / 2, prop::collection::vec(one, 1..8)).prop_map(|(job, first, files)| {
        let intents = (first..).zip(files).map(|(number, (path, dev, ino, old, new))| {
            let new = new.map(|label| Mark::of(&label).unwrap());
            Intent { number, job, path, dev, ino, old, new }
        });
        Record::Intents(intents.collect())
    })
}

fn record() -> impl Strategy<Value = Record> {
    let end = prop_oneof![
        Just(JobEnd::Finished),
        Just(JobEnd::Cancelled),
        Just(JobEnd::Interrupted),
        ".{0,20}".prop_map(JobEnd::Failed)
    ];
    let reverts = prop::option::of(1..u64::MAX);
    prop_oneof![
        (any::<u64>(), any::<u64>(), any::<[u8; 16]>(), ".{0,20}", ".{0,20}", reverts).prop_map(
            |(id, time_us, boot, who, selection, reverts)| Record::Job(Job {
                id,
                time_us,
                boot,
                who,
                selection,
                reverts
            })
        ),
        (any::<u64>(), any::<u64>(), end).prop_map(|(job, time_us, end)| Record::End { job, time_us, end }),
        outcomes(),
        intents(),
    ]
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(records in prop::collection::vec(record(), 0..12), behind in any::<u32>()) {
        let mut bytes = Header { next_job: 1, next_intent: 0 }.bytes().to_vec();
        for record in &records {
            bytes.extend(frame(record, behind));
        }
        let (again, ending) = all(&bytes);
        prop_assert_eq!(again, records);
        prop_assert_eq!(ending, Ending { kept: bytes.len() as u64, torn: 0, damaged: Vec::new() });
    }

    #[test]
    fn any_damage_keeps_what_is_before_it(
        records in prop::collection::vec(record(), 1..8),
        at in any::<prop::sample::Index>(),
        junk in prop::collection::vec(any::<u8>(), 0..20),
        cut in 0usize..40,
    ) {
        let mut bytes = Header { next_job: 1, next_intent: 0 }.bytes().to_vec();
        let mut ends = vec![bytes.len()];
        for record in &records {
            bytes.extend(frame(record, 0));
            ends.push(bytes.len());
        }
        let at = HEADER + at.index(bytes.len() - HEADER);
        let upto = (at + cut).min(bytes.len());
        bytes.splice(at..upto, junk);
        let before = ends.iter().rposition(|end| *end <= at).unwrap();
        let (again, ending) = all(&bytes);
        prop_assert_eq!(&again[..before], &records[..before]);
        prop_assert!(ending.kept >= ends[before] as u64);
        prop_assert!(ending.kept + ending.torn == bytes.len() as u64);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Header::parse(&bytes);
        let _ = scan(&bytes);
        let _ = all(&bytes);
    }
}

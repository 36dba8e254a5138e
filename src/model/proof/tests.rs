use proptest::prelude::*;

use super::super::algo::HashAlgo;
use super::super::verify::Hasher;
use super::*;

const BOOT: [u8; 16] = [7; 16];
const SECOND: i64 = 1_000_000_000;

fn facts(ino: u64) -> FileFacts {
    FileFacts { dev: 0xfe00, ino, size: 100 + ino, mtime: 5, ctime: 6 }
}

/// A statement of its own for each number.
fn said(n: u64) -> Statement {
    Statement::new(&mut sha256(), &n.to_le_bytes(), &[0; 32], &[1]).unwrap()
}

fn sha256() -> Hasher {
    Hasher::new(HashAlgo::Sha256).unwrap()
}

fn some() -> VerifiedFiles {
    let mut files = VerifiedFiles::new(BOOT, 0);
    for ino in [5, 3, 9, 1] {
        files.note(&facts(ino), said(ino));
    }
    files.sort();
    files
}

#[test]
fn what_was_said_holds_while_every_fact_is_the_same() {
    let mut files = some();
    assert_eq!(files.get(&facts(3)), Some(said(3)));
    assert_eq!(files.get(&facts(4)), None);
    let same = facts(3);
    for changed in [
        FileFacts { dev: 1, ..same },
        FileFacts { size: 1, ..same },
        FileFacts { mtime: 6, ..same },
        FileFacts { ctime: 7, ..same },
    ] {
        assert_eq!(files.get(&changed), None, "{changed:?}");
    }
    // Noted again: the last word holds.
    files.note(&FileFacts { ctime: 7, ..same }, said(1));
    files.note(&FileFacts { ctime: 8, ..same }, said(2));
    files.sort();
    assert_eq!(files.len(), 4);
    assert_eq!(files.get(&same), None);
    assert_eq!(files.get(&FileFacts { ctime: 8, ..same }), Some(said(2)));
    assert_eq!(files.get(&facts(9)), Some(said(9)));
}

#[test]
fn what_was_wrong_is_forgotten() {
    let mut files = some();
    files.forget(&FileFacts { ctime: 7, ..facts(3) });
    assert_eq!(files.get(&facts(3)), Some(said(3)));
    files.forget(&facts(3));
    assert_eq!(files.get(&facts(3)), None);
    let mut again = VerifiedFiles::parse(&files.bytes(), BOOT, 0).unwrap();
    assert_eq!(again.get(&facts(3)), None);
    assert_eq!(again.get(&facts(5)), Some(said(5)));
}

#[test]
fn another_boot_and_a_clock_set_back_end_it_all() {
    let bytes = some().bytes();
    assert_eq!(VerifiedFiles::parse(&bytes, BOOT, 0).unwrap().len(), 4);
    assert_eq!(VerifiedFiles::parse(&bytes, [8; 16], 0).unwrap_err(), Unusable::OtherBoot);
    assert_eq!(VerifiedFiles::parse(&bytes, BOOT, -SECOND).unwrap_err(), Unusable::ClockSetBack);
    let mut later = VerifiedFiles::parse(&bytes, BOOT, 5 * SECOND).unwrap();
    // Forward, and then back again to where it was.
    assert_eq!(VerifiedFiles::parse(&later.bytes(), BOOT, 0).unwrap_err(), Unusable::ClockSetBack);
}

#[test]
fn what_nobody_asks_for_is_forgotten() {
    let bytes = some().bytes();
    let mut files = VerifiedFiles::parse(&bytes, BOOT, 0).unwrap();
    files.get(&facts(3)).unwrap();
    files.note(&facts(77), said(77));
    files.prune();
    assert_eq!(files.len(), 2);
    assert!(files.get(&facts(3)).is_some() && files.get(&facts(77)).is_some());

    let mut proven = Proven::default();
    (0..100).for_each(|n| proven.note(said(n)));
    let mut proven = Proven::parse(&proven.bytes()).unwrap();
    assert!(proven.has(&said(70)) && !proven.has(&said(100)));
    proven.note(said(100));
    assert!(!proven.has(&said(100)));
    proven.prune();
    assert_eq!(proven.len(), 2);
    assert!(proven.has(&said(70)) && proven.has(&said(100)) && !proven.has(&said(3)));
}

#[test]
fn a_statement_is_about_label_key_and_digest() {
    let of = |label: &[u8], key: u8, signed: &[u8]| Statement::new(&mut sha256(), label, &[key; 32], signed).unwrap();
    let one = of(b"ab", 1, b"c");
    assert_eq!(one, of(b"ab", 1, b"c"));
    for other in [of(b"a", 1, b"c"), of(b"ab", 2, b"c"), of(b"ab", 1, b"d"), of(b"ab", 1, b"")] {
        assert_ne!(one, other);
    }
}

#[test]
fn damage_of_either_file_is_noticed() {
    let mut proven = Proven::default();
    (0..5).for_each(|n| proven.note(said(n)));
    for (bytes, is_read) in [
        (some().bytes(), (|bytes: &[u8]| VerifiedFiles::parse(bytes, BOOT, 0).is_ok()) as fn(&[u8]) -> bool),
        (proven.bytes(), |bytes: &[u8]| Proven::parse(bytes).is_some()),
    ] {
        assert!(is_read(&bytes));
        for length in 0..bytes.len() {
            assert!(!is_read(&bytes[..length]), "{length}");
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert!(!is_read(&bytes), "{at}");
        }
    }
}

#[test]
fn a_hundred_thousand_files_are_looked_up_at_once() {
    let mut files = VerifiedFiles::new(BOOT, 0);
    let statement = said(0);
    (0..100_000).for_each(|ino| files.note(&facts(ino * 7 % 100_003), statement));
    let bytes = files.bytes();
    assert!(bytes.len() < 5_100_000, "{}", bytes.len());
    let begin = std::time::Instant::now();
    let mut files = VerifiedFiles::parse(&bytes, BOOT, 0).unwrap();
    let read = begin.elapsed();
    let found = (0..100_003).filter(|ino| files.get(&facts(*ino)).is_some()).count();
    println!("read in {read:?}, with 100,000 look-ups in {:?}", begin.elapsed());
    assert_eq!(found, 100_000);
}

proptest! {
    #[test]
    fn what_was_noted_is_found_after_saving(
        files in prop::collection::btree_map((0..3u64, any::<u64>()), (any::<u64>(), any::<i64>(), any::<i64>()), 0..60)
    ) {
        let mut verified = VerifiedFiles::new(BOOT, SECOND);
        let facts = |(&(dev, ino), &(size, mtime, ctime)): (&(u64, u64), &(u64, i64, i64))| FileFacts { dev, ino, size, mtime, ctime };
        for file in &files {
            verified.note(&facts(file), said(facts(file).ino));
        }
        let mut again = VerifiedFiles::parse(&verified.bytes(), BOOT, SECOND).unwrap();
        prop_assert_eq!(again.len(), files.len());
        for file in &files {
            let facts = facts(file);
            prop_assert_eq!(again.get(&facts), Some(said(facts.ino)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0..3usize) {
        for (to, from) in bytes.iter_mut().zip([&b"imadvrfd\x01\0\0\0"[..], b"imadsigs\x01\0\0\0", b""][magic]) {
            *to = *from;
        }
        // With a right checksum, so that what is behind it is read.
        seal(&mut bytes);
        let _ = VerifiedFiles::parse(&bytes, BOOT, 0);
        let _ = Proven::parse(&bytes);
    }
}

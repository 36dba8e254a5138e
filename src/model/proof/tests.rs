use proptest::prelude::*;

use super::super::algo::HashAlgo;
use super::*;

const BOOT: [u8; 16] = [7; 16];
const SECOND: i64 = 1_000_000_000;

fn facts(ino: u64) -> FileFacts {
    FileFacts { dev: 0xfe00, ino, size: 100 + ino, mtime: 5, ctime: 6 }
}

fn digest_of(ino: u64) -> Vec<u8> {
    ino.to_le_bytes().repeat(4)
}

fn some() -> Digests {
    let mut digests = Digests::new(BOOT, 0);
    for ino in [5, 3, 9, 1] {
        digests.note(&facts(ino), HashAlgo::Sha256, &digest_of(ino));
    }
    digests.sort();
    digests
}

#[test]
fn a_digest_holds_while_every_fact_is_the_same() {
    let mut digests = some();
    assert_eq!(digests.get(&facts(3), HashAlgo::Sha256), Some(&digest_of(3)[..]));
    assert_eq!(digests.get(&facts(4), HashAlgo::Sha256), None);
    assert_eq!(digests.get(&facts(3), HashAlgo::Sha512), None);
    let same = facts(3);
    for changed in [
        FileFacts { dev: 1, ..same },
        FileFacts { size: 1, ..same },
        FileFacts { mtime: 6, ..same },
        FileFacts { ctime: 7, ..same },
    ] {
        assert_eq!(digests.get(&changed, HashAlgo::Sha256), None, "{changed:?}");
    }
    // Noted again: the last word holds, of another length too.
    digests.note(&FileFacts { ctime: 8, ..same }, HashAlgo::Sha512, &[1; 64]);
    digests.note(&same, HashAlgo::Sha512, &[2; 32]);
    digests.sort();
    assert_eq!(digests.len(), 4);
    assert_eq!(digests.get(&same, HashAlgo::Sha256), None);
    assert_eq!(digests.get(&FileFacts { ctime: 8, ..same }, HashAlgo::Sha512), Some(&[1; 64][..]));
    assert_eq!(digests.get(&facts(9), HashAlgo::Sha256), Some(&digest_of(9)[..]));
}

#[test]
fn another_boot_and_a_clock_set_back_end_every_proof() {
    let bytes = some().bytes();
    assert_eq!(Digests::parse(&bytes, BOOT, 0).unwrap().len(), 4);
    assert_eq!(Digests::parse(&bytes, [8; 16], 0).unwrap_err(), Unusable::OtherBoot);
    assert_eq!(Digests::parse(&bytes, BOOT, -SECOND).unwrap_err(), Unusable::ClockSetBack);
    let mut later = Digests::parse(&bytes, BOOT, 5 * SECOND).unwrap();
    // Forward, and then back again to where it was.
    assert_eq!(Digests::parse(&later.bytes(), BOOT, 0).unwrap_err(), Unusable::ClockSetBack);
}

#[test]
fn what_nobody_asks_for_is_forgotten() {
    let bytes = some().bytes();
    let mut digests = Digests::parse(&bytes, BOOT, 0).unwrap();
    digests.get(&facts(3), HashAlgo::Sha256).unwrap();
    digests.note(&facts(77), HashAlgo::Sha256, &digest_of(77));
    digests.prune();
    assert_eq!(digests.len(), 2);
    assert!(digests.get(&facts(3), HashAlgo::Sha256).is_some() && digests.get(&facts(77), HashAlgo::Sha256).is_some());

    let statement = |n: u8| Statement::new(&[n], &[0; 32], &[1]).unwrap();
    let mut proven = Proven::default();
    (0..100).for_each(|n| proven.note(statement(n)));
    let mut proven = Proven::parse(&proven.bytes()).unwrap();
    assert!(proven.has(&statement(70)) && !proven.has(&statement(100)));
    proven.note(statement(100));
    assert!(!proven.has(&statement(100)));
    proven.prune();
    assert_eq!(proven.len(), 2);
    assert!(proven.has(&statement(70)) && proven.has(&statement(100)) && !proven.has(&statement(3)));
}

#[test]
fn a_statement_is_about_label_key_and_digest() {
    let of = |label: &[u8], key: u8, signed: &[u8]| Statement::new(label, &[key; 32], signed).unwrap();
    let one = of(b"ab", 1, b"c");
    assert_eq!(one, of(b"ab", 1, b"c"));
    for other in [of(b"a", 1, b"c"), of(b"ab", 2, b"c"), of(b"ab", 1, b"d"), of(b"ab", 1, b"")] {
        assert_ne!(one, other);
    }
}

#[test]
fn damage_of_either_file_is_noticed() {
    let mut proven = Proven::default();
    (0..5).for_each(|n| proven.note(Statement::new(&[n], &[0; 32], &[1]).unwrap()));
    for (bytes, is_read) in [
        (some().bytes(), (|bytes: &[u8]| Digests::parse(bytes, BOOT, 0).is_ok()) as fn(&[u8]) -> bool),
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
    let mut digests = Digests::new(BOOT, 0);
    (0..100_000).for_each(|ino| digests.note(&facts(ino * 7 % 100_003), HashAlgo::Sha256, &digest_of(ino)));
    let bytes = digests.bytes();
    assert!(bytes.len() < 7_200_000, "{}", bytes.len());
    let begin = std::time::Instant::now();
    let mut digests = Digests::parse(&bytes, BOOT, 0).unwrap();
    let read = begin.elapsed();
    let found = (0..100_003).filter(|ino| digests.get(&facts(*ino), HashAlgo::Sha256).is_some()).count();
    println!("read in {read:?}, with 100,000 look-ups in {:?}", begin.elapsed());
    assert_eq!(found, 100_000);
}

proptest! {
    #[test]
    fn what_was_noted_is_found_after_saving(
        files in prop::collection::btree_map((0..3u64, any::<u64>()), (any::<u64>(), any::<i64>(), any::<i64>()), 0..60)
    ) {
        let mut digests = Digests::new(BOOT, SECOND);
        let facts = |(&(dev, ino), &(size, mtime, ctime)): (&(u64, u64), &(u64, i64, i64))| FileFacts { dev, ino, size, mtime, ctime };
        for file in &files {
            digests.note(&facts(file), HashAlgo::Sha256, &digest_of(facts(file).ino));
        }
        let mut again = Digests::parse(&digests.bytes(), BOOT, SECOND).unwrap();
        prop_assert_eq!(again.len(), files.len());
        for file in &files {
            let facts = facts(file);
            prop_assert_eq!(again.get(&facts, HashAlgo::Sha256), Some(&digest_of(facts.ino)[..]));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0..3usize) {
        for (to, from) in bytes.iter_mut().zip([&b"imadprfs\x01\0\0\0"[..], b"imadsigs\x01\0\0\0", b""][magic]) {
            *to = *from;
        }
        // With a right checksum, so that what is behind it is read.
        seal(&mut bytes);
        let _ = Digests::parse(&bytes, BOOT, 0);
        let _ = Proven::parse(&bytes);
    }
}

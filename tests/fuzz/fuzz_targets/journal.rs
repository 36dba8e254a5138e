//! Any bytes as a label journal and as remembered proofs: nothing panics, what is read is written and read as the same,
//! and bytes behind a journal's end, or its end cut off, never change what is read before.
#![no_main]

use imad::model::journal::format::{HEADER, Header, Record, Scanned, frame, scan};
use imad::model::journal::ledger::{Changes, Ledger};
use imad::model::journal::replay::{Ending, read};
use imad::model::proof::{Proven, VerifiedFiles};
use libfuzzer_sys::fuzz_target;

fn all(mut bytes: &[u8]) -> (Vec<Record>, Ending) {
    let mut records = Vec::new();
    let Ok(ending) = read(&mut bytes, |placed| records.push(placed.record));
    (records, ending)
}

/// Bytes with the checksum that they ask for, so that what is behind it is reached.
fn framed(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut crc = flate2::Crc::new();
    crc.update(&length);
    crc.update(content);
    [&[0xa7, b'i', b'm', 0x9c], &length[..], &crc.sum().to_le_bytes(), content].concat()
}

fuzz_target!(|input: &[u8]| {
    let _ = Header::parse(input);
    let _ = VerifiedFiles::parse(input, [0; 16], 0);
    let _ = Proven::parse(input);

    let record = framed(input);
    if let Scanned::Record(record, _, behind) = scan(&record) {
        let again = frame(&record, behind);
        assert!(matches!(scan(&again), Scanned::Record(same, _, same_behind) if same == record && same_behind == behind));
    }

    let header = Header { next_job: 1, next_intent: 0 };
    let file = [&header.bytes()[..], input, &record].concat();
    let (records, ending) = all(&file);
    assert!(ending.kept >= HEADER as u64 && ending.kept + ending.torn == file.len() as u64);
    let mut ledger = Ledger::new(header);
    let mut changes = Changes::new(|_: &_| true);
    let mut bytes = &file[..];
    let Ok(_) = read(&mut bytes, |placed| {
        ledger.take(placed.clone());
        changes.take(placed);
    });
    let _ = (ledger.unsettled(), ledger.cut(ending.kept, 100), changes.into_parts());
    // The end cut off: what was read before the first damage is read again.
    if ending.damaged.is_empty() {
        let kept = usize::try_from(ending.kept).unwrap_or(usize::MAX);
        assert_eq!(all(&file[..kept]), (records.clone(), Ending { kept: ending.kept, torn: 0, damaged: Vec::new() }));
        assert_eq!(all(&[&file[..kept], &[0; 40][..]].concat()).0, records);
    }
});

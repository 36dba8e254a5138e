//! The protocol on its own, without a guest.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::wire::{Command, Deframer, Hello, Reply, Request, Status, frames};

fn all(stream: &[u8], step: usize) -> Vec<(u64, Vec<u8>)> {
    let mut deframer = Deframer::default();
    stream.chunks(step).for_each(|chunk| deframer.push(chunk));
    std::iter::from_fn(|| deframer.next()).collect()
}

#[test]
fn messages_come_through_a_socket_whole() {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let body: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    let sent = frames(7, &body);
    let writer = thread::spawn(move || theirs.write_all(&sent).unwrap());
    let (mut deframer, mut buffer) = (Deframer::default(), [0; 4096]);
    let received = loop {
        let count = ours.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the message ended before its end");
        deframer.push(&buffer[..count]);
        if let Some(message) = deframer.next() {
            break message;
        }
    };
    writer.join().unwrap();
    assert!(received == (7, body), "the message has changed");
}

#[test]
fn a_frame_cut_short_does_not_hide_the_next() {
    let lost = frames(1, &[1; 5000]);
    for cut in [0, 1, 7, 8, 20, 28, 29, 30, 4000, lost.len() - 1] {
        let stream = [&lost[..cut], &frames(2, b"hello"), &frames(3, b"")].concat();
        assert_eq!(all(&stream, 13), [(2, b"hello".to_vec()), (3, Vec::new())], "cut at {cut}");
    }
}

#[test]
fn a_message_cut_short_is_dropped() {
    let long = frames(1, &vec![1; 100_000]);
    let stream = [&long[..50_000], &frames(2, b"hello"), &long[50_000..], &frames(3, b"end")].concat();
    assert_eq!(all(&stream, 1000), [(2, b"hello".to_vec()), (3, b"end".to_vec())]);
}

#[test]
fn a_damaged_frame_is_skipped() {
    let good = frames(1, b"some bytes");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let stream = [bad, frames(2, b"hello")].concat();
        assert_eq!(all(&stream, 5), [(2, b"hello".to_vec())], "damaged at {at}");
    }
}

#[test]
fn requests_and_replies_are_read_as_written() {
    let command = Command {
        argv: vec!["sh".into(), "-c".into(), "echo ä".into()],
        stdin: vec![0, 255, 10],
        env: vec![("A".into(), "b c".into())],
        user: Some("nobody".into()),
        timeout: Duration::from_millis(1500),
    };
    let requests = [
        Request::Ping,
        Request::Run(command),
        Request::Run(Command::default()),
        Request::Put { path: "/a".into(), mode: 0o4755, offset: 3, bytes: vec![1; 70_000] },
        Request::Get { path: "/etc/os-release".into() },
    ];
    for request in requests {
        assert_eq!(Request::decode(&request.encode(9)), Some((9, request)));
    }
    let hello = Hello { session: 3, boot_id: "x".into(), initramfs: true, emergency: Some("emergency.service".into()) };
    let statuses = [Status::Exited(-1), Status::Killed(9), Status::TimedOut, Status::NotStarted(13)];
    let ran = statuses.map(|status| Reply::Ran { status, stdout: vec![1], stderr: vec![] });
    let others =
        [Reply::Hello(hello), Reply::Done, Reply::Content(vec![0]), Reply::Failed { errno: 2, message: "no".into() }];
    for reply in ran.into_iter().chain(others) {
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }
}

proptest! {
    #[test]
    fn any_garbage_before_a_frame_is_skipped(garbage in prop::collection::vec(any::<u8>(), 0..3000), step in 1..500_usize) {
        let stream = [&garbage[..], &frames(2, b"hello")].concat();
        prop_assert_eq!(all(&stream, step), [(2, b"hello".to_vec())]);
    }

    #[test]
    fn any_bytes_can_be_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Whatever it is, reading it ends and does not panic.
        drop((Request::decode(&bytes), Reply::decode(&bytes)));
    }
}

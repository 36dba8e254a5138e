//! The kernel's message buffer, read for verdicts: whether a policy was loaded, and what was denied since.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

/// `/dev/kmsg`, standing behind the newest message at the time of opening.
#[derive(Debug)]
pub struct Kmsg(File);

impl Kmsg {
    /// Opens the buffer; only later messages will be read.
    pub fn at_end() -> io::Result<Self> {
        let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// The messages that came since, without their prefix.
    pub fn messages(&mut self) -> io::Result<Vec<String>> {
        let mut messages = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return Ok(messages),
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or(&record)).into_owned();
                    messages.push(message(&text).to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(messages),
                // EPIPE: messages were overwritten before they were read; reading goes on behind the gap.
                Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A message with what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Microseconds since boot.
    pub time_us: u64,
    /// The message.
    pub text: String,
}

/// All messages that the buffer holds, and whether the oldest ones of this boot are gone from it.
pub fn all() -> io::Result<(Vec<Record>, bool)> {
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let (mut records, mut first, mut gap) = (Vec::new(), None, false);
    let mut bytes = [0; 8192];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or(&bytes)).into_owned();
                if let Some((sequence, record)) = record(&text) {
                    first.get_or_insert(sequence);
                    records.push(record);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => gap = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((records, gap || first.is_some_and(|first| first > 0)))
}

fn record(text: &str) -> Option<(u64, Record)> {
    let mut head = text.split_once(';')?.0.split(',').skip(1);
    let (sequence, time_us) = (head.next()?.parse().ok()?, head.next()?.parse().ok()?);
    Some((sequence, Record { time_us, text: message(text).to_owned() }))
}

/// A record is `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT\n[ KEY=VALUE\n]…`.
fn message(record: &str) -> &str {
    record.split_once(';').map_or(record, |(_, text)| text).lines().next().unwrap_or("")
}

/// Writes a line to the console, which is all that a person in front of a machine that does not boot sees.
pub fn to_console(line: &str) -> io::Result<()> {
    let mut console =
        File::options().write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open("/dev/console")?;
    console.write_all(format!("{line}\r\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_text_out_of_a_record() {
        assert_eq!(
            message("6,339,5140900,-;ima: policy update completed\n DEVICE=x\n"),
            "ima: policy update completed"
        );
        assert_eq!(message("garbage"), "garbage");
        let expected = Record { time_us: 5_140_900, text: "ima: policy update completed".to_owned() };
        assert_eq!(record("6,339,5140900,-;ima: policy update completed\n DEVICE=x\n"), Some((339, expected)));
        assert_eq!(record("garbage"), None);
    }
}

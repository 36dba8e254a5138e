//! Opens a journal whatever a crash, another version or a bad disk left of it.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::OFlags;

use super::{FileBytes, Found, NAME, Step, WINDOW, Watch};
use crate::model::journal::format::{HEADER, Header, HeaderError};
use crate::model::journal::ledger::Ledger;
use crate::model::journal::replay::{self, Bytes, Damage};
use crate::model::report::Problem;
use crate::sys::state_dir::StateDir;

/// What mends a journal that was only read.
pub(super) const NEXT_RUN: &str = "imactl relabel (sets it aside and keeps what can be read)";

/// The file, what it says, and its length.
pub(super) fn open(dir: &StateDir, watch: Option<&Watch>, found: &mut Found) -> io::Result<(File, Ledger, u64)> {
    let fresh = Header { next_job: 1, next_intent: 0 };
    let Some(file) = dir.file(NAME, OFlags::RDWR)? else {
        let (file, length) = rewrite(dir, None, fresh, &[], watch)?;
        return Ok((file, Ledger::new(fresh), length));
    };
    let mut bytes = FileBytes::new(&file);
    let header = Header::parse(bytes.window(0, HEADER)?);
    if let Err(error @ HeaderError::Version(_)) = header {
        return set_aside(dir, found, error, watch);
    }
    let mut ledger = Ledger::new(header.unwrap_or(fresh));
    let mut good: Vec<(u64, u64)> = Vec::new();
    let ending = replay::read(&mut bytes, |placed| {
        let end = placed.at + placed.size;
        match good.last_mut() {
            Some((_, last)) if *last == placed.at => *last = end,
            _ => good.push((placed.at, end)),
        }
        ledger.take(placed);
    })?;
    let mut damaged = ending.damaged;
    if let Err(error) = header {
        if good.is_empty() {
            return set_aside(dir, found, error, watch);
        }
        damaged.insert(0, Damage { at: 0, bytes: HEADER as u64, why: "its beginning is damaged" });
    }
    if !damaged.is_empty() {
        let aside = dir.set_aside(NAME)?;
        let next = format!("look at the disk (dmesg); the damaged file is kept: {}", dir.shown(&aside));
        found.problems.extend(damaged.iter().map(|damage| told(&dir.shown(NAME), damage, &next)));
        found.judge_all = true;
        let header = Header { next_job: ledger.next_job, next_intent: ledger.next_intent };
        let (file, length) = rewrite(dir, Some(&file), header, &good, watch)?;
        return Ok((file, ledger, length));
    }
    if ending.torn > 0 {
        found.torn = ending.torn;
        file.set_len(ending.kept)?;
        file.sync_data()?;
    }
    Ok((file, ledger, ending.kept))
}

/// Damage, for people.
pub(super) fn told(shown: &str, damage: &Damage, next: &str) -> Problem {
    let Damage { at, bytes, why } = damage;
    Problem::new(format!("{shown}: {bytes} bytes at offset {at} cannot be read: {why}"), next)
}

/// Puts a file that cannot be read aside and begins a new one.
fn set_aside(
    dir: &StateDir,
    found: &mut Found,
    why: HeaderError,
    watch: Option<&Watch>,
) -> io::Result<(File, Ledger, u64)> {
    let aside = dir.set_aside(NAME)?;
    let what = format!("{}: {why}; a new one is begun, the old one is kept: {}", dir.shown(NAME), dir.shown(&aside));
    let next = match why {
        HeaderError::Version(_) => "use the imad that wrote it, to see or revert what it holds",
        HeaderError::NotOurs => "look at the disk (dmesg)",
    };
    found.problems.push(Problem::new(what, next));
    found.judge_all = true;
    let fresh = Header { next_job: 1, next_intent: 0 };
    let (file, length) = rewrite(dir, None, fresh, &[], watch)?;
    Ok((file, Ledger::new(fresh), length))
}

/// Writes a new file of these parts of the old one, and puts it in its place.
pub(super) fn rewrite<'a>(
    dir: &StateDir,
    old: impl Into<Option<&'a File>>,
    header: Header,
    parts: &[(u64, u64)],
    watch: Option<&Watch>,
) -> io::Result<(File, u64)> {
    let step = |step| {
        if let Some(watch) = watch {
            watch(step);
        }
    };
    let old = old.into();
    let write = || {
        let file = dir.begin(NAME)?;
        file.write_all_at(&header.bytes(), 0)?;
        let mut length = HEADER as u64;
        for &(from, to) in parts {
            let Some(old) = old else { continue };
            let mut bytes = FileBytes::new(old);
            let mut at = from;
            while at < to {
                let wanted = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
                let window = bytes.window(at, wanted)?;
                if window.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.write_all_at(window, length)?;
                at += window.len() as u64;
                length += window.len() as u64;
            }
        }
        step(Step::Begun);
        dir.commit(NAME, &file)?;
        step(Step::Renamed);
        Ok((file, length))
    };
    write().inspect_err(|_| {
        // What failed is reported; that its left-over cannot be removed either adds nothing.
        dir.abandon(NAME).unwrap_or_default();
    })
}

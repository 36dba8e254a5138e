//! Where the record of attempts lasts, chosen by what this machine has: an EFI variable, or a file of the root.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::model::report::Problem;
use crate::model::trial::{Attempts, RecordError};
use crate::ops::lasting;
use crate::sys::attempts::{self, FOLDER, PATH};
use crate::sys::efi_variable;
use crate::sys::root::Root;

/// The variable, with imad's own vendor GUID. Chosen once.
const VARIABLE: &str = "ImadTrial-7b51cf8e-69e9-470a-9ff0-508294ac2b6d";
/// There in an initramfs (systemd's initrd interface).
const INITRAMFS: &str = "/etc/initrd-release";

/// A record that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where, in words.
    pub store: String,
    /// What else a person should know.
    pub problems: Vec<Problem>,
}

/// The newest record of both stores, and what could not be read.
pub(super) fn read(root: &Root) -> (Option<Attempts>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut records = Vec::new();
    match efi(root)
        .and_then(|folder| Ok(folder.map(|folder| efi_variable::read(&folder, VARIABLE)).transpose()?.flatten()))
    {
        Ok(None) => {}
        Ok(Some(value)) => match Attempts::parse(&value) {
            Ok(record) => records.push(record),
            Err(error) => problems.push(damaged(&format!("EFI variable {VARIABLE}"), error)),
        },
        Err(error) => problems.push(Problem::new(
            format!("EFI variable {VARIABLE} cannot be read: {error}"),
            "run it as root; findmnt /sys/firmware/efi/efivars",
        )),
    }
    match root.open_dir(FOLDER).and_then(|dir| attempts::read(&dir)) {
        Ok(None) => {}
        Ok(Some(slots)) => {
            let slots = slots.map(|slot| Attempts::parse(&slot));
            // A write that was cut off leaves one place damaged and the other good: that is what there are two for.
            if slots.iter().all(Result::is_err)
                && let Some(&error) =
                    slots.iter().filter_map(|slot| slot.as_ref().err()).find(|error| **error != RecordError::Empty)
            {
                problems.push(damaged(PATH, error));
            }
            records.extend(slots.into_iter().flatten());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => problems
            .push(Problem::new(format!("{PATH} cannot be read: {error}"), format!("run it as root; ls -l {PATH}"))),
    }
    (Attempts::newest(records), problems)
}

fn damaged(place: &str, error: RecordError) -> Problem {
    Problem::new(
        format!("{place}: {error}; boots on trial are counted anew"),
        "none is needed: the next record takes its place",
    )
}

/// Records attempts so that they last: on return they survive a reset or a loss of power.
pub fn record(root: &Root, record: &Attempts) -> Result<Recorded, Problem> {
    let bytes = record.to_bytes();
    let no_efi = match efi(root) {
        Ok(None) => "this machine has no EFI".to_owned(),
        Ok(Some(folder)) => match efi_variable::write(&folder, VARIABLE, &bytes) {
            Ok(()) => {
                let store = format!("EFI variable {VARIABLE}");
                let problems = also_in_file(root, &bytes).map_or_else(|problem| vec![problem], |it| it.problems);
                return Ok(Recorded { store, problems });
            }
            Err(error) => format!("EFI variable: {error}"),
        },
        Err(error) => format!("EFI variable: {error}"),
    };
    in_file(root, &bytes).map_err(|why| {
        Problem::new(
            format!("an attempt cannot be recorded so that it lasts: {no_efi}; {PATH}: {why}"),
            format!("give {FOLDER} a file system that lasts and has room (findmnt -T {FOLDER}; df -h {FOLDER})"),
        )
    })
}

/// Where an initramfs without the module for EFI variables recorded attempts in the file, it reads nothing else: what the
/// running system changes is to be seen there too.
fn also_in_file(root: &Root, bytes: &[u8]) -> Result<Recorded, Problem> {
    let there =
        root.is_running() && root.open_dir(FOLDER).and_then(|dir| attempts::read(&dir)).is_ok_and(|it| it.is_some());
    if !there {
        return Ok(Recorded { store: String::new(), problems: Vec::new() });
    }
    in_file(root, bytes).map_err(|why| {
        Problem::new(format!("{PATH} holds an older record than the EFI variable: {why}"), format!("rm {PATH}"))
    })
}

/// Records in the file. `Err` says why that would not last.
fn in_file(root: &Root, bytes: &[u8]) -> Result<Recorded, String> {
    let ((), lasting) = lasting::in_state_folder(root, |dir| write(dir, bytes))?;
    Ok(Recorded { store: format!("{PATH} ({})", lasting.how), problems: lasting.problem.into_iter().collect() })
}

/// Overwrites the older of the two places, or makes the file; then reads it back.
fn write(dir: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    match attempts::read(dir)? {
        Some([first, second]) => attempts::overwrite(dir, Attempts::older_slot([&first, &second]), bytes)?,
        None => attempts::create(dir, bytes)?,
    }
    let back = attempts::read(dir)?.is_some_and(|slots| slots.iter().any(|slot| slot.starts_with(bytes)));
    if back { Ok(()) } else { Err(io::Error::other("what was written is not read back")) }
}

/// Removes the record that the firmware keeps. The file is whoever's who tears the rest down.
pub fn forget(root: &Root) -> Result<(), Problem> {
    let removed = efi(root).and_then(|folder| folder.map_or(Ok(()), |folder| efi_variable::remove(&folder, VARIABLE)));
    removed.map_err(|error| {
        let path = format!("/sys/firmware/efi/efivars/{VARIABLE}");
        Problem::new(
            format!("EFI variable {VARIABLE} cannot be removed: {error}"),
            format!("chattr -i {path}; rm {path}"),
        )
    })
}

/// The folder with the EFI variables, where they are those of the machine that boots this root: its running system's, or
/// its initramfs's. Other roots belong to other machines.
fn efi(root: &Root) -> io::Result<Option<PathBuf>> {
    if root.is_running() || Path::new(INITRAMFS).exists() { efi_variable::folder() } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trial::Sum;

    #[test]
    fn the_newest_valid_record_is_read_and_the_older_one_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Root::open(folder.path()).unwrap().open_dir("/").unwrap();
        let mut attempts = Attempts::default();
        for boot in 1..6 {
            attempts = attempts.with_attempt(Sum([1; 32]), [boot; 16]).0;
            write(&dir, &attempts.to_bytes()).unwrap();
            let slots = attempts::read(&dir).unwrap().unwrap();
            let records: Vec<_> = slots.iter().filter_map(|slot| Attempts::parse(slot).ok()).collect();
            assert_eq!(records.len(), if boot == 1 { 1 } else { 2 });
            assert_eq!(Attempts::newest(records), Some(attempts.clone()));
        }
        assert_eq!(attempts.of(Sum([1; 32])).map(|attempt| attempt.count), Some(5));
    }
}

//! `/var/lib/imad/next-boot.json`: the last answer, for whoever asks before the next one.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use rustix::fs::OFlags;

use crate::model::next_boot::NextBoot;
use crate::model::report::{Problem, VERSION};
use crate::sys::root::Root;
use crate::sys::state_dir::{FOLDER, StateDir};

/// The file, in `/var/lib/imad`.
pub const FILE: &str = "next-boot.json";
/// No such file is longer.
const LIMIT: u64 = 1 << 24;

/// Reads the last answer; `None` where there is none of this version.
pub fn read(root: &Root) -> Result<Option<NextBoot>, Problem> {
    let path = format!("{FOLDER}/{FILE}");
    let failed = |why: String, next: &str| Problem::new(format!("{path}: {why}"), next);
    let unreadable = |error: std::io::Error| failed(error.to_string(), "run it as root");
    let Some(folder) = StateDir::open(root).map_err(unreadable)? else { return Ok(None) };
    let Some(file) = folder.file(FILE, OFlags::RDONLY).map_err(unreadable)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    let report: NextBoot =
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string(), "imactl check --next-boot"))?;
    Ok(Some(report).filter(|report| report.version == VERSION))
}

/// Writes an answer down, durably.
pub fn write(root: &Root, report: &NextBoot) -> Result<(), Problem> {
    let write = || {
        let folder = StateDir::create(root)?;
        let mut file = folder.begin(FILE)?;
        let written = file.write_all(&serde_json::to_vec(report)?).and_then(|()| folder.commit(FILE, &file));
        if written.is_err() {
            // What failed is reported; that its left-over cannot be removed either adds nothing.
            folder.abandon(FILE).unwrap_or_default();
        }
        written
    };
    write().map_err(|error: std::io::Error| {
        Problem::new(format!("{FOLDER}/{FILE} cannot be written: {error}"), format!("ls -ld {FOLDER}; df {FOLDER}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(read(&root), Ok(None));
        let report = NextBoot { version: VERSION, ready: true, summary: "x".to_owned(), ..NextBoot::default() };
        write(&root, &report).unwrap();
        assert_eq!(read(&root), Ok(Some(report.clone())));
        write(&root, &NextBoot { version: VERSION + 1, ..report }).unwrap();
        assert_eq!(read(&root), Ok(None));
        std::fs::write(dir.path().join("var/lib/imad").join(FILE), "{").unwrap();
        assert!(read(&root).unwrap_err().what.contains(FILE));
    }
}

//! `/var/lib/imad/next-boot.json`: the last answer, for whoever asks before the next one.
#![forbid(unsafe_code)]

use crate::model::next_boot::NextBoot;
use crate::model::report::{Problem, VERSION};
use crate::ops::record;
use crate::sys::root::Root;

/// The file, in `/var/lib/imad`.
pub const FILE: &str = "next-boot.json";
/// The command that makes it anew.
const MAKE: &str = "imactl check --next-boot";

/// Reads the last answer; `None` where there is none of this version.
pub fn read(root: &Root) -> Result<Option<NextBoot>, Problem> {
    Ok(record::read(root, FILE, MAKE)?.filter(|report: &NextBoot| report.version == VERSION))
}

/// Writes an answer down, durably.
pub(super) fn write(root: &Root, report: &NextBoot) -> Result<(), Problem> {
    record::write(root, FILE, report)
}

/// Removes the answer, if there is one.
pub fn forget(root: &Root) -> Result<(), Problem> {
    record::forget(root, FILE)
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
        forget(&root).unwrap();
        assert_eq!(read(&root), Ok(None));
    }
}

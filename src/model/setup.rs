//! What `imactl setup` changes and what it says; what `imactl teardown` puts back.
//!
//! The record, `/etc/imad/state/setup.json`, is written before each change, so that a setup that was killed anywhere can be
//! taken up again or undone exactly.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::report::Problem;

/// Where a root keeps the record.
pub const RECORD: &str = "/etc/imad/state/setup.json";
/// Version of the record and of the reports.
pub const VERSION: u32 = 1;

/// Everything that setup changed on this root, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the record.
    pub version: u32,
    /// When the first change was made.
    pub begun_time_us: u64,
    /// The changes.
    pub changes: Vec<Change>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// A file was written.
    File {
        /// Which.
        path: String,
        /// Where the one that was there before is kept; absent where there was none.
        kept: Option<String>,
    },
    /// Labels were written, by jobs that carry these words in the label journal.
    Labels {
        /// The words.
        who: String,
    },
    /// A unit was enabled.
    Unit {
        /// Which.
        name: String,
    },
}

impl Record {
    /// Whether a file's first state is on record already.
    pub fn has_file(&self, path: &str) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::File { path: known, .. } if known == path))
    }

    /// Adds a change, unless it is there.
    pub fn add(&mut self, change: Change) -> bool {
        let known = match &change {
            Change::File { path, .. } => self.has_file(path),
            other => self.changes.contains(other),
        };
        if !known {
            self.changes.push(change);
        }
        !known
    }
}

/// Where the file that was there before is kept: beside it, so that putting it back is one rename, and hidden, so that
/// nobody takes it for one of its kind.
pub fn kept_beside(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{folder}/.{name}.before-imad")
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// Everything was as it should be already.
    Already,
    /// Done.
    Done,
    /// It would be done (`--dry-run`).
    Would,
    /// It says no: what follows was not done.
    Refused,
    /// It says no, and went on because of `--force`.
    Forced,
    /// Something earlier said no.
    Skipped,
}

/// A step of setup or teardown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStep {
    /// `keys`, `labels`, `policy`, `keyring`, `images`, `next boot`, `load`, `arm`, …
    pub name: String,
    /// How it ended.
    pub outcome: StepOutcome,
    /// What was found or done, in a sentence.
    pub what: String,
    /// What says no, or wants to be known.
    pub problems: Vec<Problem>,
    /// How long it took.
    pub duration_us: u64,
}

/// What a setup or teardown did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupReport {
    /// Version of the schema.
    pub version: u32,
    /// Nothing was changed, whatever it says.
    pub dry_run: bool,
    /// The steps, in order.
    pub steps: Vec<SetupStep>,
    /// It is armed (setup), or nothing is left (teardown).
    pub complete: bool,
    /// What the next reboot will do, in plain words.
    pub next_reboot: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_first_state_is_recorded_once() {
        let mut record = Record::default();
        let file = |kept: Option<&str>| Change::File { path: "/boot/initrd".to_owned(), kept: kept.map(str::to_owned) };
        assert!(record.add(file(Some("/boot/.initrd.before-imad"))));
        assert!(!record.add(file(None)));
        assert!(record.add(Change::Unit { name: "imad.service".to_owned() }));
        assert!(!record.add(Change::Unit { name: "imad.service".to_owned() }));
        assert_eq!(record.changes.len(), 2);
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#"{"kind":"file","path":"/boot/initrd","kept":"/boot/.initrd.before-imad"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn what_was_there_is_kept_beside_it() {
        assert_eq!(kept_beside("/etc/ima/ima-policy"), "/etc/ima/.ima-policy.before-imad");
    }
}

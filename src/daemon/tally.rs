//! What is known of the labels of all packaged files, package by package, so that a transaction changes only its own.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::model::plan::State;
use crate::model::report::{FileReport, LabelCounts};
use crate::ops::labels::{LISTED, PackageLabels};

/// One package. Most have files in one or two states.
#[derive(Debug)]
struct Entry {
    nevra: Box<str>,
    by_state: Box<[(State, u32)]>,
}

/// The labels of all packages.
#[derive(Debug, Default)]
pub(super) struct Tally {
    packages: BTreeMap<i64, Entry>,
    files: Arc<Vec<FileReport>>,
}

/// Whether a person wants to see a file in this state.
const fn is_listed(state: State) -> bool {
    state.is_denied() || matches!(state, State::Unreadable | State::Unsupported)
}

impl Tally {
    /// Puts in what a run found in whole packages; `files` are those that it listed.
    pub(super) fn merge(&mut self, packages: &[PackageLabels], files: &[FileReport]) {
        for package in packages {
            let by_state =
                package.by_state.iter().map(|(state, count)| (*state, u32::try_from(*count).unwrap_or(u32::MAX)));
            let entry = Entry { nevra: package.nevra.as_str().into(), by_state: by_state.collect() };
            self.packages.insert(package.number, entry);
        }
        let merged: HashSet<&str> = packages.iter().map(|package| package.nevra.as_str()).collect();
        let of_merged = |file: &FileReport| file.package.as_deref().is_some_and(|package| merged.contains(package));
        let kept = self.files.iter().filter(|file| !of_merged(file));
        let new = files.iter().filter(|file| is_listed(file.state) && of_merged(file));
        let mut files: Vec<FileReport> = kept.chain(new).cloned().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.truncate(LISTED);
        files.shrink_to_fit();
        self.files = Arc::new(files);
    }

    /// Keeps the packages with these numbers only.
    pub(super) fn retain(&mut self, numbers: &BTreeSet<i64>) {
        self.packages.retain(|number, _| numbers.contains(number));
        let kept: HashSet<&str> = self.packages.values().map(|entry| &*entry.nevra).collect();
        let is_kept = |file: &FileReport| file.package.as_deref().is_some_and(|package| kept.contains(package));
        if !self.files.iter().all(is_kept) {
            self.files = Arc::new(self.files.iter().filter(|file| is_kept(file)).cloned().collect());
        }
    }

    /// Whether what a run found in parts of packages can be so, as far as is known here.
    pub(super) fn agrees(&self, part: &PackageLabels) -> bool {
        let Some(entry) = self.packages.get(&part.number) else { return false };
        let known = |state| entry.by_state.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
        part.written == 0 && part.by_state.iter().all(|(state, count)| *count <= u64::from(known(*state)))
    }

    /// The sum of all packages.
    pub(super) fn counts(&self) -> LabelCounts {
        let mut counts = LabelCounts { packages: self.packages.len() as u64, ..LabelCounts::default() };
        for (state, count) in self.packages.values().flat_map(|entry| entry.by_state.iter()) {
            counts.files += u64::from(*count);
            *counts.by_state.entry(*state).or_insert(0) += u64::from(*count);
        }
        counts
    }

    /// The files that a person should know of, by path, at most [`LISTED`].
    pub(super) fn files(&self) -> &Arc<Vec<FileReport>> {
        &self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn package(number: i64, name: &str, by_state: &[(State, u64)]) -> PackageLabels {
        PackageLabels {
            number,
            nevra: format!("{name}-1-1.noarch"),
            name: name.to_owned(),
            by_state: by_state.iter().copied().collect(),
            written: 0,
            unsigned_programs: 0,
            foreign_programs: (0, None),
        }
    }

    fn file(path: &str, state: State, package: &str) -> FileReport {
        FileReport {
            path: path.to_owned(),
            state,
            reason: String::new(),
            next: String::new(),
            package: Some(format!("{package}-1-1.noarch")),
            key_id: None,
            written: false,
        }
    }

    #[test]
    fn a_transaction_changes_its_packages_only() {
        let mut tally = Tally::default();
        tally.merge(
            &[package(1, "a", &[(State::Good, 5)]), package(2, "b", &[(State::Good, 3), (State::Unsigned, 2)])],
            &[file("/b1", State::Unsigned, "b"), file("/b2", State::Unsigned, "b")],
        );
        let counts = tally.counts();
        assert_eq!((counts.packages, counts.files, counts.by_state[&State::Good]), (2, 10, 8));
        assert_eq!(tally.files().len(), 2);

        // b goes, c comes.
        tally.merge(&[package(3, "c", &[(State::UntrustedKey, 1)])], &[file("/c", State::UntrustedKey, "c")]);
        tally.retain(&BTreeSet::from([1, 3]));
        let counts = tally.counts();
        assert_eq!((counts.packages, counts.files), (2, 6));
        assert_eq!(counts.by_state.get(&State::Unsigned), None);
        assert_eq!(tally.files().iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["/c"]);

        // c again, mended.
        tally.merge(&[package(3, "c", &[(State::Good, 1)])], &[]);
        assert_eq!((tally.counts().by_state[&State::Good], tally.files().len()), (6, 0));
    }

    #[test]
    fn a_part_agrees_or_does_not() {
        let mut tally = Tally::default();
        tally.merge(&[package(1, "a", &[(State::Good, 5)])], &[]);
        assert!(tally.agrees(&package(1, "a", &[(State::Good, 2)])));
        assert!(!tally.agrees(&package(1, "a", &[(State::Modified, 1)])));
        assert!(!tally.agrees(&package(2, "b", &[])));
        assert!(!tally.agrees(&PackageLabels { written: 1, ..package(1, "a", &[(State::Good, 1)]) }));
    }
}

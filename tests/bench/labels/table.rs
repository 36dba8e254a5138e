//! The table in docs/performance.md.

use std::fmt::Write;
use std::path::Path;

use super::corpus::{File, Key};
use super::cost::{Cost, largest_child};

const BEGIN: &str = "<!-- written by make bench -->\n";
const END: &str = "<!-- end of what make bench writes -->\n";

/// One comparison.
#[derive(Debug)]
pub(crate) struct Row {
    what: &'static str,
    cost: Cost,
    beside: &'static str,
    other: Cost,
    ratio: f64,
    goal: String,
}

impl Row {
    /// Its CPU time is at most so many times the other's.
    pub(crate) fn ratio(what: &'static str, cost: Cost, beside: &'static str, other: Cost, most: f64) -> Self {
        let ratio = cost.cpu.as_secs_f64() / other.cpu.as_secs_f64();
        Self { what, cost, beside, other, ratio, goal: format!("≤ {most:.2} CPU") }
    }

    /// Its CPU time is at least so many times the other's.
    pub(crate) fn at_least(what: &'static str, cost: Cost, beside: &'static str, other: Cost, least: f64) -> Self {
        Self { goal: format!("≥ {least:.1} CPU"), ..Self::ratio(what, cost, beside, other, least) }
    }

    /// Its wall time is at most so many times the other's.
    pub(crate) fn wall(what: &'static str, cost: Cost, beside: &'static str, other: Cost, most: f64) -> Self {
        let ratio = cost.wall.as_secs_f64() / other.wall.as_secs_f64();
        Self { what, cost, beside, other, ratio, goal: format!("≤ {most:.2} wall") }
    }
}

/// All comparisons.
#[derive(Debug, Default)]
pub(crate) struct Table {
    text: String,
    growth: String,
    libraries: String,
    corpus: String,
}

impl Table {
    pub(crate) fn corpus(&mut self, key: Key, files: &[File]) {
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        if key == Key::P256 {
            self.corpus = format!("{} files with signatures, {} MB", files.len(), bytes / 1_000_000);
        }
    }

    pub(crate) fn row(&mut self, key: Key, row: Row) {
        let Row { what, cost, beside, other, ratio, goal } = row;
        let shown = |cost: Cost| format!("{:.2} / {:.2}", cost.cpu.as_secs_f64(), cost.wall.as_secs_f64());
        let line = format!("| {key} | {what} | {} | {beside} | {} | {ratio:.2} | {goal} |", shown(cost), shown(other));
        eprintln!("{line}");
        writeln!(self.text, "{line}").unwrap();
    }

    /// A number of files alike, their first relabel and a check, and the most memory that any process took so far.
    pub(crate) fn growth(&mut self, files: usize, first: Cost, check: Cost) {
        #[expect(clippy::cast_precision_loss, reason = "counts of files")]
        let each =
            |cost: Cost| format!("{:.2} ({:.1})", cost.cpu.as_secs_f64(), cost.cpu.as_secs_f64() * 1e6 / files as f64);
        let (memory, goal) = (largest_child(), (64 << 10) + files * 100 / 1024);
        let line = format!("| {files} | {} | {} | {memory} | ≤ {goal} |", each(first), each(check));
        eprintln!("{line}");
        writeln!(self.growth, "{line}").unwrap();
    }

    /// What verifying takes by each library.
    pub(crate) fn libraries(&mut self, lines: &str) {
        eprint!("{lines}");
        self.libraries.push_str(lines);
    }

    /// Puts the table between its marks.
    pub(crate) fn write(&self, path: &Path) {
        let old = std::fs::read_to_string(path).unwrap();
        let (head, rest) = old.split_once(BEGIN).unwrap_or_else(|| panic!("{} has no {BEGIN}", path.display()));
        let (_, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{} has no {END}", path.display()));
        let cores = std::thread::available_parallelism().unwrap();
        let new = format!(
            "{head}{BEGIN}{}; {cores} cores; {}; the largest process of all, rpm and evmctl among them, took {} MiB.\n\n\
             | key | what | CPU / wall, s | beside | CPU / wall, s | ratio | goal |\n|---|---|---|---|---|---|---|\n{}\n\
             | files alike | first relabel, CPU s (µs a file) | check | memory, KiB | goal |\n|---|---|---|---|---|\n{}\n\
             | beside | key | OpenSSL, µs a signature | aws-lc (RSA: OpenSSL) | ratio |\n|---|---|---|---|---|\n{}{END}{tail}",
            self.corpus,
            openssl::version::version(),
            largest_child() / 1024,
            self.text,
            self.growth,
            self.libraries
        );
        std::fs::write(path, new).unwrap();
    }
}

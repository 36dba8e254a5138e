//! From reports to what a person reads.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};

use super::exit::Failure;
use crate::model::plan::State;
use crate::model::report::{FileReport, LabelCounts, LabelReport, Problem};

/// Prints a document as JSON.
pub(super) fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::system(format!("the report cannot be written as JSON: {error}"), ""))?;
    print(&text)
}

/// Prints text. A reader that went away (`imactl … | head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("standard output: {error}"), ""))
        }
        _ => Ok(()),
    }
}

/// Whether what goes there is coloured: on a terminal, unless `NO_COLOR` is set.
pub(super) fn coloured(stream: &impl IsTerminal) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !plain
}

/// Bold where colours are.
pub(super) fn bold(text: &str) -> String {
    if coloured(&std::io::stdout()) { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// A table without lines, as wide as the terminal.
pub(super) fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A table's text, without the blanks that fill its lines up.
pub(super) fn rows(table: &Table) -> String {
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// A time of the wall clock.
pub(super) fn time(micros: u64) -> String {
    let zone = jiff::tz::TimeZone::system();
    i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()).map_or_else(
        || "an unknown time".to_owned(),
        |time| time.to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// A duration.
pub(super) fn duration(micros: u64) -> String {
    let (seconds, millis) = (micros / 1_000_000, micros / 1_000);
    match micros {
        10_000_000.. => format!("{seconds} s"),
        1_000_000.. => format!("{seconds}.{} s", millis % 1_000 / 100),
        10_000.. => format!("{millis} ms"),
        _ => format!("{millis}.{} ms", micros % 1_000 / 100),
    }
}

/// Counts by state, the largest meaning first.
pub(super) fn counts(counts: &LabelCounts) -> String {
    let states = State::ALL.iter().filter_map(|state| counts.by_state.get(state).map(|count| (state, count)));
    let states = states.filter(|(_, count)| **count > 0).map(|(state, count)| format!("{count} {state}"));
    let states = states.collect::<Vec<_>>().join(", ");
    let written = if counts.written > 0 { format!("; {} written", counts.written) } else { String::new() };
    format!("{} files of {} packages: {states}{written}", counts.files, counts.packages)
}

/// Problems with their next steps.
pub(super) fn problems(problems: &[Problem]) -> String {
    let mut text = String::new();
    for Problem { what, next } in problems {
        // Writing to a String cannot fail.
        write!(text, "- {what}\n  Next: {next}\n").unwrap_or_default();
    }
    text
}

/// Files a line each, with reason and next step.
pub(super) fn files(files: &[FileReport]) -> String {
    let mut text = String::new();
    for file in files {
        let next = if file.next.is_empty() { String::new() } else { format!("\n    Next: {}", file.next) };
        writeln!(text, "{}: {}: {}{next}", file.path, file.state, file.reason).unwrap_or_default();
    }
    text
}

/// A run's report.
pub(super) fn label_report(report: &LabelReport) -> Result<(), Failure> {
    let listed = files(&report.files);
    let more = if report.files.len() == crate::ops::labels::LISTED { "(more files are not listed)\n" } else { "" };
    let took = duration(report.counts.duration_us);
    print(&format!("{listed}{more}{}{} ({took})", problems(&report.problems), counts(&report.counts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(900), "0.9 ms");
        assert_eq!(duration(12_345), "12 ms");
        assert_eq!(duration(1_250_000), "1.2 s");
        assert_eq!(duration(75_000_000), "75 s");
    }
}

//! What is said of a policy file, for people and as the documents of `imactl --json policy …`.
#![forbid(unsafe_code)]

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::canonical::loadable;
use super::kernel::{Kernel, Part};
use super::lex::{Line, lines};
use super::lint::lint;
use super::parse::{Fault, Policy, Verdict, parse, parse_line};
use super::profile::KernelProfile;
use crate::model::diagnostic::{Diagnostic, Severity, column, printable, render};
use crate::model::report::{Problem, VERSION};

/// A policy file, looked through for one kernel.
#[derive(Debug)]
pub struct Checked<'a> {
    file: &'a str,
    kernel: &'a Kernel,
    lines: Vec<Line<'a>>,
    policy: Policy,
    said: Vec<Diagnostic>,
}

/// `imactl --json policy check`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Version of the schema.
    pub version: u32,
    /// The kernels that the files were judged for.
    pub kernels: Vec<KernelReport>,
    /// Each file, for each kernel.
    pub files: Vec<FileCheck>,
    /// What kept the kernel from being known better.
    pub problems: Vec<Problem>,
}

/// A kernel, and where what is known of it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelReport {
    /// Its release, or the file of its configuration.
    pub name: String,
    /// The parts of what it makes of policies.
    pub parts: Vec<Part>,
}

/// A file, judged for one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCheck {
    /// The file.
    pub file: String,
    /// The kernel.
    pub kernel: String,
    /// The kernel takes it.
    pub accepted: bool,
    /// What the kernel's write returns where it does not; absent where the load fails at close.
    pub errno: Option<i32>,
    /// Rules that could be read.
    pub rules: u64,
    /// What keeps it from being loaded.
    pub faults: Vec<Remark>,
    /// What loads, and bricks, opens a hole or surprises.
    pub warnings: Vec<Remark>,
    /// What rules cost that do as they say.
    pub notes: Vec<Remark>,
}

/// Something about a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The stable name of a warning or note.
    pub id: Option<String>,
    /// Number of the line, from 1.
    pub line: u64,
    /// First character of the place, from 1; a byte that belongs to no character counts as one.
    pub column: u64,
    /// The character after the place.
    pub end_column: u64,
    /// The line; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// What it is.
    pub message: String,
    /// Why it matters.
    pub why: Option<String>,
    /// What is allowed there, or what to write instead.
    pub help: Option<String>,
}

/// What `--each-line` prints for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineVerdict {
    /// Number of the line, from 1.
    pub line: u64,
    /// The kernel takes it; comments and empty lines are taken.
    pub accepted: bool,
    /// What the kernel's write returns where it does not.
    pub errno: Option<i32>,
    /// Why not.
    pub message: Option<String>,
    /// The rule in the kernel's order of words; absent where there is none.
    pub rule: Option<String>,
}

/// Looks a policy file through.
pub fn check<'a>(file: &'a str, source: &'a [u8], kernel: &'a Kernel) -> Checked<'a> {
    let lines: Vec<_> = lines(source).collect();
    let policy = parse(source, &kernel.profile);
    let mut said: Vec<_> = policy.faults.iter().map(|fault| diagnostic(fault, &lines)).collect();
    let findings = lint(source, &policy, &kernel.profile);
    let findings = findings.iter().filter_map(|finding| Some(finding.diagnostic(lines.get(finding.line - 1)?)));
    said.extend(findings);
    said.sort_by_key(|said| said.severity);
    Checked { file, kernel, lines, policy, said }
}

fn diagnostic(fault: &Fault, lines: &[Line<'_>]) -> Diagnostic {
    let place = lines.get(fault.line - 1).and_then(|line| line.bytes.get(fault.span.clone()));
    let carriage_return = place.is_some_and(|place| place.ends_with(b"\r"));
    let help = if carriage_return {
        "the line ends in a carriage return; save the file with Unix line ends".to_owned()
    } else {
        fault.kind.help()
    };
    Diagnostic {
        severity: Severity::Error,
        id: None,
        message: fault.kind.to_string(),
        line: fault.line,
        span: fault.span.clone(),
        remarks: vec![("help", help)],
    }
}

/// Faults of a file, without a kernel to judge for.
pub fn faults(file: &str, source: &[u8], policy: &Policy, coloured: bool) -> String {
    let lines: Vec<_> = lines(source).collect();
    let mut text = String::new();
    for fault in &policy.faults {
        let line = lines.get(fault.line - 1).map_or(&b""[..], |line| line.bytes);
        text.push_str(&render(file, line, &diagnostic(fault, &lines), coloured));
        text.push('\n');
    }
    text
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

impl Checked<'_> {
    /// The kernel takes the file.
    pub fn is_accepted(&self) -> bool {
        self.policy.verdict() == Verdict::Accepted
    }

    /// The kernel that the file was judged for.
    pub fn kernel(&self) -> &str {
        &self.kernel.name
    }

    /// There is something to warn of.
    pub fn has_warnings(&self) -> bool {
        self.number(Severity::Warning) > 0
    }

    fn number(&self, severity: Severity) -> usize {
        self.said.iter().filter(|said| said.severity == severity).count()
    }

    fn line(&self, number: usize) -> &[u8] {
        self.lines.get(number - 1).map_or(&b""[..], |line| line.bytes)
    }

    /// Everything that is to be said, faults first, and the answer in the last line. Notes only if asked for.
    pub fn text(&self, notes: bool, coloured: bool) -> String {
        let mut text = String::new();
        for said in self.said.iter().filter(|said| notes || said.severity != Severity::Note) {
            text.push_str(&render(self.file, self.line(said.line), said, coloured));
            text.push('\n');
        }
        let rules = count(self.policy.rules.len(), "rule");
        let warnings = count(self.number(Severity::Warning), "warning");
        let faults = count(self.number(Severity::Error), "fault");
        let answer = match self.policy.verdict() {
            Verdict::Accepted => format!("{rules}, {warnings}"),
            Verdict::Refused(errno) => format!("the kernel refuses it ({}): {faults}, {warnings}", errno.name()),
            Verdict::NoRules => format!("the kernel drops it: {faults}, {warnings}"),
        };
        let hidden = match self.number(Severity::Note) {
            0 => String::new(),
            number if notes => format!(", {}", count(number, "note")),
            number => format!(", {} (--verbose)", count(number, "note")),
        };
        // Writing to a String cannot fail.
        writeln!(text, "{}: {answer}{hidden}", printable(self.file)).unwrap_or_default();
        text
    }

    /// The same as a document.
    pub fn report(&self) -> FileCheck {
        let remarks = |severity| self.said.iter().filter(move |said| said.severity == severity);
        let remarks = |severity| remarks(severity).map(|said| self.remark(said)).collect();
        FileCheck {
            file: self.file.to_owned(),
            kernel: self.kernel.name.clone(),
            accepted: self.is_accepted(),
            errno: match self.policy.verdict() {
                Verdict::Refused(errno) => Some(errno.number()),
                Verdict::Accepted | Verdict::NoRules => None,
            },
            rules: self.policy.rules.len() as u64,
            faults: remarks(Severity::Error),
            warnings: remarks(Severity::Warning),
            notes: remarks(Severity::Note),
        }
    }

    fn remark(&self, said: &Diagnostic) -> Remark {
        let line = self.line(said.line);
        let word = |name: &str| said.remarks.iter().find(|(word, _)| *word == name).map(|(_, text)| text.clone());
        Remark {
            id: said.id.map(str::to_owned),
            line: said.line as u64,
            column: column(line, said.span.start) as u64,
            end_column: column(line, said.span.end) as u64,
            text: String::from_utf8_lossy(line).into_owned(),
            message: said.message.clone(),
            why: word("why"),
            help: word("help"),
        }
    }
}

impl CheckReport {
    /// The document of several files and kernels.
    pub fn new(kernels: &[Kernel], files: Vec<FileCheck>, problems: Vec<Problem>) -> Self {
        let kernels =
            kernels.iter().map(|kernel| KernelReport { name: kernel.name.clone(), parts: kernel.parts.clone() });
        Self { version: VERSION, kernels: kernels.collect(), files, problems }
    }
}

/// Judges every line of a file as a policy of its own, as if it were written to the kernel alone.
pub fn each_line<'a>(source: &'a [u8], profile: &'a KernelProfile) -> impl Iterator<Item = LineVerdict> + use<'a> {
    let lines = if source.is_empty() { 0 } else { usize::MAX };
    let source = source.strip_suffix(b"\n").unwrap_or(source);
    source.split(|&byte| byte == b'\n').take(lines).zip(1..).map(|(text, number)| {
        let verdict = parse_line(&Line::alone(text), profile);
        let (errno, message) = match &verdict {
            Ok(_) => (None, None),
            Err(error) => (Some(error.errno().number()), Some(error.reason.to_string())),
        };
        let rule = verdict.ok().flatten().map(|rule| String::from_utf8_lossy(&loadable(&rule)).into_owned());
        LineVerdict { line: number, accepted: errno.is_none(), errno, message, rule }
    })
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy;

    use super::*;
    use crate::model::policy::kernel::KernelFacts;

    #[test]
    fn faults_come_first_and_the_answer_last() {
        let kernel = Kernel::from_facts(&KernelFacts::default());
        let source = b"measure pcr=40\nallow\nmeasure func=POLICY_CHEK\n";
        let checked = check("p", source, &kernel);
        let text = checked.text(false, false);
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic())).collect();
        assert_eq!(
            heads,
            [
                "error: unknown word `allow`",
                "error: unknown hook `POLICY_CHEK`",
                "warning[pcr-above-31]: PCR 40 is beyond what the kernel keeps track of",
                "p: the kernel refuses it (EINVAL): 2 faults, 1 warning",
            ]
        );
        let report = checked.report();
        assert!(!report.accepted && report.errno == Some(22) && report.rules == 1);
        let fault = &report.faults[1];
        assert_eq!((fault.line, fault.column, fault.end_column), (3, 14, 25));
        assert_eq!(report.warnings[0].id.as_deref(), Some("pcr-above-31"));
    }

    #[test]
    fn every_file_has_an_answer() {
        let kernel = Kernel::from_facts(&KernelFacts::default());
        let answer = |source: &[u8]| check("p", source, &kernel).text(false, false).lines().last().unwrap().to_owned();
        assert_eq!(answer(b"audit uid=0\n"), "p: 1 rule, no warning");
        assert_eq!(answer(b"# nothing\n"), "p: the kernel drops it: 1 fault, no warning");
        assert_eq!(answer(b""), "p: the kernel refuses it (EINVAL): 1 fault, no warning");
        assert_eq!(
            answer(b"audit uid=99999999999999999999\n"),
            "p: the kernel refuses it (ERANGE): 1 fault, no warning"
        );
    }

    proptest::proptest! {
        /// Whatever is in a file, it has an answer, and each place lies in its line.
        #[test]
        fn nothing_is_too_odd_to_be_told(
            words in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::sample::select(vec![
                        &b"measure "[..], b"appraise ", b"dont_appraise\t", b"func=BPRM_CHECK ", b"fsname=a.b ", b"uid<0 ",
                        b"appraise_type=imasig ", b"mask=MAY_READ ", b"\n", b"\r\n", b"\0", b"#", b"\xff", b"\xe6\xbc\xa2 ",
                    ]).prop_map(<[u8]>::to_vec),
                    proptest::collection::vec(proptest::num::u8::ANY, 0..4),
                ],
                0..30,
            )
        ) {
            let source = words.concat();
            let kernel = Kernel::from_facts(&KernelFacts::default());
            let checked = check("p", &source, &kernel);
            let text = checked.text(true, false);
            proptest::prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            let report = checked.report();
            proptest::prop_assert_eq!(report.accepted, report.faults.is_empty());
            for said in report.faults.iter().chain(&report.warnings).chain(&report.notes) {
                let length = column(checked.line(usize::try_from(said.line)?), usize::MAX) as u64;
                proptest::prop_assert!(1 <= said.column && said.column <= said.end_column && said.end_column <= length);
            }
        }
    }

    #[test]
    fn lines_are_judged_alone() {
        let profile = KernelProfile::default();
        let lines: Vec<_> =
            each_line(b"uid=0 measure\nallow\n# x\nmeasure uid=99999999999999999999\naudit", &profile).collect();
        let verdicts: Vec<_> = lines.iter().map(|line| (line.line, line.accepted, line.errno)).collect();
        assert_eq!(
            verdicts,
            [(1, true, None), (2, false, Some(22)), (3, true, None), (4, false, Some(34)), (5, true, None)]
        );
        assert_eq!(lines[0].rule.as_deref(), Some("measure uid=0"));
        assert_eq!(lines[1].message.as_deref(), Some("unknown word `allow`"));
        assert_eq!(lines[2].rule, None);
        assert_eq!(each_line(b"", &profile).count(), 0);
        assert_eq!(each_line(b"\n", &profile).count(), 1);
    }
}

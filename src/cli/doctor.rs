//! `imactl doctor`
#![forbid(unsafe_code)]

use std::fmt::Write;

use super::args::Arguments;
use super::exit::{Answer, Failure};
use super::target::open_root;
use super::{render, status};
use crate::model::doctor::{Diagnosis, Severity};
use crate::ops::doctor;

pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    if root.is_running() && !rustix::process::geteuid().is_root() {
        return Err(Failure::system("only root can look at all that the doctor looks at", "run it as root"));
    }
    let diagnosis = doctor::doctor(&root, &status::gather(&root)?);
    if arguments.json { render::json(&diagnosis) } else { render::print(&text(&diagnosis)) }?;
    Ok(if diagnosis.healthy { Answer::Yes } else { Answer::No })
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = format!("{}\n", render::bold(&summary(diagnosis)));
    let mut area = None;
    for finding in &diagnosis.findings {
        if area != Some(finding.area) {
            area = Some(finding.area);
            // Writing to a String cannot fail.
            write!(text, "\n{}\n", render::bold(finding.area.name())).unwrap_or_default();
        }
        let (severity, problem) = (finding.severity.name(), &finding.problem);
        write!(text, "- {severity}: {}\n  Next: {}\n", problem.what, problem.next).unwrap_or_default();
    }
    text
}

fn summary(diagnosis: &Diagnosis) -> String {
    let count = |severity| diagnosis.findings.iter().filter(|finding| finding.severity == severity).count();
    let kinds = [(Severity::Fault, "fault"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let counted: Vec<String> = kinds
        .into_iter()
        .map(|(severity, word)| (count(severity), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if counted.is_empty() { "Nothing was found.".to_owned() } else { format!("Found: {}.", counted.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::{Area, Finding};
    use crate::model::report::Problem;

    #[test]
    fn findings_are_grouped_by_area() {
        let finding = |area, severity, what: &str| Finding {
            name: "x".to_owned(),
            area,
            severity,
            place: String::new(),
            problem: Problem::new(what, "mend it"),
        };
        let findings = vec![
            finding(Area::Kernel, Severity::Fault, "a"),
            finding(Area::Kernel, Severity::Note, "b"),
            finding(Area::Imad, Severity::Note, "c"),
        ];
        let shown = text(&Diagnosis { findings, ..Diagnosis::default() });
        let expected = "Found: 1 fault, 2 notes.\n\nKernel\n- fault: a\n  Next: mend it\n- note: b\n  Next: mend it\n\
                        \nimad\n- note: c\n  Next: mend it\n";
        assert_eq!(shown, expected);
        assert_eq!(text(&Diagnosis::default()), "Nothing was found.\n");
    }
}

//! What the status names, and imad's own units and folders.
#![forbid(unsafe_code)]

use super::{Area, Facts, Findings, FolderState, Severity};
use crate::model::report::Problem;

pub(super) fn judge(facts: &Facts, found: &mut Findings) {
    for problem in &facts.status {
        found.add("status", Area::Status, Severity::Warning, "imactl status", problem.clone());
    }
    for unit in &facts.units {
        let name = &unit.name;
        // Without them a policy does not last, or the machine does not say why.
        let severity = if facts.policy.exists { Severity::Fault } else { Severity::Warning };
        let lost = lost_without(name);
        let (severity, what, next) = match unit.state.as_deref() {
            Ok("masked" | "masked-runtime") => {
                (severity, format!("{name} is masked: {lost}"), format!("systemctl unmask {name}"))
            }
            Ok("not-found" | "bad") => (severity, format!("{name} is not there: {lost}"), install(name)),
            Ok("disabled" | "linked" | "linked-runtime") => {
                let next = format!("systemctl enable --now {name}");
                (Severity::Warning, format!("{name} is not enabled: {lost}"), next)
            }
            Ok(_) => continue,
            Err(why) => {
                let what = format!("it cannot be told whether {name} is enabled: {why}");
                (Severity::Warning, what, format!("systemctl is-enabled {name}"))
            }
        };
        found.add("unit", Area::Imad, severity, name, Problem::new(what, next));
    }
    for folder in &facts.folders {
        let path = &folder.path;
        let why = match &folder.state {
            FolderState::Writable => continue,
            FolderState::Missing => "it is not there",
            FolderState::Refused { why } => why,
        };
        let what = format!("{path} cannot be written to ({why}): {}", lost_with(path));
        let next = format!("ls -ld {path}; findmnt -T {path}; systemd-tmpfiles --create imad.conf");
        found.add("folder", Area::Imad, Severity::Warning, path, Problem::new(what, next));
    }
}

fn lost_without(unit: &str) -> &'static str {
    match unit {
        "imad.service" => "files of new packages get no labels, and nobody looks at the next boot after an update",
        "imad-confirm.service" => "no boot is confirmed, so a policy on trial is given up",
        _ => "/etc/ima stays hidden after the boot",
    }
}

fn install(unit: &str) -> String {
    let package = if unit == "imad.service" { "imad" } else { "imad-dracut" };
    format!("dnf install {package}")
}

fn lost_with(folder: &str) -> &'static str {
    if folder.starts_with("/etc/") {
        "the manifest is not kept current, and a trial boot may not be recorded"
    } else {
        "what is done to labels is not on record, and what was verified is not remembered"
    }
}

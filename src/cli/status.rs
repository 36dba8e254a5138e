//! `imactl status`
#![forbid(unsafe_code)]

use super::args::Arguments;
use super::exit::{Answer, Failure};
use super::target::open_root;
use super::{client, render, trial};
use crate::model::report::{BootReport, KeyringKind, Loader, NextBootState, Problem, Status};
use crate::ops::status;

pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let from_daemon = if root.is_running() { client::status()? } else { None };
    let status = from_daemon.unwrap_or_else(|| {
        let stopped = if root.is_running() {
            vec![Problem::new("the daemon does not answer; label counts are not known", "systemctl start imad.service")]
        } else {
            Vec::new()
        };
        status::status(&root, None, None, "stopped", stopped)
    });
    if arguments.json {
        render::json(&status)?;
    } else {
        render::print(&text(&status, root.is_running()))?;
    }
    Ok(Answer::Yes)
}

fn text(status: &Status, running: bool) -> String {
    let mut table = render::table();
    if running {
        table.add_row(["Kernel", &kernel(status)]);
    }
    table.add_row(["Policy", &policy(status)]);
    if running {
        table.add_row(["Keys", &keys(status)]);
    }
    for certificate in &status.certificates {
        let id = certificate.key_id.as_deref().unwrap_or("no key id");
        let place = match (running, certificate.in_keyring) {
            (true, true) => ", in the keyring",
            (true, false) => ", not in the keyring",
            (false, _) => "",
        };
        table.add_row([
            "",
            &format!("{}: \"{}\", {} key {id}{place}", certificate.file, certificate.subject, certificate.key),
        ]);
    }
    if let Some(labels) = &status.labels {
        let counted = render::time(labels.counted_time_us);
        table.add_row(["Labels", &format!("{} (counted {counted})", render::counts(labels))]);
    }
    if let Some(transaction) = &status.last_transaction {
        let added = match &transaction.added[..] {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        let labels = format!("{} labels written", transaction.labels.written);
        let when = render::time(transaction.finished_time_us);
        let took = render::duration(transaction.duration_us);
        table.add_row([
            "Last transaction",
            &format!("{when}: {added} installed, {} removed, {labels} in {took}", transaction.removed),
        ]);
        for file in &transaction.denied {
            table.add_row(["", &format!("denied: {}: {}", file.path, file.reason)]);
        }
    }
    if let Some(boot) = &status.boot {
        table.add_row(["Boot", &steps(boot)]);
        if let Some(outcome) = &boot.trial {
            table.add_row(["Trial", &trial::outcome(outcome)]);
        }
    }
    if running {
        table.add_row(["Daemon", &status.daemon]);
    }
    let problems = if status.problems.is_empty() {
        String::new()
    } else {
        format!("\nProblems:\n{}", render::problems(&status.problems))
    };
    let next_boot = status.next_boot.as_ref().map_or_else(String::new, |found| format!("{}\n", next_boot(found)));
    format!("{next_boot}{}\n{}\n{problems}", render::bold(&status.summary), render::rows(&table))
}

/// The first line: what is in the way of the next boot cannot wait.
fn next_boot(found: &NextBootState) -> String {
    let when = if found.outdated {
        let checked = render::time(found.checked_time_us);
        format!(" (as of {checked}, before the last change of packages, policy or initramfs: imactl check --next-boot)")
    } else {
        String::new()
    };
    format!("{}{when}", render::bold(&found.summary))
}

fn kernel(status: &Status) -> String {
    let kernel = &status.kernel;
    if !kernel.ima {
        return format!("{}, no IMA", kernel.release);
    }
    let evm = match kernel.evm {
        None => "no EVM".to_owned(),
        Some(0) => "EVM off".to_owned(),
        Some(value) => format!("EVM {value}"),
    };
    let secure_boot = match kernel.secure_boot {
        None => "no Secure Boot",
        Some(true) => "Secure Boot on",
        Some(false) => "Secure Boot off",
    };
    format!("{}, IMA appraisal {}, {evm}, {secure_boot}", kernel.release, kernel.appraise)
}

fn policy(status: &Status) -> String {
    let policy = &status.policy;
    let Some(sha256) = &policy.sha256 else { return format!("{} is not there", policy.path) };
    let rules = policy.file_rules.map_or_else(|| "no valid rules".to_owned(), |rules| format!("{rules} rules"));
    let label = policy.label_reason.as_deref().unwrap_or("its label is not known");
    let is_rehearsal = status.boot.as_ref().is_some_and(|boot| boot.rehearsal.is_some());
    let loaded = match policy.loaded_by {
        _ if is_rehearsal => "not loaded in a rehearsal",
        Loader::Nobody => "not loaded",
        Loader::ImadBoot => "loaded by imad-boot",
        Loader::Other => "loaded, but not by imad-boot",
        Loader::Unknown => "it cannot be told who loaded it",
    };
    let active = policy.active_rules.map_or_else(String::new, |rules| format!(", {rules} rules active"));
    let changed = match &policy.loaded_sha256 {
        Some(loaded) if loaded != sha256 => "; the file was changed since (takes effect at the next boot)",
        _ => "",
    };
    format!(
        "{} (sha256 {}…): {rules}, {loaded}{active}{changed}; {label}",
        policy.path,
        sha256.get(..12).unwrap_or(sha256)
    )
}

fn keys(status: &Status) -> String {
    let ring = match status.kernel.keyring {
        KeyringKind::Trusted => ".ima",
        KeyringKind::Untrusted => "_ima (takes any key: no trust)",
        KeyringKind::Absent => return "no IMA keyring".to_owned(),
    };
    let names = status.keys.iter().map(|key| key.description.as_str()).collect::<Vec<_>>().join("; ");
    format!("{} in {ring}: {names}", status.keys.len())
}

fn steps(boot: &BootReport) -> String {
    let cpu: u64 = boot.steps.iter().map(|step| step.cpu_us).sum();
    let wall: u64 = boot.steps.iter().map(|step| step.end_us.saturating_sub(step.begin_us)).sum();
    let steps =
        boot.steps.iter().map(|step| format!("{} {}", step.name, render::duration(step.end_us - step.begin_us)));
    let steps = steps.collect::<Vec<_>>().join(", ");
    let verified = boot.policy.verified_by.as_ref().map_or_else(String::new, |by| format!("; load verified by {by}"));
    format!("imad-boot took {} ({} CPU): {steps}{verified}", render::duration(wall), render::duration(cpu))
}

//! The guard: whether this boot comes through under the policy, asked while the policy can still be left unloaded.
#![forbid(unsafe_code)]

use super::policy::Ready;
use crate::model::guard::initramfs_magic;
use crate::model::manifest::Manifest;
use crate::model::policy::builtin::Boot;
use crate::model::report::{GuardOutcome, Problem};
use crate::model::verify::Trust;
use crate::ops::guard::{Case, Checked, Depth, Refused, check, lets_policy_be_read};
use crate::ops::{in_force, manifest, profile};
use crate::sys::root::Root;
use crate::sys::{filesystem, kernel};

/// Refusals that a report names; more are counted.
const NAMED: usize = 20;

/// Asks. `Err`: the policy must not be loaded, and why.
pub(super) fn ask(root: &Root, policy: &Ready, trust: &Trust) -> (GuardOutcome, Result<(), Problem>) {
    let mut outcome = GuardOutcome::default();
    let manifest = match manifest(root) {
        Ok(Some(manifest)) => {
            outcome.manifest = Some(manifest.entries().len() as u64);
            Some(manifest)
        }
        Ok(None) => None,
        Err(problem) => {
            outcome.problems.push(problem);
            None
        }
    };
    // What could not be found out of the kernel counts as usual, and the kernel's own verdict on the load counts.
    let (kernel, _) = profile::running(root);
    let line = kernel::command_line_text().unwrap_or_default();
    let secure_boot = kernel::secure_boot().ok().flatten().unwrap_or(false);
    let boot = Boot { secure_boot, ..Boot::from_command_line(&line) };
    let rules = match in_force::of_file(&policy.path, &policy.bytes, &boot, &kernel.profile) {
        Ok(found) => found.rules,
        Err(problem) => {
            let what = format!("{}; {} is not loaded{}", problem.what, policy.path, policy.outline.about_labels());
            return (outcome, Err(Problem::new(what, problem.next)));
        }
    };
    if let Err(refusal) = lets_policy_be_read(root, &policy.path, trust, &kernel.profile, &boot) {
        return (outcome, Err(refusal));
    }
    let checked = check(&Case {
        root,
        manifest: manifest.as_ref(),
        trust,
        kernel: &kernel.profile,
        rules: &rules,
        initramfs: own_magic(&line),
        depth: Depth::Labels,
    });
    outcome.files = checked.files;
    outcome.read = checked.read;
    outcome.refused = checked.refused.len() as u64;
    outcome.problems.extend(checked.refused.iter().take(NAMED).map(Refused::problem));
    let verdict = verdict(&policy.path, &checked);
    (outcome, verdict)
}

fn verdict(path: &str, checked: &Checked) -> Result<(), Problem> {
    let Some(first) = checked.refused.first() else { return Ok(()) };
    let problem = first.problem();
    let more = match checked.refused.len() {
        1 => String::new(),
        all => format!("; and {} more", all - 1),
    };
    let what = format!("{path} is not loaded: it would deny this boot what it needs: {}{more}", problem.what);
    Err(Problem::new(what, problem.next))
}

/// The boot-critical files as they were when they were last verified.
fn manifest(root: &Root) -> Result<Option<Manifest>, Problem> {
    manifest::read(root).map_err(|problem| {
        Problem::new(format!("{}; the core of the system is checked alone", problem.what), problem.next)
    })
}

/// The magic number of the initramfs that this runs in; where it runs elsewhere, of the one that the command line makes.
fn own_magic(line: &str) -> u64 {
    let own = Root::running().and_then(|root| filesystem::of(root.open_dir("/")?));
    match own {
        Ok(own) if own.name == "rootfs" => own.magic,
        _ => initramfs_magic(line.split_ascii_whitespace().any(|word| word.starts_with("root="))),
    }
}

//! What came of a rehearsal: what the kernel told of, and what the boot needs besides, put to the policy.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::used::{Gone, Used, uses, wants_signatures};
use super::{FILE, policy};
use crate::model::explain::quote;
use crate::model::guard::initramfs_magic;
use crate::model::manifest::Uses;
use crate::model::next_boot::RefusedFile;
use crate::model::policy::builtin::Boot;
use crate::model::policy::effective::Effective;
use crate::model::rehearsal::{RehearsalOutcome, RehearsalReport, TAKEN, WouldBeDenied};
use crate::model::report::{BootReport, Problem, VERSION};
use crate::ops::boot_files::{self, BootFile};
use crate::ops::guard::{self, Case, Depth};
use crate::ops::next_boot::owners;
use crate::ops::{configuration, facts, in_force, keys, manifest, profile, record};
use crate::sys::root::Root;
use crate::sys::{clock, kept};

/// What is said of a file that is known by the kernel alone.
const TOLD: &str = "the kernel told of it";

/// Makes the report of the rehearsal that this boot is, and keeps it.
pub fn report(root: &Root, boot: &BootReport, outcome: &RehearsalOutcome) -> Result<RehearsalReport, Problem> {
    let mut report = make(root, boot, outcome)?;
    match record::write(root, FILE, &report) {
        Ok(()) => {
            if let Err(error) = kept::remove(root, TAKEN) {
                report.problems.push(Problem::new(format!("{TAKEN}: {error}"), format!("rm {TAKEN}")));
            }
        }
        Err(problem) => report.problems.push(problem),
    }
    Ok(report)
}

fn make(root: &Root, boot: &BootReport, outcome: &RehearsalOutcome) -> Result<RehearsalReport, Problem> {
    let began = clock::since_boot_us();
    let bytes = policy(root, &outcome.policy_sha256)?;
    let (config, faults) = configuration::load(root);
    let found = keys::gather(root, &config.keys.dir);
    let (kernel, unsure) = profile::running(root);
    let (started, untold) = in_force::boot();
    let mut problems = [faults, found.problems, unsure, untold, outcome.problems.clone()].concat();
    // As it will be: enforced, whatever this boot was started with.
    let boot_with_it = Boot { appraise: None, ..started };
    let rules = in_force::of_file(&outcome.policy, &bytes, &boot_with_it, &kernel.profile)?.rules;

    let used = Used::gather(root, outcome, boot);
    problems.extend(used.problems.iter().cloned());
    let mut files = boot_files::gather(root);
    problems.append(&mut files.problems);
    let known: Vec<Vec<u8>> = files.files.iter().map(|file| file.path.clone()).collect();
    // They are sorted by path.
    let more = used.files.iter().filter(|path| known.binary_search(path).is_err());
    files.files.extend(more.map(|path| told_of(root, path, &rules)));
    let (manifest, unread) = manifest::make(root, &found.trust, &files);
    problems.extend(unread);
    let line = crate::sys::kernel::command_line().unwrap_or_default();
    let checked = guard::check(&Case {
        root,
        manifest: Some(&manifest),
        trust: &found.trust,
        kernel: &kernel.profile,
        rules: &rules,
        initramfs: initramfs_magic(line.iter().any(|word| word.starts_with("root="))),
        // What verifies was verified just now, with its content.
        depth: Depth::Every,
    });

    let why: BTreeMap<&[u8], &str> = files.files.iter().map(|file| (&file.path[..], file.why.as_str())).collect();
    let mut refused: Vec<WouldBeDenied> = checked
        .refused
        .iter()
        .map(|one| {
            let file = RefusedFile {
                needed_for: why.get(&one.path[..]).filter(|why| **why != TOLD).map(|why| (*why).to_owned()),
                ..owners::unowned(one)
            };
            WouldBeDenied { file, used: used.files.contains(&one.path) }
        })
        .collect();
    owners::name(root, &config, &found.trust, refused.iter_mut().map(|one| &mut one.file));
    let signatures = wants_signatures(&rules);
    for (name, gone) in &used.gone {
        match gone_file(name, gone, signatures) {
            Ok(file) => refused.push(WouldBeDenied { file, used: true }),
            Err(problem) => problems.push(problem),
        }
    }
    let mut report = RehearsalReport {
        version: VERSION,
        policy: outcome.policy.clone(),
        policy_sha256: outcome.policy_sha256.clone(),
        kernel: boot.kernel.clone(),
        way: outcome.way,
        made_time_us: clock::wall_us(),
        used: used.count(),
        files: checked.files,
        problems,
        ..RehearsalReport::default()
    };
    report.finish(refused);
    report.duration_us = clock::since_boot_us() - began;
    Ok(report)
}

/// A file that only the kernel knew of.
fn told_of(root: &Root, path: &[u8], rules: &Effective) -> BootFile {
    let is_executable = facts::look(root, path).is_ok_and(|look| look.is_executable());
    let uses: Uses = uses(is_executable, path, rules);
    BootFile { path: path.to_vec(), uses, core: false, needed: false, why: TOLD.to_owned() }
}

/// What would have become of a file that is not there any more; a problem where that cannot be told.
fn gone_file(name: &[u8], gone: &Gone, signatures: bool) -> Result<RefusedFile, Problem> {
    let path = String::from_utf8_lossy(name).into_owned();
    let why = match gone {
        Gone::Denied(cause) => format!("the kernel recorded it ({cause}); it is not there any more"),
        Gone::Measured(Some(false)) if signatures => {
            "it had no signature when it was used, and is not there any more".to_owned()
        }
        Gone::Measured(_) => {
            let what = format!("{path} was used and is not there any more; whether it would be denied cannot be told");
            return Err(Problem::new(what, "find out what makes it, and look at it there: imactl explain FILE"));
        }
    };
    let next = format!(
        "find out what makes it (journalctl -b), and have that done by a signed file, or exempt it: imactl explain --policy \
         POLICY {}",
        quote(&path)
    );
    Ok(RefusedFile {
        path,
        why,
        label: None,
        package: None,
        rule: None,
        next,
        needed_for: None,
        core: false,
        needed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_gone_its_signature_tells() {
        let unsigned = gone_file(b"/run/x", &Gone::Measured(Some(false)), true).unwrap();
        assert!(unsigned.path == "/run/x" && unsigned.next.ends_with("/run/x"), "{unsigned:?}");
        let denied = gone_file(b"memfd:a b", &Gone::Denied("IMA-signature-required".to_owned()), false).unwrap();
        assert!(denied.why.contains("IMA-signature-required"), "{denied:?}");
        for (gone, signatures) in
            [(Gone::Measured(Some(true)), true), (Gone::Measured(None), true), (Gone::Measured(Some(false)), false)]
        {
            assert!(gone_file(b"/run/x", &gone, signatures).unwrap_err().what.contains("cannot be told"));
        }
    }
}

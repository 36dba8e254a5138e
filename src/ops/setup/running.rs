//! Into the running kernel: certificates into its keyring, and the policy, once nothing that runs or that a login needs
//! would be denied. Rules cannot be taken back before the next boot, so the answer comes first.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::steps::{Candidate, Said};
use super::{Request, failed};
use crate::model::cert::Certificate;
use crate::model::config::Config;
use crate::model::explain::quote;
use crate::model::guard::initramfs_magic;
use crate::model::manifest::{Entry, Manifest, Use};
use crate::model::policy::effective::Effective;
use crate::model::policy::outline::outline;
use crate::model::policy::profile::KernelProfile;
use crate::model::report::{KeyringKind, Problem};
use crate::model::verify::Trust;
use crate::ops::boot_files::{self, running};
use crate::ops::guard::{Case, Checked, Depth, Refused, check, found_now};
use crate::ops::keys::{self as keyring, CertificateFile};
use crate::ops::{in_force, manifest, policy_load, profile};
use crate::sys::{kernel, securityfs};

/// Denied files that are named; more are counted.
const NAMED: usize = 20;
/// What is done where this kernel is no help.
const OTHER_KERNEL: &str = "boot a kernel with CONFIG_IMA_APPRAISE and CONFIG_INTEGRITY_TRUSTED_KEYRING";

/// Certificates of the keys folder that are not there yet into `.ima`; `taken` are all that are in it then.
pub(super) fn keys(request: &Request<'_>, config: &Config, taken: &mut Vec<Certificate>) -> Said {
    let dir = &config.keys.dir;
    if !request.root.is_running() {
        return failed("the keyring of another root's kernel is not here", "run it there");
    }
    let serial = match keyring::ima_keyring() {
        Ok((KeyringKind::Trusted, Some(serial))) => serial,
        Ok(_) => return failed("this kernel has no trusted keyring .ima", OTHER_KERNEL),
        Err(error) => {
            return failed(format!("the keyring .ima cannot be found: /proc/keys: {error}"), "cat /proc/keys");
        }
    };
    let files = match keyring::certificates(request.root, dir) {
        Ok(files) => files,
        Err(error) => return failed(format!("{dir}: {error}"), format!("ls -ld {dir}")),
    };
    let found = keyring::gather(request.root, dir).certificates;
    let in_keyring: BTreeSet<String> =
        found.into_iter().filter(|certificate| certificate.in_keyring).map(|certificate| certificate.file).collect();
    let (there, missing): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| in_keyring.contains(&file.file));
    taken.extend(there.into_iter().filter_map(|CertificateFile { certificate, .. }| certificate.ok()));
    if missing.is_empty() && !taken.is_empty() {
        return Said::already(format!("{} certificates are in the keyring .ima", taken.len()));
    }
    if request.dry_run {
        return Said::done(true, format!("{} certificates would go into the keyring .ima", missing.len()));
    }
    let (outcomes, accepted) = keyring::load_files(missing, serial);
    let refused: Vec<Problem> = outcomes.into_iter().filter_map(|outcome| outcome.problem).collect();
    let count = accepted.len();
    taken.extend(accepted);
    if taken.is_empty() {
        return Said::no(format!("the kernel took no certificate of {dir} into its keyring .ima"), refused);
    }
    if count == 0 {
        return Said::already(format!("{} certificates are in the keyring .ima", taken.len())).noting(refused);
    }
    Said::done(false, format!("put {count} certificates into the keyring .ima")).noting(refused)
}

/// The policy, verified by what the kernel says of it.
pub(super) fn load(request: &Request<'_>, config: &Config, candidate: &Candidate, taken: &[Certificate]) -> Said {
    if !request.root.is_running() {
        return failed("the kernel of another root is not here", "run it there");
    }
    if !securityfs::has_ima() {
        return failed("this kernel has no IMA, or securityfs is not mounted", OTHER_KERNEL);
    }
    let Candidate { name, path, bytes, .. } = candidate;
    let kernel = profile::running(request.root).0.profile;
    match in_force::is_loaded(request.root, bytes, &kernel) {
        Ok(false) => {}
        Ok(true) => return Said::already(format!("{name} is what this kernel has")),
        Err(problem) => return Said::no(problem.what.clone(), vec![problem]),
    }
    if !securityfs::policy_loadable() {
        let next = format!("imactl setup --policy {} arms it for the next boot", quote(name));
        return failed("this kernel takes one policy a boot (no CONFIG_IMA_WRITE_POLICY), and has one", next);
    }
    let found = match in_force::with_file(request.root, config, path, bytes, &kernel) {
        Ok(found) => found,
        Err(problem) => return Said::no(problem.what.clone(), vec![problem]),
    };
    let (checked, unsure) = ask(request, taken, &kernel, &found.rules);
    let notes = [found.problems, unsure].concat();
    let refused: Vec<Problem> = checked.refused.iter().take(NAMED).map(denied).collect();
    if !refused.is_empty() && !request.force {
        let what = format!(
            "{name} is not loaded: it would deny {} of the {} files that run now or that a login needs",
            checked.refused.len(),
            checked.files
        );
        return Said::no(what, [refused, notes].concat());
    }
    if request.dry_run {
        return Said::done(true, format!("{name} would be loaded; it denies none of {} files", checked.files))
            .noting(notes);
    }
    let outline = match outline(bytes) {
        Ok(outline) => outline,
        Err(error) => return failed(format!("{path}: {error}"), format!("imactl policy check {}", quote(path))),
    };
    match policy_load::load(request.root, path, &outline) {
        Ok(proof) if refused.is_empty() => Said::done(false, format!("loaded {name}: {proof}")).noting(notes),
        Ok(proof) => Said::no(format!("loaded {name}: {proof}; it denies what is named here"), refused),
        Err(why) => failed(why, format!("imactl policy check {}", quote(path))),
    }
}

/// Whether what runs now could be started again, and whether somebody could log in, with the keys that are in the keyring
/// now.
fn ask(
    request: &Request<'_>,
    taken: &[Certificate],
    profile: &KernelProfile,
    rules: &Effective,
) -> (Checked, Vec<Problem>) {
    let root = request.root;
    let trust = Trust::new(taken.iter().cloned());
    let found = boot_files::gather(root);
    let (manifest, mut problems) = manifest::make(root, &trust, &found);
    problems.extend(found.problems);
    let running = running::files(root).unwrap_or_else(|error| {
        problems.push(Problem::new(format!("the processes cannot be listed: {error}"), "ls -ld /proc"));
        Vec::new()
    });
    // What runs from a file system in memory is in no manifest.
    let used = running.into_iter().map(|file| {
        let one = if file.is_program { Use::Program } else { Use::Library };
        found_now(&file.path, one.into(), false)
    });
    let used: Vec<Entry> = used.collect();
    let manifest = Manifest::new([manifest.entries(), &used[..]].concat());
    let line = kernel::command_line_text().unwrap_or_default();
    let checked = check(&Case {
        root,
        manifest: Some(&manifest),
        trust: &trust,
        kernel: profile,
        rules,
        initramfs: initramfs_magic(line.split_ascii_whitespace().any(|word| word.starts_with("root="))),
        // Labels that the manifest has were verified just now; what else there is, is read.
        depth: Depth::Labels,
    });
    (checked, problems)
}

/// What is denied, and what to ask of it: its label alone may not be what is wrong.
fn denied(refused: &Refused) -> Problem {
    let problem = refused.problem();
    let path = String::from_utf8_lossy(&refused.path);
    if path.starts_with('/') && path != "/run" {
        return Problem::new(problem.what, format!("imactl explain {}", quote(&path)));
    }
    problem
}

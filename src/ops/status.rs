//! "What is protected here?": the kernel, the policy, the keys, the labels, the boot.
#![forbid(unsafe_code)]

use std::io;

use super::keys::{self, Keys};
use super::{in_force, next_boot, policy, profile, rehearsal, trial};
use crate::model::config::Config;
use crate::model::plan::State;
use crate::model::policy::outline::refuses_files;
use crate::model::policy::readback::are_built_in;
use crate::model::report::{
    BootReport, KernelState, KeyringKind, LabelCounts, Loader, NextBootState, PolicyState, Problem, Status,
    Transaction, VERSION,
};
use crate::sys::root::Root;
use crate::sys::{kernel, securityfs};

/// Where imad-boot leaves its report.
pub const BOOT_REPORT: &str = "/run/imad/boot.json";
/// No boot report is longer.
const LIMIT: u64 = 1 << 22;

/// What is said of a boot that imad-boot left no report of.
const NO_IMAD_BOOT: &str = "imad-boot did not come to its end in the initramfs of this boot, or is not in it";

/// What the running kernel offers, and its active rules where it lets them be read.
pub fn kernel_state(keyring: KeyringKind) -> (KernelState, Option<Vec<Vec<u8>>>, Vec<Problem>) {
    let mut problems = Vec::new();
    let rules = securityfs::active_rules().unwrap_or_else(|error| {
        problems.push(Problem::new(format!("the active rules cannot be read: {error}"), "run it as root"));
        None
    });
    let evm = securityfs::evm().unwrap_or_else(|error| {
        problems.push(Problem::new(format!("EVM's state cannot be read: {error}"), "run it as root"));
        None
    });
    let secure_boot = kernel::secure_boot().unwrap_or_else(|error| {
        problems.push(Problem::new(format!("the Secure Boot variable cannot be read: {error}"), "run it as root"));
        None
    });
    let state = KernelState {
        release: kernel::release(),
        ima: securityfs::has_ima(),
        appraise: option("ima_appraise=").unwrap_or_else(|| "enforce".to_owned()),
        evm,
        secure_boot,
        keyring,
        policy_readable: rules.is_some(),
        policy_loadable: securityfs::policy_loadable(),
    };
    (state, rules, problems)
}

/// The last value of a kernel command line option.
fn option(name: &str) -> Option<String> {
    let words = kernel::command_line().unwrap_or_default();
    words.iter().rev().find_map(|word| word.strip_prefix(name)).map(str::to_owned)
}

/// imad-boot's report of this boot; `None` where it did not run.
pub fn boot_report(root: &Root) -> Result<Option<BootReport>, Problem> {
    let bytes = match root.read(BOOT_REPORT, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Problem::new(format!("{BOOT_REPORT}: {error}"), "run it as root")),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Problem::new(
            format!("{BOOT_REPORT}: {error}"),
            "install imad and imad-dracut of the same version, dracut -f, reboot",
        )
    })
}

/// Whether the active rules are none but those that the running kernel brings by itself, as under Secure Boot.
fn are_the_kernels_own(root: &Root, rules: &[Vec<u8>]) -> bool {
    rules.is_empty() || {
        let (boot, _) = in_force::boot();
        are_built_in(rules, &boot, &profile::running(root).0.profile)
    }
}

/// The policy file and what of it is active.
fn policy_state(
    root: &Root,
    config: &Config,
    found: &Keys,
    boot: Option<&BootReport>,
    active_rules: Option<&[Vec<u8>]>,
    problems: &mut Vec<Problem>,
) -> PolicyState {
    let path = &config.policy.path;
    let mut state = PolicyState { path: path.clone(), ..PolicyState::default() };
    let mut file_refuses = None;
    match policy::read(root, path, &found.trust) {
        Ok(None) => {}
        Ok(Some(file)) => {
            state.sha256 = Some(file.sha256);
            match file.outline {
                Ok(outline) => {
                    state.file_rules = Some(outline.rules.len() as u64);
                    file_refuses = Some(outline.rules.iter().any(|(_, rule)| refuses_files(rule.as_bytes())));
                }
                Err(error) => problems.push(Problem::new(format!("{path}: {error}"), format!("mend {path}"))),
            }
            state.label = Some(file.label.state);
            state.label_reason = Some(file.label.reason);
        }
        Err(why) => problems.push(Problem::new(format!("{path}: {why}"), format!("ls -lZ {path}"))),
    }
    if !root.is_running() {
        return state;
    }
    state.active_rules = active_rules.map(|rules| rules.len() as u64);
    let loaded = boot.filter(|boot| boot.policy.loaded);
    let rehearses = boot.and_then(|boot| boot.rehearsal.as_ref()).is_some_and(|outcome| outcome.verified_by.is_some());
    state.loaded_sha256 = loaded.and_then(|boot| boot.policy.sha256.clone());
    state.refuses_files = match active_rules {
        Some(rules) => Some(rules.iter().any(|rule| refuses_files(rule))),
        // The kernel has what is in the file, if that is still the one.
        None => file_refuses.filter(|_| state.loaded_sha256.is_some() && state.loaded_sha256 == state.sha256),
    };
    let may_be_built_in = option("ima_policy=").is_some() || option("ima_tcb").is_some();
    state.loaded_by = match (loaded, state.active_rules) {
        (Some(_), _) => Loader::ImadBoot,
        (None, _) if rehearses => Loader::ImadBoot,
        (None, Some(_)) if active_rules.is_some_and(|rules| are_the_kernels_own(root, rules)) => Loader::Nobody,
        (None, Some(_)) if may_be_built_in => Loader::Unknown,
        (None, Some(_)) => Loader::Other,
        // A kernel with one load that still takes one has none yet.
        (None, None) if securityfs::policy_loadable() || !securityfs::has_ima() => Loader::Nobody,
        (None, None) => Loader::Unknown,
    };
    state
}

/// Gathers the whole status. What only the daemon knows is handed in.
pub fn status(
    root: &Root,
    labels: Option<LabelCounts>,
    last_transaction: Option<Transaction>,
    daemon: &str,
    daemon_problems: Vec<Problem>,
) -> Status {
    let (config, mut problems) = super::configuration::load(root);
    let found = keys::gather(root, &config.keys.dir);
    problems.extend(found.problems.iter().cloned());
    let (kernel, active_rules, kernel_problems) =
        if root.is_running() { kernel_state(found.keyring) } else { (KernelState::default(), None, Vec::new()) };
    problems.extend(kernel_problems);
    let boot = if root.is_running() { boot_report(root) } else { Ok(None) }.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    // What the kernel said to a certificate at boot counts for more than what is expected of it.
    let told = |file: &str| boot.iter().flat_map(|boot| &boot.certificates).any(|outcome| outcome.file == file);
    let untold = found.certificates.iter().filter(|certificate| !told(&certificate.file));
    problems.extend(untold.flat_map(|certificate| certificate.problems.iter().cloned()));
    let policy = policy_state(root, &config, &found, boot.as_ref(), active_rules.as_deref(), &mut problems);
    // What protects nothing is said first.
    problems.splice(0..0, rehearsal::problems(root, boot.as_ref()));
    if let Some(boot) = &boot {
        problems.extend(boot.policy.problem.iter().cloned());
        problems.extend(boot.guard.iter().flat_map(|guard| guard.problems.iter().cloned()));
        problems.extend(boot.problems.iter().cloned());
        problems.extend(boot.certificates.iter().filter_map(|certificate| certificate.problem.clone()));
    }
    if root.is_running() && boot.is_none() && kernel.ima {
        let next = "journalctl -b -u imad-boot; dracut --force --regenerate-all, and reboot";
        problems.push(Problem::new(NO_IMAD_BOOT, next));
    }
    problems.extend(trial::problems(root, boot.as_ref()));
    problems.extend(daemon_problems);
    let mut next_boot = next_boot(root, policy.sha256.as_ref(), last_transaction.as_ref(), &mut problems);
    // What the check of the next boot says holds for the boot after a rehearsal.
    if let (Some(found), Ok(Some(request))) = (&mut next_boot, rehearsal::armed(root)) {
        let summary = &found.summary;
        found.summary = format!("The next boot is a rehearsal of {}; without it: {summary}", request.policy);
    }
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.what.clone()));
    let mut status = Status {
        version: VERSION,
        summary: String::new(),
        kernel,
        policy,
        keys: found.keys,
        certificates: found.certificates,
        labels,
        last_transaction,
        boot,
        next_boot,
        daemon: daemon.to_owned(),
        problems,
    };
    status.summary = if root.is_running() { summary(&status) } else { summary_of_root(&status) };
    status
}

/// What the last check of the next boot said, and whether it was about another policy, other packages or images.
fn next_boot(
    root: &Root,
    policy: Option<&String>,
    last_transaction: Option<&Transaction>,
    problems: &mut Vec<Problem>,
) -> Option<NextBootState> {
    let found = next_boot::read(root).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    })?;
    let finished = last_transaction.map_or(0, |transaction| transaction.finished_time_us);
    let same = found.policy_sha256.as_ref() == policy && next_boot::is_of_these_images(root, &found);
    Some(found.state(found.checked_time_us < finished || !same))
}

/// The answer in one sentence.
fn summary(status: &Status) -> String {
    let kernel = &status.kernel;
    if !kernel.ima {
        return "Not protected: this kernel has no IMA.".to_owned();
    }
    if let Some(outcome) = status.boot.as_ref().and_then(|boot| boot.rehearsal.as_ref()) {
        return outcome.summary();
    }
    let labels = status.labels.as_ref().map_or_else(String::new, |labels| {
        let good = labels.by_state.get(&State::Good).copied().unwrap_or(0);
        let denied: u64 = labels.by_state.iter().filter(|(state, _)| state.is_denied()).map(|(_, count)| count).sum();
        format!("; {good} of {} packaged files are labelled, {denied} would be denied", labels.files)
    });
    match status.policy.loaded_by {
        Loader::ImadBoot | Loader::Other if kernel.appraise != "enforce" => {
            format!(
                "Not enforced: a policy is loaded, but the kernel was booted with ima_appraise={}{labels}.",
                kernel.appraise
            )
        }
        Loader::ImadBoot => {
            let rules = status.boot.as_ref().and_then(|boot| boot.policy.rules).unwrap_or(0);
            let keys = status.keys.len();
            let loaded = format!("imad-boot loaded {} ({rules} rules, {keys} keys)", status.policy.path);
            match status.policy.refuses_files {
                Some(false) => format!("Not protected: {loaded}, which refuses no file{labels}."),
                Some(true) | None => format!("Protected: {loaded}{labels}."),
            }
        }
        Loader::Other => format!("A policy is active that imad did not load{labels}."),
        Loader::Unknown => {
            format!("It cannot be told whether a policy is active: this kernel does not show its rules{labels}.")
        }
        Loader::Nobody => {
            let why = match &status.boot {
                Some(boot) => boot.policy.problem.as_ref().map_or("no policy is loaded", |problem| &problem.what),
                None => NO_IMAD_BOOT,
            };
            let but = match status.policy.refuses_files {
                Some(true) => "; only the kernel's own rules refuse files",
                Some(false) | None => "",
            };
            format!("Not protected: {why}{but}{labels}.")
        }
    }
}

fn summary_of_root(status: &Status) -> String {
    match (&status.policy.sha256, status.policy.file_rules, status.policy.label) {
        (None, ..) => format!("No policy: {} is not there.", status.policy.path),
        (Some(_), Some(rules), Some(State::Good)) => format!("{} has {rules} rules and is signed.", status.policy.path),
        (Some(_), Some(rules), _) => format!("{} has {rules} rules and is not signed.", status.policy.path),
        (Some(_), None, _) => format!("{} is not a policy that a kernel takes.", status.policy.path),
    }
}

//! What is decided without a look at a label: mprotect(2), loads without a file, the writing of a label.
#![forbid(unsafe_code)]

use super::cause::{Cause, Record};
use super::decide::{Class, Decision};
use super::effective::Effective;
use super::event::{Access, Event, LabelRead, Subject, Target};
use super::rule::{Func, HashSet};
use super::verdict::{Seen, Verdict, VerdictProfile, hash_algo, kind};

/// mprotect(2) makes a mapping of a file executable that was not (`ima_file_mprotect()`): denied by rules alone, in
/// every mode but off, whatever the label.
pub fn judge_mprotect(policy: &Effective, subject: &Subject, target: &Target) -> Verdict {
    let mut verdict = Verdict::untouched(Decision::default());
    if !policy.classes.has(Class::Appraise) {
        return verdict;
    }
    let ask = |func| policy.decide(&Event::new(func, Access::EXEC, subject), target);
    let decisions = [ask(Func::MmapCheck), ask(Func::MmapCheckReqprot)];
    let appraised = decisions.iter().find(|decision| decision.slot.is_some());
    let in_policy = appraised.or_else(|| decisions.iter().find(|one| one.acting(Class::Measure).is_some()));
    if let Some(decision) = in_policy {
        verdict.decision = *decision;
        verdict.records.push(Record { cause: Cause::FailedMprotect, res: appraised.is_none() });
    }
    if appraised.is_some() {
        verdict.allowed = false;
        verdict.seen = Some(Seen::NotPermitted);
        verdict.cause = Some(Cause::FailedMprotect);
    }
    verdict
}

/// What is loaded into the kernel without a file that could be appraised (`ima_load_data()`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fileless {
    /// kexec_load(2).
    Kexec {
        /// Secure Boot is on, and the kernel has `CONFIG_KEXEC_SIG`.
        locked: bool,
    },
    /// Firmware through sysfs.
    Firmware,
    /// init_module(2).
    Module {
        /// The kernel checks module signatures itself (`module.sig_enforce`).
        sig_enforced: bool,
    },
}

/// Whether such a load goes on; EACCES without a record otherwise.
pub const fn allows_fileless(policy: &Effective, load: Fileless) -> bool {
    let appraisal = policy.appraisal();
    let denied = match load {
        Fileless::Kexec { locked: true } => return false,
        Fileless::Kexec { locked: false } => appraisal.kexec,
        Fileless::Firmware => appraisal.firmware,
        Fileless::Module { sig_enforced } => appraisal.modules && !sig_enforced,
    };
    !(denied && appraisal.enforces())
}

/// Why the kernel refuses to have a label written (`ima_inode_setxattr()`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LabelRefused {
    /// `EINVAL`, no record.
    #[error("the label is empty, or its first byte is no label's")]
    NotALabel,
    /// `EACCES`, `op=set_data cause=denied-hash-algorithm`.
    #[error("the rule for SETXATTR_CHECK does not allow the label's hash algorithm")]
    DeniedAlgorithm,
    /// `EACCES`, `op=set_data cause=unavailable-hash-algorithm`.
    #[error("the kernel lacks the label's hash algorithm")]
    UnavailableAlgorithm,
}

/// Whether the kernel lets a label be written, by one who has CAP_SYS_ADMIN.
pub fn check_label(
    kernel: &VerdictProfile,
    policy: &Effective,
    available: HashSet,
    label: &[u8],
) -> Result<(), LabelRefused> {
    if label.first().is_none_or(|kind| *kind > kind::VERITY_SIGNATURE) {
        return Err(LabelRefused::NotALabel);
    }
    let algo = hash_algo(&LabelRead::Bytes(label.to_vec()), kernel);
    match policy.label_algos() {
        Some((allowed, _)) if allowed.has(algo) => Ok(()),
        Some(_) => Err(LabelRefused::DeniedAlgorithm),
        None if algo == kernel.hash || available.has(algo) => Ok(()),
        None => Err(LabelRefused::UnavailableAlgorithm),
    }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;

//! What imad reports: one definition for `--json`, `/run/imad/boot.json`, the bus and every table.
//!
//! Every document carries [`VERSION`]; a field's meaning never changes within a version, new ones may come.
//! Times are microseconds: of the wall clock since 1970 where a name ends in `_time_us`, else since boot
//! (`CLOCK_BOOTTIME`).
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::State;
use super::rehearsal::RehearsalOutcome;

/// Version of the schema below.
pub const VERSION: u32 = 1;

/// Something that is not as it should be, and the step that mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, where.
    pub what: String,
    /// What to do next; a command where there is one.
    pub next: String,
}

impl Problem {
    /// A problem and its next step.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

/// Which keyring file signatures are looked up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyringKind {
    /// `.ima`: takes only what a built-in key signed.
    Trusted,
    /// `_ima`: takes any certificate, so it gives no trust.
    Untrusted,
    /// There is none (yet).
    #[default]
    Absent,
}

/// What the running kernel offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelState {
    /// `uname -r`.
    pub release: String,
    /// IMA is there (`/sys/kernel/security/ima`).
    pub ima: bool,
    /// `ima_appraise=` on the command line; `enforce` where it is not given.
    pub appraise: String,
    /// What EVM's file says; absent without EVM.
    pub evm: Option<u64>,
    /// UEFI Secure Boot; absent where the firmware does not tell.
    pub secure_boot: Option<bool>,
    /// Where IMA looks for keys.
    pub keyring: KeyringKind,
    /// The active rules can be read.
    pub policy_readable: bool,
    /// A policy can (still) be loaded.
    pub policy_loadable: bool,
}

/// Who loaded the active custom policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// Nobody: no rules are active but those that the kernel brings by itself.
    #[default]
    Nobody,
    /// imad-boot, in the initramfs.
    ImadBoot,
    /// Somebody else: systemd's PID 1, dracut, a person.
    Other,
    /// It cannot be told: the kernel does not let the rules be read.
    Unknown,
}

/// The policy file and what of it is active.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// The file that is loaded at boot.
    pub path: String,
    /// SHA-256 of the file; absent without a file.
    pub sha256: Option<String>,
    /// Rules in the file.
    pub file_rules: Option<u64>,
    /// Rules active in the kernel, where it lets them be read.
    pub active_rules: Option<u64>,
    /// Whether the rules in force refuse any file but a policy for want of a good label; absent where they cannot be
    /// told.
    #[serde(default)]
    pub refuses_files: Option<bool>,
    /// Who loaded the custom policy.
    pub loaded_by: Loader,
    /// SHA-256 of the file that imad-boot loaded.
    pub loaded_sha256: Option<String>,
    /// State of the file's own label.
    pub label: Option<State>,
    /// Why the label is in that state.
    pub label_reason: Option<String>,
}

/// A certificate of the keys folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// The file.
    pub file: String,
    /// Subject's common name; empty where the file is no certificate.
    pub subject: String,
    /// Issuer's common name.
    pub issuer: String,
    /// The key's id in labels, eight hexadecimal digits.
    pub key_id: Option<String>,
    /// Kind and size of the key.
    pub key: String,
    /// End of validity.
    pub not_after: String,
    /// The key is in the kernel's keyring.
    pub in_keyring: bool,
    /// Why the kernel does not take it, or takes it in vain.
    pub problems: Vec<Problem>,
}

/// A key in the kernel's keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Serial number.
    pub serial: i32,
    /// The kernel's description.
    pub description: String,
    /// The file that holds its certificate, if the keys folder has it.
    pub file: Option<String>,
}

/// Files by label state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCounts {
    /// Packages looked at.
    pub packages: u64,
    /// Files looked at.
    pub files: u64,
    /// Labels written by the run that counted.
    pub written: u64,
    /// Files in each state, after writing.
    pub by_state: BTreeMap<State, u64>,
    /// When they were counted.
    pub counted_time_us: u64,
    /// How long it took.
    pub duration_us: u64,
}

/// One file's label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Absolute path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The label's state, after writing.
    pub state: State,
    /// Why.
    pub reason: String,
    /// The command or step that mends it; empty where nothing needs mending.
    pub next: String,
    /// The package that owns it.
    pub package: Option<String>,
    /// The key id that the deciding label names.
    pub key_id: Option<String>,
    /// A label was written by this run.
    pub written: bool,
}

/// What a run over files found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelReport {
    /// Version of the schema.
    pub version: u32,
    /// The numbers.
    pub counts: LabelCounts,
    /// The files that a person should know of, the first thousand of them.
    pub files: Vec<FileReport>,
    /// What kept the run from being complete.
    pub problems: Vec<Problem>,
    /// What concerns the files in `/var/lib/imad`: those of them that keep labels from being recorded, and what keeps
    /// verified files from being remembered, which takes nothing from the run.
    #[serde(skip)]
    pub of_journal: Vec<Problem>,
}

/// What became of the initramfs that is unpacked for the shutdown (`imactl labels exitrd`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exitrd {
    /// Version of the schema.
    pub version: u32,
    /// There is something that systemd would execute.
    pub unpacked: bool,
    /// Programs and libraries in it.
    pub files: u64,
    /// How many of them got a label.
    pub labelled: u64,
    /// It is left for systemd to execute: the policy in force lets it come to its end.
    pub kept: bool,
    /// What keeps it from its end, and what could not be labelled.
    pub problems: Vec<Problem>,
}

/// The last package transaction that the daemon saw through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// When imad was done with it.
    pub finished_time_us: u64,
    /// From the database's lock falling to the last label.
    pub duration_us: u64,
    /// Packages that it brought (`NAME-[EPOCH:]VERSION-RELEASE.ARCH`).
    pub added: Vec<String>,
    /// How many packages went.
    pub removed: u64,
    /// Labels.
    pub labels: LabelCounts,
    /// Files that a policy demanding signatures denies, the first hundred of them.
    pub denied: Vec<FileReport>,
}

/// How a step of imad-boot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Done,
    /// There was nothing to do, or something earlier made it pointless.
    Skipped,
    /// It could not be done.
    Failed,
}

/// A step of imad-boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Begin, since boot.
    pub begin_us: u64,
    /// End, since boot.
    pub end_us: u64,
    /// CPU time of this process in it.
    pub cpu_us: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// What the kernel said to one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateOutcome {
    /// The file.
    pub file: String,
    /// Subject's common name; empty where it could not be read.
    pub subject: String,
    /// The key's id in labels.
    pub key_id: Option<String>,
    /// The kernel took it.
    pub accepted: bool,
    /// The kernel's error number where it did not.
    pub errno: Option<i32>,
    /// Why not, or what is wrong with it although it was taken.
    pub problem: Option<Problem>,
}

/// What became of the policy.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each its own field of the JSON")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOutcome {
    /// The file, as the real root will see it.
    pub path: String,
    /// There is such a file.
    pub exists: bool,
    /// SHA-256 of its content.
    pub sha256: Option<String>,
    /// Rules in it.
    pub rules: Option<u64>,
    /// The kernel has it: the load was verified, not merely attempted.
    pub loaded: bool,
    /// How the load was verified.
    pub verified_by: Option<String>,
    /// Why it was not loaded.
    pub problem: Option<Problem>,
    /// Its folder is hidden from PID 1.
    pub hidden: bool,
    /// The folder was shown again in the real root.
    pub shown_again: bool,
}

/// What the guard found: whether the boot comes through under the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardOutcome {
    /// Files of the manifest; absent where there is none that can be read, so that the core alone was looked at.
    pub manifest: Option<u64>,
    /// Files that were looked at.
    pub files: u64,
    /// Of these, the files whose content was read.
    pub read: u64,
    /// Files and places that the policy would deny.
    pub refused: u64,
    /// The first twenty of them, and what else is wrong.
    pub problems: Vec<Problem>,
}

/// What becomes of a policy by the boots that it was confirmed in, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialDecision {
    /// It carried this machine to a confirmed boot before: it is loaded.
    Confirmed,
    /// It is loaded on trial; the attempt is recorded.
    Trial,
    /// It is not loaded again: too many boots with it were not confirmed.
    Exhausted,
    /// It is not loaded: the attempt could not be recorded so that it lasts.
    NoStore,
}

/// What was decided about the policy by earlier boots, and what became of this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialOutcome {
    /// Fingerprint of policy, certificates, manifest and kernel, in hexadecimal.
    pub fingerprint: String,
    /// SHA-256 of the policy, in hexadecimal.
    pub policy: String,
    /// What was decided.
    pub decision: TrialDecision,
    /// Which attempt this is, from 1; where it is exhausted, how many there were; 0 where none is counted.
    pub attempt: u32,
    /// How many there may be.
    pub limit: u32,
    /// Where the attempt is recorded, in words.
    pub store: Option<String>,
    /// The last confirmed policy is to be loaded in its place.
    pub fallback: bool,
    /// Its fingerprint, with the same certificates, manifest and kernel.
    pub fallback_fingerprint: Option<String>,
    /// SHA-256 of it.
    pub fallback_policy: Option<String>,
    /// Why the policy is not loaded.
    pub problem: Option<Problem>,
    /// What else a person should know.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// This boot was confirmed.
    #[serde(default)]
    pub confirmed: bool,
    /// Why this boot was not confirmed, when that was last asked.
    #[serde(default)]
    pub unconfirmed: Vec<Problem>,
}

/// What `imad-boot` did: `/run/imad/boot.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootReport {
    /// Version of the schema.
    pub version: u32,
    /// `uname -r`.
    pub kernel: String,
    /// The keyring that the certificates went into.
    pub keyring: KeyringKind,
    /// Each certificate and the kernel's answer.
    pub certificates: Vec<CertificateOutcome>,
    /// The guard; absent where it was not asked.
    #[serde(default)]
    pub guard: Option<GuardOutcome>,
    /// The policy.
    pub policy: PolicyOutcome,
    /// The boot was stopped in an emergency shell, since it must not go on without a policy.
    #[serde(default)]
    pub stopped: bool,
    /// What earlier boots say of the policy; absent where that was not asked.
    #[serde(default)]
    pub trial: Option<TrialOutcome>,
    /// This boot is a rehearsal; absent where it is none.
    #[serde(default)]
    pub rehearsal: Option<RehearsalOutcome>,
    /// What else a person should know.
    pub problems: Vec<Problem>,
    /// The steps in order.
    pub steps: Vec<Step>,
}

/// What the last check of the next boot said (`imactl check --next-boot`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextBootState {
    /// Nothing is in the way of the policy with any kernel.
    pub ready: bool,
    /// The answer in one sentence.
    pub summary: String,
    /// When it was found out.
    pub checked_time_us: u64,
    /// Packages were installed or removed since, or the policy or an image of an initramfs is another.
    pub outdated: bool,
    /// Packages with files that the policy would deny to the boot.
    pub packages: Vec<String>,
}

/// The whole answer to "what is protected here?"
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the schema.
    pub version: u32,
    /// The answer in one sentence.
    pub summary: String,
    /// The running kernel.
    pub kernel: KernelState,
    /// The policy.
    pub policy: PolicyState,
    /// Keys in the kernel's keyring.
    pub keys: Vec<KeyInfo>,
    /// Certificates of the keys folder.
    pub certificates: Vec<CertificateInfo>,
    /// Labels as last counted; absent before the first count and without a daemon.
    pub labels: Option<LabelCounts>,
    /// The last package transaction.
    pub last_transaction: Option<Transaction>,
    /// What imad-boot did; absent where it did not run.
    pub boot: Option<BootReport>,
    /// What the last check of the next boot said; absent before the first.
    #[serde(default)]
    pub next_boot: Option<NextBootState>,
    /// The daemon's state: `running`, `degraded`, or `stopped` where it did not answer.
    pub daemon: String,
    /// Everything that wants mending.
    pub problems: Vec<Problem>,
}

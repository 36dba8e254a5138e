//! `org.imad1.Manager`: the daemon itself, the kernel, the boot, the jobs.
#![forbid(unsafe_code)]
#![expect(clippy::unused_self, reason = "zbus wants it in every getter")]

use std::collections::HashMap;

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedObjectPath, OwnedVariant, interface};

use super::error::Failure;
use super::request::{Ask, Desk, Options, known};
use super::view;
use crate::model::report::KeyringKind;

/// The interface's object.
#[derive(Debug)]
pub struct Manager {
    desk: Desk,
}

impl Manager {
    /// An object that reads and asks at this desk.
    pub const fn new(desk: Desk) -> Self {
        Self { desk }
    }
}

/// A keyring's kind on the bus.
pub(super) const fn keyring_name(kind: KeyringKind) -> &'static str {
    match kind {
        KeyringKind::Trusted => "trusted",
        KeyringKind::Untrusted => "untrusted",
        KeyringKind::Absent => "absent",
    }
}

/// A number that may not be known.
pub(super) fn number(value: Option<u64>) -> i64 {
    value.and_then(|value| i64::try_from(value).ok()).unwrap_or(-1)
}

#[interface(
    name = "org.imad1.Manager",
    proxy(default_service = "org.imad1", default_path = "/org/imad1", visibility = "pub")
)]
impl Manager {
    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// How the daemon fares: "starting" (the first run over all labels is not over), "running", or "degraded"
    /// (something keeps it from its work; Problems says what, and it goes on by itself once that is mended).
    #[zbus(property)]
    fn state(&self) -> String {
        self.desk.view().condition.name().to_owned()
    }

    /// "What is protected here?" in one sentence.
    #[zbus(property)]
    fn summary(&self) -> String {
        self.desk.view().status.summary.clone()
    }

    /// Everything that wants mending: what is wrong, and the step that mends it.
    #[zbus(property)]
    fn problems(&self) -> Vec<(String, String)> {
        view::problems(&self.desk.view().status.problems)
    }

    /// The running kernel's release.
    #[zbus(property)]
    fn kernel_release(&self) -> String {
        self.desk.view().status.kernel.release.clone()
    }

    /// Whether the kernel has IMA.
    #[zbus(property)]
    fn ima(&self) -> bool {
        self.desk.view().status.kernel.ima
    }

    /// The kernel's appraise mode: "enforce", or what ima_appraise= on the command line says.
    #[zbus(property)]
    fn appraise(&self) -> String {
        self.desk.view().status.kernel.appraise.clone()
    }

    /// The value of the kernel's evm file (bits, as in Documentation/ABI/testing/evm); -1 without EVM.
    #[zbus(property)]
    fn evm(&self) -> i64 {
        number(self.desk.view().status.kernel.evm)
    }

    /// UEFI Secure Boot: "yes", "no", or "unknown" where the firmware does not tell.
    #[zbus(property)]
    fn secure_boot(&self) -> String {
        let secure_boot = self.desk.view().status.kernel.secure_boot;
        match secure_boot {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        }
        .to_owned()
    }

    /// Where the kernel looks for keys of file signatures: "trusted" (.ima), "untrusted" (_ima, which takes any
    /// certificate) or "absent".
    #[zbus(property)]
    fn keyring(&self) -> String {
        keyring_name(self.desk.view().status.kernel.keyring).to_owned()
    }

    /// What imad-boot did at this boot, as JSON (the content of /run/imad/boot.json); empty where it did not run.
    #[zbus(property)]
    fn boot_report(&self) -> String {
        let view = self.desk.view();
        view.status.boot.as_ref().and_then(|boot| serde_json::to_string(boot).ok()).unwrap_or_default()
    }

    /// The last package transaction that the daemon saw through; empty before the first. Keys: finished (t),
    /// duration (t), added (as, at most 100 names), added-count (t), removed-count (t), written (t, labels written),
    /// denied (t, files that a policy demanding signatures denies), counts (a{st}, the added packages' files by state).
    #[zbus(property)]
    fn last_transaction(&self) -> HashMap<String, OwnedVariant> {
        let view = self.desk.view();
        view.status.last_transaction.as_ref().map(view::transaction).unwrap_or_default()
    }

    /// What the last check of the next boot said; empty before the first. Keys: ready (b), summary (s), checked (t, time
    /// of the wall clock), outdated (b, packages, policy or images are others since), packages (as, at most 100, those with files
    /// that the policy would deny to the boot).
    #[zbus(property)]
    fn next_boot(&self) -> HashMap<String, OwnedVariant> {
        let view = self.desk.view();
        view.status.next_boot.as_ref().map(view::next_boot).unwrap_or_default()
    }

    /// Gathers the whole status and returns it as JSON. Lists of single files are in it only where root asks.
    /// There are no options yet.
    #[zbus(out_args("status"))]
    async fn status(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String, Failure> {
        known(&options, &[])?;
        self.desk.ask(&header, Ask::Status).await
    }

    /// The jobs whose objects are there: number, object, kind and state, as in org.imad1.Job.
    #[zbus(out_args("jobs"))]
    fn get_jobs(&self) -> Vec<(u32, OwnedObjectPath, String, String)> {
        let jobs: Vec<_> = self.desk.view().jobs.values().cloned().collect();
        let row = |job: &super::job::JobRecord| {
            (job.id(), job.path(), job.kind().name().to_owned(), job.snapshot().state.name().to_owned())
        };
        jobs.iter().map(|job| row(job)).collect()
    }

    /// A job was made.
    #[zbus(signal)]
    pub async fn job_new(emitter: &SignalEmitter<'_>, id: u32, job: ObjectPath<'_>) -> zbus::Result<()>;

    /// A job ended: "done", "failed" or "canceled". Its object can still be read until some later jobs have ended.
    #[zbus(signal)]
    pub async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: ObjectPath<'_>,
        result: &str,
    ) -> zbus::Result<()>;

    /// A package transaction was seen through; the same keys as in LastTransaction.
    #[zbus(signal)]
    pub async fn transaction_finished(
        emitter: &SignalEmitter<'_>,
        transaction: HashMap<String, OwnedVariant>,
    ) -> zbus::Result<()>;
}

//! What becomes of an access: the kernel's verdict on the file's label, and what it says of it
//! (`ima_main.c: process_measurement()`, `ima_appraise.c: ima_appraise_measurement()`).
//!
//! [`judge`] is asked for one hook at a time; whoever wants to know about a whole execve(2) asks for each file and hook
//! in the kernel's order and hands the [`Inode`] on.
#![forbid(unsafe_code)]

use super::cause::{Cause, Record};
use super::decide::{Class, Decision, Flag, Slot};
use super::effective::Effective;
use super::event::{Access, Appended, Content, Event, File, Hook, LabelRead, Place};
use super::inode::{Collected, Inode};
use super::rule::{Func, HASH_NAMES};

/// Type bytes of labels (`security/integrity/integrity.h: enum evm_ima_xattr_type`).
pub(super) mod kind {
    pub(in super::super) const DIGEST: u8 = 1;
    pub(in super::super) const SIGNATURE: u8 = 3;
    pub(in super::super) const DIGEST_NG: u8 = 4;
    pub(in super::super) const VERITY_SIGNATURE: u8 = 6;
}

/// Type byte and `struct signature_v2_hdr`.
pub(super) const SIGNATURE_HEADER: usize = 9;
const MD5: u8 = 1;
pub(super) const SHA1: u8 = 2;

/// What the kernel's configuration and command line make of verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictProfile {
    /// The number of the algorithm of `ima_hash=`, or the configuration's.
    pub hash: u8,
    /// The name of the template of `ima_template=`, or the configuration's.
    pub template: Vec<u8>,
    /// The register that is extended where no rule says otherwise (`CONFIG_IMA_MEASURE_PCR_IDX`).
    pub pcr: u8,
    /// Kernels for kexec may be signed by a key in `.platform` (`CONFIG_INTEGRITY_PLATFORM_KEYRING`).
    pub platform_keyring: bool,
    /// Signatures of version 3 over ordinary files (Linux 7.1).
    pub sigv3_files: bool,
}

impl Default for VerdictProfile {
    /// What distributions set: sha256, ima-sig, PCR 10.
    fn default() -> Self {
        Self { hash: 4, template: b"ima-sig".to_vec(), pcr: 10, platform_keyring: true, sigv3_files: false }
    }
}

/// What the program sees of a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// `EACCES`
    AccessDenied,
    /// `EPERM`
    NotPermitted,
    /// It is killed by SIGSEGV: execve(2) was past the point where it could fail.
    Killed,
}

impl Seen {
    /// The errno, where there is one.
    pub const fn errno(self) -> Option<i32> {
        match self {
            Self::AccessDenied => Some(13),
            Self::NotPermitted => Some(1),
            Self::Killed => None,
        }
    }
}

/// What becomes of an access.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[expect(clippy::struct_excessive_bools, reason = "answers to questions that have nothing to do with each other")]
pub struct Verdict {
    /// What the rules say.
    pub decision: Decision,
    /// It goes on.
    pub allowed: bool,
    /// What the program sees where it does not.
    pub seen: Option<Seen>,
    /// Why it is denied, or would be if the kernel enforced.
    pub cause: Option<Cause>,
    /// The audit records (type 1800), in order.
    pub records: Vec<Record>,
    /// Nothing was looked at: an earlier pass counts.
    pub from_cache: bool,
    /// A pass is cached now: the next access by the same slot looks at nothing.
    pub cached: bool,
    /// The hash label that the kernel wrote at once (`ima_appraise=fix`).
    pub fixed: Option<Vec<u8>>,
    /// The kernel writes a hash label when the last writer closes the file, if the content was changed.
    pub labels_at_close: bool,
    /// It is added to the measurement list, unless it is there.
    pub measured: bool,
    /// An audit record of the content's digest is written (type 1805).
    pub audited: bool,
}

impl Verdict {
    pub(super) const fn untouched(decision: Decision) -> Self {
        Self {
            decision,
            allowed: true,
            seen: None,
            cause: None,
            records: Vec::new(),
            from_cache: false,
            cached: false,
            fixed: None,
            labels_at_close: false,
            measured: false,
            audited: false,
        }
    }
}

/// The number of the hash algorithm by which the kernel hashes a file with this label
/// (`ima_appraise.c: ima_get_hash_algo()`).
pub fn hash_algo(label: &LabelRead, kernel: &VerdictProfile) -> u8 {
    let LabelRead::Bytes(bytes) = label else { return kernel.hash };
    let known = |algo: u8| if usize::from(algo) < HASH_NAMES.len() { algo } else { kernel.hash };
    match bytes.as_slice() {
        [kind::VERITY_SIGNATURE, 3, algo, ..] if bytes.len() > SIGNATURE_HEADER => known(*algo),
        [kind::SIGNATURE, version, algo, ..]
            if (*version == 2 || kernel.sigv3_files && *version == 3) && bytes.len() > SIGNATURE_HEADER =>
        {
            known(*algo)
        }
        [kind::DIGEST_NG, algo, ..] => known(*algo),
        [kind::DIGEST, digest @ ..] if digest.len() == 20 => {
            if digest[16..] == [0; 4] {
                MD5
            } else {
                SHA1
            }
        }
        [kind::DIGEST, digest @ ..] if digest.len() == 16 => MD5,
        _ => kernel.hash,
    }
}

/// Judges an access to a file at one hook, and notes with the inode what the kernel does.
pub fn judge(
    kernel: &VerdictProfile,
    policy: &Effective,
    event: &Event<'_>,
    file: &File,
    inode: &mut Inode,
) -> Verdict {
    if !file.regular || policy.classes.is_empty() {
        return Verdict::untouched(Decision::default());
    }
    let decision = policy.decide(event, &file.target);
    if decision.is_empty() {
        return Verdict::untouched(decision);
    }
    // By a rule without func=, whatever hook asks counts as an open.
    let hook = if decision.slot == Some(Slot::File) { Hook::Rule(Func::FileCheck) } else { event.hook };
    let verdict = Verdict::untouched(decision);
    let mut trial = Trial { kernel, policy, event, file, inode, hook, verdict };
    trial.run();
    trial.verdict
}

/// What is left to do of what the rules say.
#[expect(clippy::struct_excessive_bools, reason = "one for each class")]
struct ToDo {
    measure: bool,
    appraise: bool,
    audit: bool,
    hash: bool,
}

impl ToDo {
    const fn is_nothing(&self) -> bool {
        !(self.measure || self.appraise || self.audit || self.hash)
    }
}

/// Why there is no digest.
struct NoDigest {
    cause: Cause,
    /// The kernel goes on without one (`EINVAL`): it may still be let through by `permit_directio`.
    soft: bool,
}

/// One access while it is judged.
pub(super) struct Trial<'a, 'e> {
    pub(super) kernel: &'a VerdictProfile,
    pub(super) policy: &'a Effective,
    pub(super) event: &'a Event<'e>,
    pub(super) file: &'a File,
    pub(super) inode: &'a mut Inode,
    pub(super) hook: Hook,
    pub(super) verdict: Verdict,
}

impl Trial<'_, '_> {
    fn run(&mut self) {
        let decision = self.verdict.decision;
        self.inode.look_again(self.file, &decision);
        self.inode.flags = self.inode.flags.and(decision.flags);
        let cause = self.cause(&decision);
        let cause = cause.or_else(|| {
            let written = self.event.access.has(Access::WRITE) && self.inode.signed && !self.inode.new;
            written.then_some(Cause::SignedFileWritten)
        });
        let Some(slot) = decision.slot else { return };
        self.verdict.cause = cause;
        if cause.is_some() && self.policy.appraisal().enforces() {
            self.verdict.allowed = false;
            self.verdict.seen = Some(match self.event.place {
                Place::Call => Seen::AccessDenied,
                Place::Exec => Seen::Killed,
            });
        } else if self.event.writable {
            self.inode.to_label = true;
        }
        self.verdict.cached = self.inode.is_cached(slot);
        self.verdict.labels_at_close = self.event.writable && self.inode.labels_at_close();
    }

    fn cause(&mut self, decision: &Decision) -> Option<Cause> {
        let acts = |class| decision.acting(class).is_some();
        self.inode.hash |= acts(Class::Hash);
        let pcr = 1 << (decision.pcr(self.policy).unwrap_or(self.kernel.pcr) & 63);
        let mut todo = ToDo {
            measure: acts(Class::Measure) && self.inode.measured_pcrs & pcr == 0,
            appraise: decision.slot.is_some_and(|slot| !self.inode.is_cached(slot)),
            audit: acts(Class::Audit) && !self.inode.audited,
            hash: acts(Class::Hash) && !self.inode.hashed,
        };
        if todo.hash && !self.inode.signed {
            self.inode.signed =
                matches!(&self.file.label, LabelRead::Bytes(bytes) if bytes.len() > 2 && bytes[0] == kind::SIGNATURE);
            self.inode.hashed = true;
            self.inode.to_label = true;
            todo.hash = false;
        }
        if todo.is_nothing() {
            let slot = decision.slot?;
            self.verdict.from_cache = true;
            return self.mapped_writers().or_else(|| (!self.inode.has_passed(slot)).then_some(Cause::Unknown));
        }
        self.evaluate(decision, &mut todo, pcr)
    }

    fn evaluate(&mut self, decision: &Decision, todo: &mut ToDo, pcr: u64) -> Option<Cause> {
        let template = decision.template(self.policy).unwrap_or(&self.kernel.template);
        let unread = LabelRead::None;
        let reads = todo.appraise || template != b"ima";
        let label = if reads { &self.file.label } else { &unread };
        let appended =
            reads && self.inode.flags.has(Flag::Modsig) && self.event.buffered && self.file.appended != Appended::None;
        todo.measure |= appended && template == b"ima-modsig" && self.inode.measured;
        let algo = hash_algo(label, self.kernel);

        let mut cause = match self.collect(algo) {
            Ok(()) => None,
            Err(NoDigest { cause, soft }) => {
                self.verdict.records.push(Record::failed(cause));
                if !soft {
                    return Some(cause);
                }
                self.inode.version_seen = true;
                Some(cause)
            }
        };
        if todo.measure {
            self.verdict.measured = true;
            if !self.event.direct {
                self.inode.measured = true;
                self.inode.measured_pcrs |= pcr;
            }
        }
        if cause.is_none()
            && let (true, Some(slot)) = (todo.appraise, decision.slot)
        {
            cause = self.appraise(slot, appended).or_else(|| self.mapped_writers());
        }
        if todo.audit {
            self.verdict.audited = true;
            self.inode.audited = true;
        }
        if self.event.direct && self.inode.flags.has(Flag::DirectIo) {
            cause = None;
        }
        if cause.is_none()
            && let Some(allowed) = decision.algos(self.policy)
            && !allowed.has(algo)
        {
            cause = Some(self.fail(Cause::DeniedHashAlgorithm));
        }
        cause
    }

    fn fail(&mut self, cause: Cause) -> Cause {
        self.verdict.records.push(Record::failed(cause));
        cause
    }

    fn mapped_writers(&mut self) -> Option<Cause> {
        let mapping = Slot::of(self.hook) == Slot::Mmap;
        (mapping && self.file.mapped_writable).then(|| self.fail(Cause::MappedWriters))
    }

    /// Hashes the content, if that was not done before.
    fn collect(&mut self, algo: u8) -> Result<(), NoDigest> {
        if self.inode.collected.is_some() {
            return Ok(());
        }
        let failed = |cause, soft| {
            let cause = if self.event.direct { Cause::FailedDirectIo } else { cause };
            Err(NoDigest { cause, soft })
        };
        let collected = if self.inode.flags.has(Flag::Verity) {
            match &self.file.verity {
                Some(verity) => Collected { verity: true, algo: verity.algo },
                None => return failed(Cause::NoVerityDigest, false),
            }
        } else if self.event.direct && !self.event.buffered {
            return failed(Cause::FailedDirectIo, true);
        } else {
            match self.file.content {
                Content::Digest(_) => Collected { verity: false, algo },
                Content::Short => return failed(Cause::Failed, true),
                Content::NoAlgorithm | Content::Unreadable => return failed(Cause::Failed, false),
            }
        };
        self.inode.collected = Some(collected);
        self.inode.version_seen = true;
        Ok(())
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
pub(super) mod tests;

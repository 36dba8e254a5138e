//! What the kernel remembers of an inode between accesses (`struct ima_iint_cache`): what was demanded of it, which
//! verdicts are cached, whether it is to be labelled at the last close.
#![forbid(unsafe_code)]

use super::cause::{Cause, Record};
use super::decide::{Class, Decision, Flag, Flags, Slot};
use super::effective::Effective;
use super::event::{Access, Content, Event, File, Hook, Subject};
use super::rule::Func;
use super::verdict::{VerdictProfile, kind};

/// A set of slots and classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slots(u8);

impl Slots {
    const fn has(self, slot: Slot) -> bool {
        self.0 >> slot as u8 & 1 == 1
    }

    const fn set(&mut self, slot: Slot, on: bool) {
        let bit = 1 << slot as u8;
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }
}

/// The digest that the kernel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Collected {
    /// It is fs-verity's.
    pub(super) verity: bool,
    /// The number of its algorithm.
    pub(super) algo: u8,
}

/// An inode that IMA has seen; the default is one that it has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's bits")]
pub struct Inode {
    /// What rules ever demanded of it.
    pub(super) flags: Flags,
    /// Rules with `hash` matched it (`IMA_HASH`, which nothing clears).
    pub(super) hash: bool,
    /// `IMA_NEW_FILE`: created, and not closed by its last writer yet.
    pub(super) new: bool,
    /// `IMA_COLLECTED`: its digest is known.
    pub(super) collected: Option<Collected>,
    pub(super) audited: bool,
    pub(super) hashed: bool,
    pub(super) measured: bool,
    pub(super) measured_pcrs: u64,
    /// `IMA_…_APPRAISED`: the cached verdict counts.
    cached: Slots,
    /// The last verdict, cached or not, was a pass.
    passed: Slots,
    /// `IMA_DIGSIG`: it carries a signature, so it cannot be written where writes are appraised.
    pub(super) signed: bool,
    /// `IMA_UPDATE_XATTR`: to be labelled at the last close.
    pub(super) to_label: bool,
    pub(super) label_changed: bool,
    pub(super) attributes_changed: bool,
    /// The version that the file system has now is the one at which it was hashed.
    pub(super) version_seen: bool,
}

/// What closing a file for the last time after writing it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closed {
    /// The number of the algorithm of the hash label that the kernel writes.
    pub labelled: Option<u8>,
    /// Why it could not, in the audit log.
    pub record: Option<Record>,
}

impl Inode {
    /// What rules demanded of it so far, and what therefore counts at every hook.
    pub const fn demands(&self) -> Flags {
        self.flags
    }

    /// Whether a pass is cached.
    pub const fn is_cached(&self, slot: Slot) -> bool {
        self.cached.has(slot)
    }

    /// It is known to carry a signature.
    pub const fn is_signed(&self) -> bool {
        self.signed
    }

    pub(super) const fn has_passed(&self, slot: Slot) -> bool {
        self.passed.has(slot)
    }

    pub(super) const fn judged(&mut self, slot: Slot, passed: bool) {
        self.passed.set(slot, passed);
    }

    pub(super) const fn cache(&mut self, slot: Slot) {
        self.cached.set(slot, true);
    }

    /// Forgets what was found out about the content (`IMA_DONE_MASK`).
    pub(super) const fn forget(&mut self) {
        self.collected = None;
        self.audited = false;
        self.hashed = false;
        self.measured = false;
        self.measured_pcrs = 0;
        self.cached = Slots(0);
    }

    /// The content was written.
    pub const fn written(&mut self) {
        self.version_seen = false;
    }

    /// The content was cut (truncate(2), `O_TRUNC`).
    pub const fn truncated(&mut self) {
        self.version_seen = false;
        self.forget();
    }

    /// `security.ima` was written, with this type byte, or removed. Nothing is noted without appraise rules.
    pub fn label_set(&mut self, policy: &Effective, kind: Option<u8>) {
        self.version_seen = false;
        if policy.classes.has(Class::Appraise) {
            self.measured_pcrs = 0;
            self.label_changed = true;
            self.signed = kind == Some(kind::SIGNATURE);
        }
    }

    /// Mode, owner or group was set (`ima_inode_post_setattr()`).
    pub fn attributes_set(&mut self, policy: &Effective, file: &File, subject: &Subject) {
        self.version_seen = false;
        if !policy.classes.has(Class::Appraise) || !file.regular || !file.target.fs.xattrs {
            return;
        }
        self.attributes_changed = true;
        let event = Event { hook: Hook::SetAttributes, ..Event::new(Func::FileCheck, Access::ACCESS, subject) };
        if !policy.must_appraise(&event, &file.target) {
            self.to_label = false;
        }
    }

    /// The inode was made by mknod(2) (`ima_post_path_mknod()`).
    pub fn made(&mut self, policy: &Effective, file: &File, subject: &Subject) {
        self.new |= Self::asks_at_creation(policy, file, subject);
    }

    /// The inode was made by `O_TMPFILE` (`ima_post_create_tmpfile()`).
    pub fn made_nameless(&mut self, policy: &Effective, file: &File, subject: &Subject) {
        if Self::asks_at_creation(policy, file, subject) {
            self.to_label = true;
            self.passed.set(Slot::File, true);
        }
    }

    fn asks_at_creation(policy: &Effective, file: &File, subject: &Subject) -> bool {
        let event = Event::new(Func::FileCheck, Access::ACCESS, subject);
        !policy.classes.is_empty() && file.regular && policy.must_appraise(&event, &file.target)
    }

    /// What is found done already, before an access is judged; the beginning of `process_measurement()`.
    pub(super) fn look_again(&mut self, file: &File, decision: &Decision) {
        if self.attributes_changed {
            self.attributes_changed = false;
            self.cached = Slots(0);
            self.flags = Flags::NONE;
        }
        let fs = &file.target.fs;
        let unseen = fs.unverifiable && !fs.untrusted_mounter && !decision.flags.has(Flag::FailSecurely);
        if self.label_changed || unseen {
            self.label_changed = false;
            self.forget();
        }
        if let Some(below) = file.stacked
            && Class::ALL.into_iter().any(|class| decision.acting(class).is_some())
        {
            if !below.versioned || below.changed {
                self.forget();
            }
            if below.metadata_changed {
                self.cached = Slots(0);
            }
        }
    }

    /// Whether the last close after writing would label it.
    pub(super) const fn labels_at_close(&self) -> bool {
        self.to_label && !self.signed && (self.has_passed(Slot::File) || self.hash)
    }

    /// The last writer closes the file, also where its open was denied; `direct` tells that it was open with `O_DIRECT`
    /// (`ima_check_last_writer(), ima_update_xattr()`).
    pub fn closed(&mut self, kernel: &VerdictProfile, file: &File, direct: bool) -> Closed {
        let update = std::mem::take(&mut self.to_label);
        if !self.new && self.version_seen && file.target.fs.versioned {
            return Closed::default();
        }
        self.forget();
        self.new = false;
        if !update || self.signed || !(self.has_passed(Slot::File) || self.hash) {
            return Closed::default();
        }
        let failed = |cause| Closed { labelled: None, record: Some(Record::failed(cause)) };
        let collected = if self.flags.has(Flag::Verity) {
            match &file.verity {
                Some(verity) => Collected { verity: true, algo: verity.algo },
                None => return failed(if direct { Cause::FailedDirectIo } else { Cause::NoVerityDigest }),
            }
        } else if direct {
            return failed(Cause::FailedDirectIo);
        } else if matches!(file.content, Content::Unreadable | Content::Short) {
            return failed(Cause::Failed);
        } else {
            Collected { verity: false, algo: kernel.hash }
        };
        self.collected = Some(collected);
        let labelled = (file.label_writable && file.target.fs.xattrs).then_some(collected.algo);
        // The label moves the version on, unless there is none.
        self.version_seen = labelled.is_none();
        Closed { labelled, record: None }
    }
}

#[cfg(test)]
#[path = "inode_tests.rs"]
mod tests;

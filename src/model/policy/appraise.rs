//! Whether a file's label is what the rules demand (`ima_appraise.c: ima_appraise_measurement(), xattr_verify()`).
#![forbid(unsafe_code)]

use super::builtin::Mode;
use super::cause::{Cause, Record};
use super::decide::{Flag, Slot};
use super::event::{Appended, Content, Evm, Hook, LabelRead, Signature};
use super::rule::{Func, HASH_NAMES};
use super::verdict::{SHA1, SIGNATURE_HEADER, Trial, hash_algo, kind};

impl Trial<'_, '_> {
    fn blacklisted(&self, appended: bool) -> bool {
        let flags = self.inode.flags;
        flags.has(Flag::Blacklist)
            && if appended {
                self.file.appended_blacklisted
            } else {
                flags.has(Flag::Signature) && self.file.blacklisted
            }
    }

    /// What is said of a file without the signature that is wanted.
    fn signature_required(&self) -> Cause {
        if self.inode.flags.has(Flag::Verity) { Cause::VeritySignatureRequired } else { Cause::SignatureRequired }
    }

    pub(super) fn appraise(&mut self, slot: Slot, appended: bool) -> Option<Cause> {
        if self.blacklisted(appended) {
            return Some(Cause::Blacklisted);
        }
        let fs = &self.file.target.fs;
        if !fs.xattrs && !appended {
            return Some(Cause::NoXattrs);
        }
        let (mut cause, res) = self.verify(appended);
        if fs.unverifiable && (fs.untrusted_mounter || self.inode.flags.has(Flag::FailSecurely)) {
            cause = Some(Cause::UnverifiableSignature);
            self.verdict.records.push(Record { cause: Cause::UnverifiableSignature, res });
        } else if let Some(why) = cause {
            self.verdict.records.push(Record { cause: why, res });
            let signature =
                matches!(&self.file.label, LabelRead::Bytes(bytes) if bytes.first() == Some(&kind::SIGNATURE));
            if self.policy.appraisal().mode == Mode::Fix && !appended && !signature && self.file.label_writable {
                let label = self.fresh_label();
                let same = label.as_ref().is_some_and(|label| self.file.label == LabelRead::Bytes(label.clone()));
                self.inode.version_seen &= same && !fs.notes_same_value;
                self.verdict.fixed = label;
                cause = None;
            }
            if self.file.empty && self.inode.new && self.inode.signed {
                cause = None;
            }
        } else {
            self.inode.cache(slot);
        }
        self.inode.judged(slot, cause.is_none());
        cause
    }

    /// The hash label that fits what was hashed (`ima_fix_xattr()`).
    fn fresh_label(&self) -> Option<Vec<u8>> {
        let collected = self.inode.collected?;
        let digest = match (&self.file.verity, &self.file.content) {
            (Some(verity), _) if collected.verity => &verity.digest,
            (_, Content::Digest(digest)) => digest,
            _ => return None,
        };
        // SHA-1 and older go without the algorithm's number.
        let head = if collected.algo <= SHA1 { &[kind::DIGEST][..] } else { &[kind::DIGEST_NG, collected.algo] };
        Some([head, digest].concat())
    }

    /// Why the file fails, and what the record has as its result.
    fn verify(&mut self, appended: bool) -> (Option<Cause>, bool) {
        let file = self.file;
        let flags = self.inode.flags;
        let value = match &file.label {
            LabelRead::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        };
        // Zero from reading an attribute that is empty or not supported looks like success.
        let res = matches!(file.label, LabelRead::NotSupported) || value.is_some_and(<[u8]>::is_empty);
        if !appended && (res || value.is_none()) {
            if file.label == LabelRead::Failed {
                return (Some(Cause::Unknown), false);
            }
            let cause = if flags.has(Flag::Signature) { self.signature_required() } else { Cause::MissingHash };
            self.inode.new |= self.event.created;
            let passes = self.inode.new && (!flags.has(Flag::Signature) || file.empty);
            return ((!passes).then_some(cause), res);
        }
        match file.evm {
            Evm::Unknown | Evm::Pass | Evm::PassImmutable => {}
            Evm::NoXattrs if appended => {}
            Evm::NoXattrs | Evm::NoLabel => return (Some(Cause::MissingHmac), res),
            Evm::Fail => return (Some(Cause::InvalidHmac), res),
            Evm::FailImmutable => {
                self.inode.signed = true;
                return (Some(Cause::InvalidFailImmutable), res);
            }
        }
        let (mut cause, mut unknown_key) = (None, false);
        if let Some(value) = value {
            (cause, unknown_key) = self.verify_label(value);
        }
        let replaced = value.is_none_or(|value| value.first() == Some(&kind::DIGEST_NG)) || unknown_key;
        if appended && replaced {
            let good = match file.appended {
                Appended::Good => true,
                Appended::GoodByPlatform => self.takes_platform(),
                Appended::None | Appended::Bad => false,
            };
            cause = (!good).then_some(Cause::InvalidSignature);
        }
        (cause, cause.is_none())
    }

    fn takes_platform(&self) -> bool {
        self.kernel.platform_keyring && self.hook == Hook::Rule(Func::KexecKernelCheck)
    }

    /// Why a label fails, and whether for want of a key (`xattr_verify()`).
    fn verify_label(&mut self, value: &[u8]) -> (Option<Cause>, bool) {
        let flags = self.inode.flags;
        // The kernel reads one zero byte beyond a label of one.
        let version = value.get(1).copied().unwrap_or(0);
        let fits = self.digest_fits();
        match value.first() {
            Some(&kind::DIGEST_NG) => (self.verify_digest(value.get(2..).unwrap_or(&[]), fits), false),
            Some(&kind::DIGEST) => (self.verify_digest(&value[1..], fits), false),
            Some(&kind::SIGNATURE) => {
                self.inode.signed = true;
                if flags.has(Flag::Signature) && flags.has(Flag::Verity) {
                    return (Some(Cause::VeritySignatureRequired), false);
                }
                let last = if self.kernel.sigv3_files { 3 } else { 2 };
                if version > last {
                    return (Some(Cause::InvalidSignatureVersion), false);
                }
                if flags.has(Flag::Sigv3) && version != 3 {
                    return (Some(Cause::Sigv3Required), false);
                }
                if version == 0 && value.len() > 1 {
                    return (Some(Cause::Unknown), false);
                }
                let over_verity = self.inode.collected.is_some_and(|collected| collected.verity);
                // Version 1 wants a key of another type, which .ima cannot hold.
                let result =
                    if version == 1 { Signature::UnknownKey } else { self.signature(value, fits && !over_verity) };
                let (good, unknown_key) = match result {
                    Signature::Good => (true, false),
                    Signature::GoodByPlatform => (self.takes_platform(), !self.takes_platform()),
                    Signature::UnknownKey => (false, true),
                    // The last word is .platform's, which does not have the key.
                    Signature::Bad | Signature::Unsupported => (false, self.takes_platform() && well_formed(value)),
                    Signature::Revoked => (false, false),
                };
                ((!good).then_some(Cause::InvalidSignature), unknown_key)
            }
            Some(&kind::VERITY_SIGNATURE) => {
                self.inode.signed = true;
                if flags.has(Flag::Signature) && !flags.has(Flag::Verity) {
                    return (Some(Cause::SignatureRequired), false);
                }
                if version != 3 {
                    return (Some(Cause::InvalidSignatureVersion), false);
                }
                let over_verity = self.inode.collected.is_some_and(|collected| collected.verity);
                // The algorithm that the label names was looked at when the signature was verified.
                let result = self.signature(value, over_verity);
                let unknown_key = matches!(result, Signature::UnknownKey | Signature::GoodByPlatform);
                ((result != Signature::Good).then_some(Cause::InvalidVeritySignature), unknown_key)
            }
            _ => (Some(Cause::UnknownData), false),
        }
    }

    /// What verifying says, as far as the label is well formed and was made of what the kernel hashed.
    fn signature(&self, value: &[u8], fits: bool) -> Signature {
        match self.file.signature {
            // The key is looked for before the length is looked at.
            Signature::UnknownKey if self.kernel.sigv3_files && value.len() > SIGNATURE_HEADER => Signature::UnknownKey,
            _ if !well_formed(value) => Signature::Bad,
            good @ (Signature::Good | Signature::GoodByPlatform) => {
                if fits {
                    good
                } else {
                    Signature::Bad
                }
            }
            other => other,
        }
    }

    /// What was hashed before is what this label needs.
    fn digest_fits(&self) -> bool {
        let label = hash_algo(&self.file.label, self.kernel);
        self.inode.collected.is_some_and(|collected| collected.algo == label)
    }

    fn verify_digest(&mut self, stated: &[u8], fits: bool) -> Option<Cause> {
        if self.file.evm == Evm::PassImmutable {
            self.inode.signed = true;
        } else if self.inode.flags.has(Flag::Signature) {
            return Some(self.signature_required());
        } else {
            self.inode.signed = false;
        }
        let verity = self.inode.collected.is_some_and(|collected| collected.verity);
        let actual = match (&self.file.verity, &self.file.content) {
            (Some(found), _) if verity => Some(&found.digest),
            (_, Content::Digest(digest)) if !verity && fits => Some(digest),
            _ => None,
        };
        let same = actual.is_some_and(|actual| stated.starts_with(actual));
        (!same).then_some(Cause::InvalidHash)
    }
}

/// Whether a signature's length and algorithm are such that the kernel looks for its key.
fn well_formed(value: &[u8]) -> bool {
    let stated = value.get(7..SIGNATURE_HEADER).map(|size| usize::from(u16::from_be_bytes([size[0], size[1]])));
    value.len() > SIGNATURE_HEADER
        && stated == Some(value.len() - SIGNATURE_HEADER)
        && usize::from(value[2]) < HASH_NAMES.len()
}

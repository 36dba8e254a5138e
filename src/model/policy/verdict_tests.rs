use proptest::prelude::*;

use super::super::builtin::Boot;
use super::super::event::{Evm, FileSystem, Signature, Subject, Target, VerityDigest};
use super::super::parse::parse;
use super::super::profile::KernelProfile;
use super::*;

pub(in super::super) const SHA256: u8 = 4;
pub(in super::super) const SHA512: u8 = 6;
const DIGEST: [u8; 32] = [0xaa; 32];

fn rules(text: &str) -> Vec<super::super::parse::PlacedRule> {
    let parsed = parse(format!("{text}\n").as_bytes(), &KernelProfile::default());
    assert!(parsed.faults.is_empty(), "{text}: {:?}", parsed.faults);
    parsed.rules
}

pub(in super::super) fn policy(text: &str) -> Effective {
    Effective::of_file("p", &rules(text))
}

pub(in super::super) fn started(command_line: &str, text: &str) -> Effective {
    let mut policy = Effective::at_boot(&Boot::from_command_line(command_line), &KernelProfile::default());
    policy.load("p", &rules(text)).unwrap();
    policy
}

fn ext4() -> FileSystem {
    FileSystem { magic: 0xef53, name: b"ext4".to_vec(), xattrs: true, versioned: true, ..FileSystem::default() }
}

pub(in super::super) fn file(label: LabelRead) -> File {
    File {
        target: Target { fs: ext4(), ..Target::default() },
        content: Content::Digest(DIGEST.to_vec()),
        signature: Signature::Good,
        label,
        ..File::default()
    }
}

pub(in super::super) fn hash_label(digest: &[u8]) -> LabelRead {
    LabelRead::Bytes([&[kind::DIGEST_NG, SHA256], digest].concat())
}

pub(in super::super) fn good_hash() -> File {
    file(hash_label(&DIGEST))
}

pub(in super::super) fn signature_label(kind: u8, version: u8, algo: u8) -> LabelRead {
    LabelRead::Bytes([&[kind, version, algo, 1, 2, 3, 4, 0, 5][..], b"bytes"].concat())
}

pub(in super::super) fn signed() -> File {
    file(signature_label(kind::SIGNATURE, 2, SHA256))
}

fn verity_signed() -> File {
    File {
        verity: Some(VerityDigest { algo: SHA256, digest: vec![0xbb; 32] }),
        ..file(signature_label(kind::VERITY_SIGNATURE, 3, SHA256))
    }
}

/// Asks afresh, as for a file that was never seen.
pub(in super::super) fn ask(policy: &Effective, event: &Event<'_>, file: &File) -> Verdict {
    judge(&VerdictProfile::default(), policy, event, file, &mut Inode::default())
}

fn exec(policy: &Effective, file: &File) -> Verdict {
    ask(policy, &Event::new(Func::BprmCheck, Access::EXEC, &Subject::default()), file)
}

/// The one cause, and the one record's `res=`; `None` for no record.
fn outcome(verdict: &Verdict) -> (Option<Cause>, Option<bool>) {
    assert_eq!(verdict.allowed, verdict.cause.is_none());
    assert_eq!(verdict.seen.is_some(), verdict.cause.is_some());
    assert!(verdict.records.len() <= 1, "{verdict:?}");
    for record in &verdict.records {
        assert_eq!(Some(record.cause), verdict.cause);
        assert!(record.cause.record().is_some());
    }
    (verdict.cause, verdict.records.first().map(|record| record.res))
}

const IMASIG: &str = "appraise func=BPRM_CHECK appraise_type=imasig";
pub(in super::super) const HASH: &str = "appraise func=BPRM_CHECK";
const VERITY: &str = "appraise func=BPRM_CHECK digest_type=verity appraise_type=sigv3";

/// One row of the table of causes: rule, file, cause, `res=`.
type Row = (&'static str, File, Cause, Option<bool>);

fn bytes(bytes: &[u8]) -> LabelRead {
    LabelRead::Bytes(bytes.to_vec())
}

fn labels_that_fail() -> Vec<Row> {
    let no_xattrs = File { target: Target::default(), ..file(LabelRead::None) };
    let revoked = |signature| File { signature, ..signed() };
    let short = LabelRead::Bytes([&[kind::DIGEST_NG, SHA256][..], &DIGEST[..31]].concat());
    vec![
        (HASH, no_xattrs.clone(), Cause::NoXattrs, None),
        (IMASIG, no_xattrs, Cause::NoXattrs, None),
        (HASH, file(LabelRead::None), Cause::MissingHash, Some(false)),
        (IMASIG, file(LabelRead::None), Cause::SignatureRequired, Some(false)),
        (VERITY, File { label: LabelRead::None, ..verity_signed() }, Cause::VeritySignatureRequired, Some(false)),
        (HASH, file(LabelRead::NotSupported), Cause::MissingHash, Some(true)),
        (IMASIG, file(LabelRead::NotSupported), Cause::SignatureRequired, Some(true)),
        (HASH, file(bytes(b"")), Cause::MissingHash, Some(true)),
        (HASH, file(LabelRead::Failed), Cause::Unknown, Some(false)),
        (IMASIG, good_hash(), Cause::SignatureRequired, Some(false)),
        (
            VERITY,
            File { label: hash_label(&[0xbb; 32]), ..verity_signed() },
            Cause::VeritySignatureRequired,
            Some(false),
        ),
        (HASH, file(hash_label(&[0; 32])), Cause::InvalidHash, Some(false)),
        (HASH, file(short), Cause::InvalidHash, Some(false)),
        (HASH, file(bytes(&[kind::DIGEST])), Cause::InvalidHash, Some(false)),
        (IMASIG, revoked(Signature::Bad), Cause::InvalidSignature, Some(false)),
        (IMASIG, revoked(Signature::UnknownKey), Cause::InvalidSignature, Some(false)),
        (IMASIG, revoked(Signature::Revoked), Cause::InvalidSignature, Some(false)),
        (IMASIG, revoked(Signature::Unsupported), Cause::InvalidSignature, Some(false)),
        (IMASIG, revoked(Signature::GoodByPlatform), Cause::InvalidSignature, Some(false)),
        (IMASIG, file(bytes(&[3, 2, SHA256, 1, 2, 3, 4, 0, 6, 0])), Cause::InvalidSignature, Some(false)),
        (IMASIG, file(bytes(&[3, 2, SHA256])), Cause::InvalidSignature, Some(false)),
        (IMASIG, file(bytes(&[3])), Cause::InvalidSignature, Some(false)),
        (IMASIG, file(signature_label(3, 1, SHA256)), Cause::InvalidSignature, Some(false)),
        (IMASIG, file(signature_label(3, 2, 200)), Cause::InvalidSignature, Some(false)),
        (IMASIG, file(signature_label(3, 3, SHA256)), Cause::InvalidSignatureVersion, Some(false)),
        (IMASIG, file(signature_label(3, 0, SHA256)), Cause::Unknown, Some(false)),
        (VERITY, File { signature: Signature::Bad, ..verity_signed() }, Cause::InvalidVeritySignature, Some(false)),
        (IMASIG, verity_signed(), Cause::SignatureRequired, Some(false)),
        (VERITY, File { label: signed().label, ..verity_signed() }, Cause::VeritySignatureRequired, Some(false)),
        (
            VERITY,
            File { label: signature_label(6, 2, SHA256), ..verity_signed() },
            Cause::InvalidSignatureVersion,
            Some(false),
        ),
        // Without a rule that wants verity, the signature is held against the digest of the content.
        (HASH, verity_signed(), Cause::InvalidVeritySignature, Some(false)),
        (VERITY, File { verity: None, ..verity_signed() }, Cause::NoVerityDigest, Some(false)),
        (HASH, file(bytes(&[2, 0, 0])), Cause::UnknownData, Some(false)),
        (HASH, file(bytes(&[5, 0, 0])), Cause::UnknownData, Some(false)),
        (HASH, file(bytes(b"nonsense")), Cause::UnknownData, Some(false)),
    ]
}

#[test]
fn each_way_in_which_a_label_fails() {
    for (rule, file, cause, record) in labels_that_fail() {
        let verdict = exec(&policy(rule), &file);
        assert_eq!(outcome(&verdict), (Some(cause), record), "{rule} {file:?}");
        assert!(!verdict.cached && verdict.seen == Some(Seen::AccessDenied));
    }
}

#[test]
fn labels_that_pass() {
    let md5 = File { content: Content::Digest(vec![7; 16]), ..file(bytes(&[&[1][..], &[7; 16]].concat())) };
    let padded_md5 = File { content: md5.content.clone(), ..file(bytes(&[&[1][..], &[7; 16], &[0; 4]].concat())) };
    let sha1 = File { content: Content::Digest(vec![7; 20]), ..file(bytes(&[&[1][..], &[7; 20]].concat())) };
    let long = file(LabelRead::Bytes([&[4, SHA256][..], &DIGEST, b"more"].concat()));
    for (rule, file) in [
        (VERITY, verity_signed()),
        // Whether the label's algorithm must be the digest's depends on the key, and is part of verifying.
        (VERITY, File { label: signature_label(6, 3, SHA512), ..verity_signed() }),
        (HASH, good_hash()),
        (HASH, md5),
        (HASH, padded_md5),
        (HASH, sha1),
        (HASH, long),
        (HASH, signed()),
        (IMASIG, signed()),
        (VERITY, verity_signed()),
        // A portable signature makes a hash as good as a signature.
        (IMASIG, File { evm: Evm::PassImmutable, ..good_hash() }),
        (IMASIG, File { evm: Evm::Pass, ..signed() }),
    ] {
        let verdict = exec(&policy(rule), &file);
        assert_eq!(outcome(&verdict), (None, None), "{rule} {file:?}");
        assert!(verdict.cached && !verdict.from_cache);
    }
}

#[test]
fn evm() {
    for (evm, cause) in [
        (Evm::NoLabel, Cause::MissingHmac),
        (Evm::NoXattrs, Cause::MissingHmac),
        (Evm::Fail, Cause::InvalidHmac),
        (Evm::FailImmutable, Cause::InvalidFailImmutable),
    ] {
        for file in [good_hash(), signed()] {
            let verdict = exec(&policy(HASH), &File { evm, ..file });
            assert_eq!(outcome(&verdict), (Some(cause), Some(false)));
        }
    }
    // Without a label EVM is not asked.
    let verdict = exec(&policy(HASH), &File { evm: Evm::NoXattrs, ..file(LabelRead::None) });
    assert_eq!(verdict.cause, Some(Cause::MissingHash));
    let immutable = File { evm: Evm::PassImmutable, ..file(hash_label(&[0; 32])) };
    assert_eq!(exec(&policy(IMASIG), &immutable).cause, Some(Cause::InvalidHash));
}

#[test]
fn file_systems_that_change_content_unseen() {
    let fuse = |untrusted_mounter| {
        let fs = FileSystem { unverifiable: true, untrusted_mounter, versioned: false, ..ext4() };
        File { target: Target { fs, ..Target::default() }, ..signed() }
    };
    let unverifiable = (Some(Cause::UnverifiableSignature), Some(true));
    assert_eq!(outcome(&exec(&policy(IMASIG), &fuse(true))), unverifiable);
    let securely = started("ima_policy=fail_securely", IMASIG);
    assert_eq!(outcome(&exec(&securely, &fuse(false))), unverifiable);
    let bad = File { signature: Signature::Bad, ..fuse(true) };
    assert_eq!(outcome(&exec(&policy(IMASIG), &bad)), (Some(Cause::UnverifiableSignature), Some(false)));
    // Otherwise it is looked at again at every access.
    let subject = Subject::default();
    let event = Event::new(Func::BprmCheck, Access::EXEC, &subject);
    let mut inode = Inode::default();
    for _ in 0..2 {
        let verdict = judge(&VerdictProfile::default(), &policy(IMASIG), &event, &fuse(false), &mut inode);
        assert!(verdict.allowed && !verdict.from_cache && verdict.cached);
    }
}

#[test]
fn the_blacklist_is_silent_and_asked_for_signatures_only() {
    let listed = File { blacklisted: true, ..signed() };
    assert_eq!(outcome(&exec(&policy(IMASIG), &listed)), (Some(Cause::Blacklisted), None));
    assert!(exec(&policy(HASH), &listed).allowed);
    // The rules of the command line do not look.
    let secure_boot = Effective::at_boot(&Boot::from_command_line("ima_policy=secure_boot"), &KernelProfile::default());
    let subject = Subject::default();
    let module = Event::new(Func::ModuleCheck, Access::READ, &subject);
    assert!(ask(&secure_boot, &module, &listed).allowed);
}

#[test]
fn content_that_cannot_be_hashed() {
    for (content, direct) in [(Content::NoAlgorithm, false), (Content::Unreadable, false), (Content::Short, false)] {
        let subject = Subject::default();
        let event = Event { direct, ..Event::new(Func::FileCheck, Access::READ, &subject) };
        let verdict = ask(&policy("appraise"), &event, &File { content, ..signed() });
        assert_eq!(outcome(&verdict), (Some(Cause::Failed), Some(false)));
    }
}

#[test]
fn direct_io() {
    let subject = Subject::default();
    let event = Event { direct: true, ..Event::new(Func::FileCheck, Access::READ, &subject) };
    let plain = policy("appraise");
    assert_eq!(outcome(&ask(&plain, &event, &signed())), (Some(Cause::FailedDirectIo), Some(false)));
    // Whatever the label says, permit_directio lets it through; the record stays.
    let permitted = ask(&policy("appraise permit_directio"), &event, &file(LabelRead::None));
    assert!(permitted.allowed && permitted.cause.is_none() && !permitted.cached);
    assert_eq!(permitted.records, [Record::failed(Cause::FailedDirectIo)]);
    // A pass that is cached already counts.
    let mut inode = Inode::default();
    assert!(judge(&VerdictProfile::default(), &plain, &Event { direct: false, ..event }, &signed(), &mut inode).cached);
    let verdict = judge(&VerdictProfile::default(), &plain, &event, &signed(), &mut inode);
    assert!(verdict.allowed && verdict.from_cache && verdict.records.is_empty());
    // An fs-verity digest needs no reading.
    let verity = policy("appraise digest_type=verity appraise_type=sigv3");
    assert!(ask(&verity, &event, &verity_signed()).allowed);
    assert_eq!(ask(&verity, &event, &signed()).cause, Some(Cause::FailedDirectIo));
}

#[test]
fn allowed_algorithms_are_asked_at_the_first_access_only() {
    let subject = Subject::default();
    let event = Event::new(Func::BprmCheck, Access::EXEC, &subject);
    let strict = policy("appraise func=BPRM_CHECK appraise_algos=sha512");
    let mut inode = Inode::default();
    let first = judge(&VerdictProfile::default(), &strict, &event, &good_hash(), &mut inode);
    assert_eq!(outcome(&first), (Some(Cause::DeniedHashAlgorithm), Some(false)));
    assert!(first.cached);
    let second = judge(&VerdictProfile::default(), &strict, &event, &good_hash(), &mut inode);
    assert!(second.allowed && second.from_cache);
    assert!(exec(&policy("appraise func=BPRM_CHECK appraise_algos=sha256,sha512"), &good_hash()).allowed);
}

#[test]
fn writing_a_signed_file_is_denied_silently() {
    let subject = Subject::default();
    let write = Event { writable: true, ..Event::new(Func::FileCheck, Access::WRITE, &subject) };
    let all = policy("appraise");
    assert_eq!(outcome(&ask(&all, &write, &signed())), (Some(Cause::SignedFileWritten), None));
    assert!(ask(&all, &write, &good_hash()).allowed);
    // Only where the write is appraised.
    assert!(ask(&policy("appraise mask=MAY_READ"), &write, &signed()).allowed);
    assert!(ask(&policy(IMASIG), &write, &signed()).allowed);
    // A signature that does not verify fails as such.
    let verdict = ask(&all, &write, &File { signature: Signature::Bad, ..signed() });
    assert_eq!(outcome(&verdict), (Some(Cause::InvalidSignature), Some(false)));
}

#[test]
fn executable_mappings_and_writers() {
    let subject = Subject::default();
    let map = Event::new(Func::MmapCheck, Access::EXEC, &subject);
    let mapped = File { mapped_writable: true, ..signed() };
    let rule = policy("appraise func=MMAP_CHECK");
    let mut inode = Inode::default();
    for cached in [false, true] {
        let verdict = judge(&VerdictProfile::default(), &rule, &map, &mapped, &mut inode);
        assert_eq!(outcome(&verdict), (Some(Cause::MappedWriters), Some(false)));
        assert_eq!(verdict.from_cache, cached);
    }
    // A rule without func= makes an open of it, which writers do not bother.
    assert!(ask(&policy("appraise"), &map, &mapped).allowed);
    let place = Event { place: Place::Exec, ..map };
    let verdict = ask(&rule, &place, &file(LabelRead::None));
    assert_eq!((verdict.seen, verdict.cause), (Some(Seen::Killed), Some(Cause::MissingHash)));
    assert_eq!((Seen::Killed.errno(), Seen::AccessDenied.errno()), (None, Some(13)));
}

#[test]
fn appended_signatures() {
    let subject = Subject::default();
    let modsig = policy("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig|modsig");
    let module = policy("appraise func=MODULE_CHECK appraise_type=imasig|modsig");
    let kexec = Event::new(Func::KexecKernelCheck, Access::READ, &subject);
    let load = Event::new(Func::ModuleCheck, Access::READ, &subject);
    let with = |appended, file: File| File { appended, ..file };
    let none = || file(LabelRead::None);
    for (file, wanted) in [
        (with(Appended::Good, none()), None),
        (with(Appended::Bad, none()), Some(Cause::InvalidSignature)),
        (with(Appended::None, none()), Some(Cause::SignatureRequired)),
        // A hash label does not count beside it; a signature that fails for want of a key does not either.
        (with(Appended::Good, good_hash()), None),
        (with(Appended::Good, File { signature: Signature::UnknownKey, ..signed() }), None),
        (with(Appended::Good, File { signature: Signature::Bad, ..signed() }), Some(Cause::InvalidSignature)),
        (with(Appended::Bad, signed()), None),
        // Nor does it take a file system with attributes.
        (with(Appended::Good, File { target: Target::default(), ..none() }), None),
        (with(Appended::Good, File { evm: Evm::NoXattrs, ..good_hash() }), None),
        (File { appended_blacklisted: true, ..with(Appended::Good, none()) }, Some(Cause::Blacklisted)),
    ] {
        assert_eq!(ask(&module, &load, &file).cause, wanted, "{file:?}");
        // The imasig rule alone does not look at it.
        let imasig = policy("appraise func=MODULE_CHECK appraise_type=imasig");
        if file.label == LabelRead::None && file.target.fs.xattrs {
            assert_eq!(ask(&imasig, &load, &file).cause, Some(Cause::SignatureRequired));
        }
    }
    // A kernel's signature is held against .platform last, where its key is not.
    let tampered = with(Appended::Good, File { signature: Signature::Bad, ..signed() });
    assert!(ask(&modsig, &kexec, &tampered).allowed);
    // .platform counts for kernels only.
    for file in [with(Appended::GoodByPlatform, none()), File { signature: Signature::GoodByPlatform, ..signed() }] {
        assert!(ask(&modsig, &kexec, &file).allowed);
        assert_eq!(ask(&module, &load, &file).cause, Some(Cause::InvalidSignature));
        let kernel = VerdictProfile { platform_keyring: false, ..VerdictProfile::default() };
        assert!(!judge(&kernel, &modsig, &kexec, &file, &mut Inode::default()).allowed);
    }
}

#[test]
fn modes() {
    let subject = Subject::default();
    let event = Event::new(Func::FileCheck, Access::READ, &subject);
    let bad = file(hash_label(&[0; 32]));
    let log = ask(&started("ima_appraise=log", "appraise"), &event, &bad);
    assert!(log.allowed && log.seen.is_none() && log.fixed.is_none());
    assert_eq!((log.cause, log.records.len()), (Some(Cause::InvalidHash), 1));
    let fix = started("ima_appraise=fix", "appraise");
    let fixed = ask(&fix, &event, &bad);
    assert!(fixed.allowed && fixed.cause.is_none() && !fixed.cached);
    assert_eq!(fixed.fixed.as_deref(), Some(&[&[kind::DIGEST_NG, SHA256], &DIGEST[..]].concat()[..]));
    assert_eq!(fixed.records, [Record::failed(Cause::InvalidHash)]);
    for file in [File { label_writable: false, ..bad.clone() }, File { signature: Signature::Bad, ..signed() }] {
        let verdict = ask(&fix, &event, &file);
        assert!(verdict.allowed && verdict.fixed.is_none() && verdict.cause.is_some());
    }
    let off = ask(&started("ima_appraise=off", "appraise"), &event, &bad);
    assert!(off.allowed && off.cause.is_none() && off.records.is_empty());
    let kept = ask(&started("ima_appraise=off", "appraise\nappraise func=MODULE_CHECK"), &event, &bad);
    assert!(kept.allowed && kept.records.len() == 1);
}

#[test]
fn only_regular_files_in_the_policy_are_looked_at() {
    let directory = File { regular: false, ..file(LabelRead::None) };
    assert!(exec(&policy(HASH), &directory).allowed);
    assert!(exec(&policy("dont_appraise\nappraise"), &file(LabelRead::None)).allowed);
    let measured = exec(&policy("measure\naudit"), &file(LabelRead::None));
    assert!(measured.allowed && measured.measured && measured.audited);
}

#[test]
fn signatures_of_version_3_over_files() {
    let subject = Subject::default();
    let profile = KernelProfile { sigv3_files: true, ..KernelProfile::default() };
    let rules = parse(b"appraise func=BPRM_CHECK appraise_type=sigv3\n", &profile).rules;
    let sigv3 = Effective::of_file("p", &rules);
    let kernel = VerdictProfile { sigv3_files: true, ..VerdictProfile::default() };
    let event = Event::new(Func::BprmCheck, Access::EXEC, &subject);
    let ask = |policy: &Effective, file: &File| judge(&kernel, policy, &event, file, &mut Inode::default()).cause;
    let third = file(signature_label(3, 3, SHA256));
    assert_eq!(ask(&sigv3, &third), None);
    assert_eq!(ask(&sigv3, &signed()), Some(Cause::Sigv3Required));
    assert_eq!(ask(&policy(IMASIG), &third), None);
    // Without a signature there is no word of its version.
    assert_eq!(ask(&sigv3, &good_hash()), Some(Cause::SignatureRequired));
    assert_eq!(ask(&sigv3, &file(LabelRead::None)), Some(Cause::SignatureRequired));
    // An appended signature is looked at where the label's key is not there, though the label is malformed.
    let rules = parse(b"appraise func=MODULE_CHECK appraise_type=imasig|modsig\n", &profile).rules;
    let modsig = Effective::of_file("p", &rules);
    let event = Event::new(Func::ModuleCheck, Access::READ, &subject);
    let cut = File {
        label: LabelRead::Bytes(vec![3, 2, SHA256, 1, 2, 3, 4, 0, 70, 0]),
        signature: Signature::UnknownKey,
        appended: Appended::Good,
        ..file(LabelRead::None)
    };
    let ask = |kernel: &VerdictProfile| judge(kernel, &modsig, &event, &cut, &mut Inode::default()).cause;
    assert_eq!((ask(&kernel), ask(&VerdictProfile::default())), (None, Some(Cause::InvalidSignature)));
}

prop_compose! {
    fn any_label()(label in prop::collection::vec(any::<u8>(), 0..48), first in 0_u8..8) -> Vec<u8> {
        let mut label = label;
        if let Some(byte) = label.first_mut() {
            *byte = first;
        }
        label
    }
}

proptest! {
    /// Whatever the label's bytes: a verdict comes, a denial has a cause, a recorded one its record, and asking again
    /// gives the same answer.
    #[test]
    fn verdicts_hold_together(
        label in any_label(),
        rule in prop::sample::select(vec![IMASIG, HASH, VERITY, "appraise", "hash\nappraise", "measure\nappraise"]),
        good in any::<bool>(),
        writable in any::<bool>(),
        verity in any::<bool>(),
    ) {
        let subject = Subject::default();
        let func = if rule.contains("BPRM") { Func::BprmCheck } else { Func::FileCheck };
        let access = if writable { Access::WRITE } else { Access::EXEC };
        let event = Event { writable, ..Event::new(func, access, &subject) };
        let file = File {
            signature: if good { Signature::Good } else { Signature::Bad },
            verity: verity.then(|| VerityDigest { algo: SHA256, digest: DIGEST.to_vec() }),
            ..file(LabelRead::Bytes(label))
        };
        let mut inode = Inode::default();
        let policy = policy(rule);
        let verdict = judge(&VerdictProfile::default(), &policy, &event, &file, &mut inode);
        prop_assert_eq!(verdict.allowed, verdict.cause.is_none());
        prop_assert!(!verdict.from_cache);
        let recorded = verdict.cause.and_then(Cause::record);
        let last = verdict.records.last().and_then(|record| record.cause.record());
        prop_assert_eq!(recorded, last);
        let again = judge(&VerdictProfile::default(), &policy, &event, &file, &mut inode);
        prop_assert_eq!((again.allowed, again.cause), (verdict.allowed, verdict.cause));
        prop_assert_eq!(again.from_cache, verdict.cached);
        if !verdict.cached {
            prop_assert_eq!(again.records, verdict.records);
        }
    }
}

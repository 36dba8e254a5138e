use super::super::event::{Credentials, LabelRead, Signature, Stacked};
use super::super::verdict::judge;
use super::super::verdict::tests::{
    HASH, SHA256, SHA512, ask, file, good_hash, hash_label, policy, signature_label, signed,
};
use super::*;

#[test]
fn demands_stick_to_the_inode_until_its_attributes_are_set() {
    let subject = Subject::default();
    let kernel = VerdictProfile::default();
    let both = policy("appraise func=FILE_CHECK appraise_type=imasig uid=5\nappraise func=BPRM_CHECK");
    let exec = Event::new(Func::BprmCheck, Access::EXEC, &subject);
    let other = Subject { credentials: Credentials::of(5, 5), ..Subject::default() };
    let read = Event::new(Func::FileCheck, Access::READ, &other);
    let mut inode = Inode::default();
    let file = good_hash();
    assert!(!judge(&kernel, &both, &read, &file, &mut inode).allowed);
    assert!(inode.demands().has(Flag::Signature));
    let verdict = judge(&kernel, &both, &exec, &file, &mut inode);
    assert_eq!(verdict.cause, Some(Cause::SignatureRequired));
    inode.attributes_set(&both, &file, &subject);
    assert!(judge(&kernel, &both, &exec, &file, &mut inode).cached);
    assert!(!inode.demands().has(Flag::Signature));
}

#[test]
fn a_pass_is_cached_by_slot_and_a_failure_never() {
    let subject = Subject::default();
    let kernel = VerdictProfile::default();
    let policy = policy("appraise func=BPRM_CHECK\nappraise func=CREDS_CHECK");
    let [bprm, creds] = [Func::BprmCheck, Func::CredsCheck].map(|func| Event::new(func, Access::EXEC, &subject));
    let mut inode = Inode::default();
    for (event, from_cache) in [(&bprm, false), (&creds, false), (&bprm, true), (&creds, true)] {
        assert_eq!(judge(&kernel, &policy, event, &good_hash(), &mut inode).from_cache, from_cache);
    }
    // What changed without the kernel seeing it still passes.
    let tampered = file(hash_label(&[0; 32]));
    assert!(judge(&kernel, &policy, &bprm, &tampered, &mut inode).from_cache);
    for forget in [
        |inode: &mut Inode, _: &Effective| inode.truncated(),
        |inode: &mut Inode, policy: &Effective| inode.label_set(policy, Some(4)),
        |inode: &mut Inode, policy: &Effective| inode.attributes_set(policy, &good_hash(), &Subject::default()),
        |inode: &mut Inode, _: &Effective| {
            inode.written();
            inode.closed(&VerdictProfile::default(), &good_hash(), false);
        },
    ] {
        let mut inode = inode.clone();
        forget(&mut inode, &policy);
        for _ in 0..2 {
            let verdict = judge(&kernel, &policy, &bprm, &tampered, &mut inode);
            assert_eq!((verdict.cause, verdict.from_cache), (Some(Cause::InvalidHash), false));
        }
    }
    // A close that changed nothing keeps it, where the file system can tell.
    assert_eq!(inode.closed(&kernel, &good_hash(), false), Closed::default());
    assert!(inode.is_cached(Slot::Bprm));
}

#[test]
fn overlays_are_looked_at_again() {
    let subject = Subject::default();
    let event = Event::new(Func::BprmCheck, Access::EXEC, &subject);
    let below = Stacked { versioned: true, changed: false, metadata_changed: false };
    for (stacked, from_cache) in [
        (below, true),
        (Stacked { versioned: false, ..below }, false),
        (Stacked { changed: true, ..below }, false),
        (Stacked { metadata_changed: true, ..below }, false),
    ] {
        let file = File { stacked: Some(stacked), ..good_hash() };
        let mut inode = Inode::default();
        let twice =
            [0; 2].map(|_| judge(&VerdictProfile::default(), &policy(HASH), &event, &file, &mut inode).from_cache);
        assert_eq!(twice, [false, from_cache], "{stacked:?}");
    }
}

#[test]
fn new_files_are_labelled_at_close() {
    let subject = Subject::default();
    let kernel = VerdictProfile::default();
    let create = Event { writable: true, created: true, ..Event::new(Func::FileCheck, Access::WRITE, &subject) };
    let read = Event::new(Func::FileCheck, Access::READ, &subject);
    let empty = File { empty: true, ..file(LabelRead::None) };
    for (rule, first) in [("appraise", true), ("appraise appraise_type=imasig", true), ("appraise fowner=1", true)] {
        let policy = policy(rule);
        let mut inode = Inode::default();
        let verdict = judge(&kernel, &policy, &create, &empty, &mut inode);
        assert_eq!(verdict.allowed, first);
        let in_policy = rule != "appraise fowner=1";
        assert_eq!(verdict.labels_at_close, in_policy);
        let closed = inode.closed(&kernel, &file(LabelRead::None), false);
        assert_eq!(closed.labelled, in_policy.then_some(SHA256), "{rule}");
        // Then it is no better than any file with a hash label.
        let after = judge(&kernel, &policy, &read, &good_hash(), &mut inode);
        assert_eq!(after.cause, (rule == "appraise appraise_type=imasig").then_some(Cause::SignatureRequired));
    }
    // Not empty and new: passes only where no signature is wanted.
    let full = file(LabelRead::None);
    assert!(ask(&policy("appraise"), &create, &full).allowed);
    assert_eq!(ask(&policy("appraise appraise_type=imasig"), &create, &full).cause, Some(Cause::SignatureRequired));
    // Reads and execs label nothing.
    assert!(!ask(&policy("appraise"), &read, &good_hash()).labels_at_close);
}

#[test]
fn mknod_and_nameless_files() {
    let subject = Subject::default();
    let kernel = VerdictProfile::default();
    let policy = policy("appraise func=FILE_CHECK");
    let write = Event { writable: true, ..Event::new(Func::FileCheck, Access::WRITE, &subject) };
    let empty = File { empty: true, ..file(LabelRead::None) };
    let mut made = Inode::default();
    assert!(!judge(&kernel, &policy, &write, &empty, &mut made.clone()).allowed);
    made.made(&policy, &empty, &subject);
    assert!(judge(&kernel, &policy, &write, &empty, &mut made).allowed);
    let mut nameless = Inode::default();
    nameless.made_nameless(&policy, &empty, &subject);
    assert_eq!(nameless.closed(&kernel, &empty, false).labelled, Some(SHA256));
    // Signed before anything is written: still writable while new and empty.
    made.label_set(&policy, Some(kind::SIGNATURE));
    let signed = File { signature: Signature::Bad, empty: true, ..signed() };
    let verdict = judge(&kernel, &policy, &write, &signed, &mut made);
    assert!(verdict.allowed);
    assert_eq!(verdict.records, [Record::failed(Cause::InvalidSignature)]);
}

#[test]
fn hash_rules_label_at_close() {
    let subject = Subject::default();
    let kernel = VerdictProfile::default();
    let write = Event { writable: true, ..Event::new(Func::FileCheck, Access::WRITE, &subject) };
    let policy = policy("hash");
    for (file, labelled) in [(file(LabelRead::None), Some(SHA256)), (signed(), None)] {
        let mut inode = Inode::default();
        assert!(judge(&kernel, &policy, &write, &file, &mut inode).allowed);
        assert_eq!(inode.closed(&kernel, &file, false).labelled, labelled);
    }
    let mut inode = Inode::default();
    assert!(judge(&kernel, &policy, &write, &file(LabelRead::None), &mut inode).allowed);
    let read_only = File { label_writable: false, ..file(LabelRead::None) };
    assert_eq!(inode.closed(&kernel, &read_only, false).labelled, None);
}

#[test]
fn measuring_is_done_once_for_each_register() {
    let subject = Subject::default();
    let event = Event::new(Func::BprmCheck, Access::EXEC, &subject);
    let mut inode = Inode::default();
    for (rule, measured) in [("measure", true), ("measure", false), ("measure pcr=11", true), ("measure pcr=10", false)]
    {
        let verdict = judge(&VerdictProfile::default(), &policy(rule), &event, &good_hash(), &mut inode);
        assert_eq!(verdict.measured, measured, "{rule}");
    }
}

#[test]
fn a_digest_that_was_taken_for_another_label_does_not_fit() {
    // The template "ima" has the kernel hash without a look at the label.
    let subject = Subject::default();
    let event = Event::new(Func::FileCheck, Access::READ, &subject);
    let mut inode = Inode::default();
    let other = File { label: signature_label(3, 2, SHA512), ..signed() };
    let first = judge(&VerdictProfile::default(), &policy("measure template=ima"), &event, &other, &mut inode);
    assert!(first.measured);
    let verdict = judge(&VerdictProfile::default(), &policy("appraise"), &event, &other, &mut inode);
    assert_eq!(verdict.cause, Some(Cause::InvalidSignature));
    assert!(ask(&policy("appraise"), &event, &other).allowed);
}

#[test]
fn a_denied_write_that_changed_nothing_keeps_what_was_found_out() {
    let subject = Subject::default();
    let kernel = VerdictProfile::default();
    let write = Event { writable: true, ..Event::new(Func::FileCheck, Access::WRITE, &subject) };
    let policy = policy("audit\nappraise appraise_type=imasig");
    let mut inode = Inode::default();
    for audited in [true, false] {
        let verdict = judge(&kernel, &policy, &write, &good_hash(), &mut inode);
        assert_eq!((verdict.allowed, verdict.audited), (false, audited));
        inode.closed(&kernel, &good_hash(), false);
    }
}

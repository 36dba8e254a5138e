//! What is warned of: names that stay, and why each matters.
#![forbid(unsafe_code)]

use crate::model::diagnostic::Severity::{self, Note, Warning};

/// Something that loads, and bricks, opens a hole or surprises.
#[derive(Debug, PartialEq, Eq)]
pub struct Lint {
    /// Its name; it stays.
    pub id: &'static str,
    /// Warning or note.
    pub severity: Severity,
    /// What the kernel does, and what comes of it.
    pub why: &'static str,
}

macro_rules! lints {
    ($($name:ident $id:literal $severity:ident $why:literal)*) => {
        $(pub(super) const $name: Lint = Lint { id: $id, severity: $severity, why: $why };)*
        /// Every lint, by name.
        pub const ALL: &[&Lint] = &[$(&$name),*];
    };
}

lints! {
    APPRAISE_FLAG_IGNORED "appraise-flag-ignored" Note
        "The kernel takes any `appraise_flag=` and does nothing with it; the blacklist is looked at wherever `appraise_type=` stands."
    BROAD_EXEMPTION "broad-exemption" Warning
        "The exemption is by user or owner alone, so whatever these users own or run is not looked at, on every file system."
    DEMANDS_STICK "demands-stick" Note
        "What any matching rule demands of a file stays with the file in memory: once it was used under a rule with `appraise_type=`, a hash label no longer suffices at the other hooks either, until the kernel forgets the file. So the outcome depends on what happened before."
    DUPLICATE_RULE "duplicate-rule" Warning
        "The first rule that matches decides; the same rule again never gets its turn."
    EXEMPTION_WITHOUT_RULE "exemption-without-rule" Warning
        "An exemption only keeps later rules from matching, and no later rule matches what it exempts."
    FILE_SYSTEM_EXEMPT "file-system-exempt" Warning
        "Whoever can write to or mount such a file system can put any program there, and it runs."
    FIRMWARE_FALLBACK_STOPS "firmware-fallback-stops" Note
        "While such a rule was ever active, the kernel refuses firmware that user space hands it through sysfs (ima_load_data()), until the next boot."
    FSNAME_WITH_DOT "fsname-with-dot" Warning
        "`fsname=` is compared with the file system type's own name, which is `fuse` for all of FUSE; what stands after the dot is the subtype. The rule never matches."
    FSUUID_TAIL "fsuuid-tail" Warning
        "The kernel reads 36 characters of a UUID and passes over the rest."
    FUNC_LESS_USES_FILE_SLOT "func-less-uses-file-slot" Note
        "A rule without `func=` matches every hook, modules, firmware and policies included, and keeps one verdict for all: what passed one of them is not judged again at another until it changes."
    GID_IGNORED "gid-ignored" Warning
        "The kernel takes `gid` here and never looks at it (ima_match_rule_data()): the rule matches whatever the group is."
    HASH_LABEL_SUFFICES "hash-label-suffices" Warning
        "Without `appraise_type=imasig` a label with the file's hash is enough, and root writes such a label onto any file (evmctl ima_hash)."
    HASH_LABELS_WRITTEN "hash-labels-written" Warning
        "Files with a signature can no longer be opened for writing, and every file that is written under this rule gets a label with its new hash at the last close: whatever root writes is good from then on, programs included."
    INIT_MODULE_STOPS "init-module-stops" Note
        "While such a rule was ever active, init_module(2), which hands over bytes instead of a file, is refused unless module.sig_enforce is on; old or small modprobes use it."
    KEXEC_INITRAMFS_UNSIGNED "kexec-initramfs-unsigned" Note
        "Initramfs images are made on the machine and signed by nobody, so `kexec -s --initrd` and kdump fail until they are."
    KEXEC_LOAD_STOPS "kexec-load-stops" Note
        "While such a rule was ever active, kexec_load(2), which hands over bytes instead of a file, is refused; `kexec -s`, and a kdump that uses it, go on."
    LAST_ONE_WINS "last-one-wins" Warning
        "The option stands twice; the kernel takes the last and says nothing."
    LONG_LINE "long-line" Note
        "A load by content takes 4095 bytes a line; the rest would be read as a new rule. A load by path has no such limit."
    LSM_BEFORE_SELINUX "lsm-before-selinux" Warning
        "At boot the first policy is loaded before SELinux's own. No label is known then, and the kernel drops the whole policy; when PID 1 is the loader, it freezes the machine."
    MASK_EQUAL_MISSES_RDWR "mask-equal-misses-rdwr" Warning
        "Without `^` the access must be exactly this one: a file opened for reading and writing, or for appending, does not match."
    MATCHES_NOTHING "matches-nothing" Warning
        "No event fits: the hook never asks for that access, or no id fits the comparison."
    MMAP_MAKES_MPROTECT_FAIL "mmap-makes-mprotect-fail" Note
        "mprotect(2) that makes a file's mapping executable fails with EPERM for every file that the rule matches, signed or not, and with ima_appraise=log too: some just-in-time compilers and old programs stop."
    MODULE_CHECK_AND_INITRAMFS "module-check-and-initramfs" Warning
        "The policy is active in the initramfs already, whose file system holds no labels: modules and firmware that lie there are refused, and with them disks, graphics or the root file system."
    MODULE_CHECK_BEFORE_INITRAMFS "module-check-before-initramfs" Note
        "The initramfs is exempt only after this rule: from the moment that the policy is loaded, modules and firmware that lie there are refused."
    NO_APPRAISAL "no-appraisal" Warning
        "This kernel was built without CONFIG_IMA_APPRAISE: it takes the rules and denies nothing."
    NO_EXEC_RULE "no-exec-rule" Warning
        "Scripts are executed and not mapped, so they are not looked at; and a program denied while it is mapped dies of SIGSEGV instead of failing with a message."
    NO_INITRAMFS_EXEMPTION "no-initramfs-exemption" Warning
        "The policy is active in the initramfs already, whose file system holds no labels: each program and file there that the rule matches is denied, without any audit record, and the machine does not boot."
    NO_SHARED_LIBRARY_RULE "no-shared-library-rule" Warning
        "Executed files are appraised, the libraries that they load are not: a library of one's own (LD_PRELOAD, LD_LIBRARY_PATH) runs inside of signed programs."
    PCR_ABOVE_31 "pcr-above-31" Warning
        "The kernel remembers what it measured in 32 bits, one for each PCR, and shifts by this number; a TPM has 24 PCRs anyway."
    PERMIT_DIRECTIO "permit-directio" Warning
        "A file that this rule matches passes when it is opened with O_DIRECT, whatever its label says."
    POLICY_CHECK_LATE "policy-check-late" Warning
        "The first rule that matches decides, and an earlier one lets some policies through without a signature."
    POLICY_CHECK_MISSING "policy-check-missing" Warning
        "Where the kernel takes more than one policy (CONFIG_IMA_WRITE_POLICY), root can append rules that nobody signed. No rule is taken back before the next boot, so one bad rule denies everything."
    POLICY_LOAD_NOT_MEASURED "policy-load-not-measured" Warning
        "Who reads the measurements cannot see that somebody appended rules: a verifier trusts a list that no longer means what it did."
    RAMFS_EXEMPT "ramfs-exempt" Warning
        "ramfs is more than the initramfs: it can be mounted at any time, and by every user in a namespace of his own."
    READS_OF_PSEUDO_FILE_SYSTEMS "reads-of-pseudo-filesystems" Warning
        "The kernel's own file systems hold no labels, so reading their files is denied, without any audit record: systemd, udev and ps stop working."
    SETXATTR_FIRST_WINS "setxattr-first-wins" Warning
        "The first such rule since boot holds for every file until the next boot; later ones are taken and ignored."
    SIGNATURE_WITHOUT_TRUSTED_KEYRING "signature-without-trusted-keyring" Warning
        "This kernel was built without CONFIG_INTEGRITY_TRUSTED_KEYRING: signatures are verified by the keys of `_ima`, into which root puts any key. And nobody makes that keyring by itself; without it every signed file is denied."
    TMPFS_EXEMPT "tmpfs-exempt" Warning
        "/tmp, /run, /dev/shm and memfds are tmpfs: every user can copy any program there and run it."
    UNREACHABLE_RULE "unreachable-rule" Warning
        "The first rule of a class that matches decides it, and an earlier one matches everything that this one does."
    VERITY_ON_OTHER_ACTION "verity-on-other-action" Warning
        "What a matching rule carries sticks to the file, whatever its action is: appraising the file then demands fs-verity too."
    VERITY_ONLY "verity-only" Note
        "Every file that this rule matches needs fs-verity and a label of type sigv3; one with a plain signature is denied."
    VOID_RULE "void-rule" Warning
        "No security module knows the label, so the rule matches nothing until a policy that knows it is loaded; an exemption exempts nothing."
}

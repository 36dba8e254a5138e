//! Sabotages of the policy's file.
#![forbid(unsafe_code)]

use super::case::{Case, Kind};
use super::deeds::{policy, root};
use crate::harness::Guest;
use crate::initramfs::in_initramfs;
use crate::system::{POLICY, STRICT};

/// What the rules of a policy that is to harm are put before or after: only signed policies, and the initramfs runs on.
const BASE: &str = "appraise func=POLICY_CHECK appraise_type=imasig\ndont_appraise fsname=rootfs\n";
/// The group whose files a rule is to deny.
const GROUP: u32 = 61000;

fn case(name: &str, what: impl Into<String>) -> Case {
    Case::new(Kind::Policy, format!("policy-{name}"), what)
}

/// Another policy, signed or not.
fn replaced(
    name: &str,
    what: &str,
    text: impl AsRef<[u8]> + Send + Sync + 'static,
    signer: Option<&'static str>,
) -> Case {
    case(name, what).running(move |guest| policy(guest, &text, signer))
}

/// The strict policy with these rules before all others, signed by the trusted key.
fn rules(name: &str, what: &str, rules: &str) -> Case {
    replaced(name, what, format!("{BASE}{rules}\n{STRICT}"), Some("ima"))
}

/// The file as it was, cut off at a byte; its label is still the whole file's.
fn cut(name: &str, what: &str, length: usize) -> Case {
    case(name, what).running(move |guest| root(guest, &format!("truncate -s {length} {POLICY}")))
}

/// A signed policy whose rule hits this file alone: by its group, which the saboteur gives it. Its label still fits.
fn denies(name: &str, what: &str, file: &'static str, rule: &'static str) -> Case {
    case(name, what).running(move |guest: &Guest| {
        root(guest, &format!("chgrp {GROUP} \"$(realpath {file})\""));
        policy(
            guest,
            format!("{BASE}appraise {rule} fgroup={GROUP} digest_type=verity appraise_type=sigv3\n{STRICT}"),
            Some("ima"),
        );
    })
}

/// The executed file itself.
const EXECUTED: &str = "func=BPRM_CHECK";
/// A file that is opened to be executed, ELF interpreters among them.
const OPENED: &str = "func=FILE_CHECK mask=MAY_EXEC";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = files();
    cases.extend(rules_that_harm());
    cases
}

/// The file is not what it was.
fn files() -> Vec<Case> {
    let crlf = STRICT.replace('\n', "\r\n");
    let comments: String = STRICT.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    vec![
        replaced("empty", "the policy is an empty file", "", None).open("the file is empty").controlled().checked(),
        replaced("empty-signed", "the policy is an empty file that is signed", "", Some("ima"))
            .open("the file is empty"),
        replaced("comments-only", "the policy holds comments alone, and is signed", comments, Some("ima"))
            .open("it holds no rule")
            .controlled(),
        cut("cut-at-1", "the policy is cut off after its first byte", 1).open("has no newline at its end").controlled(),
        cut("cut-in-a-comment", "the policy is cut off in the middle of a comment", STRICT.find("by a key").unwrap())
            .open("has no newline at its end"),
        cut("cut-in-a-rule", "the policy is cut off in the middle of a rule", STRICT.find("fsname=sysfs").unwrap() + 9)
            .open("has no newline at its end")
            .controlled(),
        cut("cut-between-rules", "the policy is cut off after a whole rule", STRICT.find("# Devices").unwrap())
            .open("it is not signed by a key of the .ima keyring")
            .controlled(),
        cut("cut-at-the-last-byte", "the policy lost its last byte, the newline", STRICT.len() - 1)
            .open("has no newline at its end")
            .controlled(),
        replaced("crlf", "the policy's lines end as on Windows, and it is signed", crlf, Some("ima"))
            .open("ends in a carriage return")
            .controlled(),
        replaced(
            "no-final-newline",
            "the policy has no final newline, and is signed so",
            STRICT.trim_end(),
            Some("ima"),
        )
        .open("has no newline at its end")
        .controlled(),
        replaced(
            "nul",
            "the policy holds a NUL byte, and is signed",
            STRICT.replacen("fsname=proc", "fsname=\0", 1),
            Some("ima"),
        )
        .open("holds a NUL byte"),
        replaced("not-text", "the policy's file holds bytes that are no text", vec![0xff_u8; 4096], Some("ima"))
            .open("is not UTF-8"),
        replaced("unsigned", "the policy is not signed", STRICT, None)
            .open("it is not signed by a key of the .ima keyring")
            .controlled(),
        replaced("foreign", "the policy is signed by a key that the kernel does not trust", STRICT, Some("foreign"))
            .open("which is not trusted here")
            .controlled(),
        rules("unknown-rule", "a rule of the signed policy is none", "appraise func=NONSENSE_CHECK")
            .open("NONSENSE_CHECK")
            .controlled(),
        rules(
            "lsm-rule",
            "a rule of the signed policy has a condition on SELinux types",
            "dont_appraise obj_type=var_log_t",
        )
        .open("has a condition on LSM labels")
        .controlled(),
        case("missing", "the policy's file is gone")
            .running(|guest| root(guest, &format!("rm {POLICY}")))
            .open("no policy is loaded")
            .controlled(),
        case("folder", "the policy's name is a folder's")
            .running(|guest| root(guest, &format!("rm {POLICY}; mkdir {POLICY}")))
            .open(POLICY)
            .controlled(),
        case("dangling-link", "the policy is a symbolic link to nothing")
            .running(|guest| root(guest, &format!("ln -sf /nowhere/policy {POLICY}")))
            .open("no policy is loaded"),
    ]
}

/// The file is a policy that a trusted key signed, and its rules stop the machine.
fn rules_that_harm() -> Vec<Case> {
    vec![
        denies("denies-init", "a signed policy denies PID 1", "/usr/lib/systemd/systemd", EXECUTED)
            .open("/usr/lib/systemd/systemd")
            .controlled(),
        denies(
            "denies-the-executor",
            "a signed policy denies systemd's executor",
            "/usr/lib/systemd/systemd-executor",
            EXECUTED,
        )
        .open("/usr/lib/systemd/systemd-executor"),
        denies("denies-the-loader", "a signed policy denies the dynamic loader", "/lib64/ld-linux-x86-64.so.2", OPENED)
            .open("ld-linux-x86-64.so.2")
            .controlled(),
        denies("denies-the-shell", "a signed policy denies the shell", "/bin/sh", EXECUTED)
            .open("/bin/dash")
            .controlled(),
        denies("denies-journald", "a signed policy denies the journal", "/usr/lib/systemd/systemd-journald", EXECUTED)
            .open("systemd-journald")
            .controlled(),
        denies("denies-modprobe", "a signed policy denies modprobe", "/sbin/modprobe", EXECUTED).open("/bin/kmod"),
        rules(
            "denies-cgroups",
            "a signed policy denies control groups to be read",
            "appraise func=FILE_CHECK fsname=cgroup2 appraise_type=imasig",
        )
        .open("cgroup2")
        .controlled(),
        rules(
            "denies-configuration",
            "a signed policy denies root all files that are not signed, and configuration is not",
            "appraise func=FILE_CHECK mask=MAY_READ uid=0 appraise_type=imasig",
        )
        .open("is not loaded")
        .controlled(),
        replaced(
            "denies-the-initramfs",
            "a signed policy without an exemption for the initramfs",
            STRICT.replace("dont_appraise fsname=rootfs\n", ""),
            Some("ima"),
        )
        .open("initramfs")
        .controlled(),
        replaced(
            "denies-everything",
            "a signed policy of one rule without a condition",
            "appraise appraise_type=imasig\n",
            Some("ima"),
        )
        .open("is not loaded")
        .controlled(),
        rules(
            "other-digests",
            "a signed policy wants digests that no label has",
            "appraise func=BPRM_CHECK appraise_type=imasig appraise_algos=sha512",
        )
        .open("is not loaded")
        .controlled(),
        // systemd in the initramfs loads it before imad-boot runs; then imad-boot loads the real one after it.
        case("in-the-initramfs", "the initramfs has a policy of its own in /etc/ima")
            .hereafter(|setup| in_initramfs(setup, "policy", POLICY, STRICT.as_bytes(), 0o644))
            .armed(""),
    ]
}

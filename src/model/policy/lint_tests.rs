use super::*;
use crate::model::diagnostic::Severity;
use crate::model::policy::parse::parse;
use crate::model::policy::profile::{Lsm, Names};

/// What ima-evm-utils ships as `01-appraise-executable-and-lib-signatures`.
const SAMPLE_01: &str = "\
dont_appraise fsmagic=0x9fa0\ndont_appraise fsmagic=0x62656572\ndont_appraise fsmagic=0x64626720\n\
dont_appraise fsmagic=0x01021994\ndont_appraise fsmagic=0x858458f6\ndont_appraise fsmagic=0x1cd1\n\
dont_appraise fsmagic=0x42494e4d\ndont_appraise fsmagic=0x73636673\ndont_appraise fsmagic=0xf97cff8c\n\
dont_appraise fsmagic=0x27e0eb\ndont_appraise fsmagic=0x6e736673\n\n\
appraise func=MMAP_CHECK mask=MAY_EXEC appraise_type=imasig\nappraise func=BPRM_CHECK appraise_type=imasig\n";

/// What ima-evm-utils ships as `02-keylime-remote-attestation`.
const SAMPLE_02: &str = "\
dont_measure fsmagic=0x9fa0\ndont_measure fsmagic=0x62656572\ndont_measure fsmagic=0x64626720\n\
dont_measure fsmagic=0x01021994\ndont_measure fsmagic=0x1cd1\ndont_measure fsmagic=0x42494e4d\n\
dont_measure fsmagic=0x73636673\ndont_measure fsmagic=0xf97cff8c\ndont_measure fsmagic=0x43415d53\n\
dont_measure fsmagic=0x27e0eb\ndont_measure fsmagic=0x63677270\ndont_measure fsmagic=0x6e736673\n\
dont_measure fsmagic=0xde5e81e4\ndont_measure fsmagic=0x794c7630\n\
measure func=KEY_CHECK keyrings=.ima\nmeasure func=BPRM_CHECK\nmeasure func=FILE_MMAP mask=MAY_EXEC\n";

/// The kernel's own `appraise_tcb` (`ima_policy.c: default_appraise_rules[]`).
const APPRAISE_TCB: &str = "\
dont_appraise fsmagic=0x9fa0\ndont_appraise fsmagic=0x62656572\ndont_appraise fsmagic=0x64626720\n\
dont_appraise fsmagic=0x01021994\ndont_appraise fsmagic=0x858458f6\ndont_appraise fsmagic=0x1cd1\n\
dont_appraise fsmagic=0x42494e4d\ndont_appraise fsmagic=0x73636673\ndont_appraise fsmagic=0xf97cff8c\n\
dont_appraise fsmagic=0x43415d53\ndont_appraise fsmagic=0x6e736673\ndont_appraise fsmagic=0xde5e81e4\n\
dont_appraise fsmagic=0x27e0eb\ndont_appraise fsmagic=0x63677270\n\
appraise func=POLICY_CHECK appraise_type=imasig\nappraise fowner=0\n";

fn found_by(source: &[u8], profile: &KernelProfile) -> Vec<Finding> {
    let policy = parse(source, profile);
    assert_eq!(policy.faults, [], "{}", String::from_utf8_lossy(source));
    lint(source, &policy, profile)
}

/// Names and lines, without notes.
fn warned(text: &str) -> Vec<(&'static str, usize)> {
    let found = found_by(text.as_bytes(), &KernelProfile::default());
    let warnings = found.iter().filter(|finding| finding.lint.severity == Severity::Warning);
    warnings.map(|finding| (finding.lint.id, finding.line)).collect()
}

#[test]
fn the_holes_of_the_distributions_samples_are_named() {
    assert_eq!(warned(SAMPLE_01), [("tmpfs-exempt", 4), ("ramfs-exempt", 5), ("policy-check-missing", 13)]);
    assert_eq!(warned(SAMPLE_02), [("tmpfs-exempt", 4), ("file-system-exempt", 14), ("policy-load-not-measured", 16)]);
}

#[test]
fn nothing_is_said_about_our_own_policies() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/policies");
    let mut number = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = found_by(&std::fs::read(&path).unwrap(), &KernelProfile::default());
        let warnings: Vec<_> = found.iter().filter(|finding| finding.lint.severity != Severity::Note).collect();
        assert!(warnings.is_empty(), "{}: {warnings:#?}", path.display());
        number += 1;
    }
    assert!(number >= 4, "{number}");
}

#[test]
fn the_kernels_appraise_tcb_is_seen_for_what_it_is() {
    let ids: Vec<_> = warned(APPRAISE_TCB).into_iter().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        ["tmpfs-exempt", "ramfs-exempt", "policy-check-late", "hash-labels-written", "reads-of-pseudo-filesystems"]
    );
    let found = found_by(APPRAISE_TCB.as_bytes(), &KernelProfile::default());
    let reads = found.iter().find(|finding| finding.lint.id == "reads-of-pseudo-filesystems").unwrap();
    // Exempt there are proc, sysfs and the like; these came later.
    assert_eq!(reads.message, "files of tracefs, configfs, pstore, fusectl cannot be opened");
}

/// Policies with a trap: its name, its line, the policy; and the policy without it.
#[rustfmt::skip]
const TRAPS: &[(&str, usize, &str, &str)] = &[
    ("broad-exemption", 1, "dont_appraise fowner>999\nappraise func=BPRM_CHECK\n",
        "dont_appraise func=FILE_CHECK fowner>999\nappraise func=BPRM_CHECK\n"),
    ("demands-stick", 2, "appraise func=BPRM_CHECK appraise_type=imasig\nappraise func=MMAP_CHECK\n",
        "appraise func=BPRM_CHECK appraise_type=imasig fowner=0\nappraise func=MMAP_CHECK fowner>0\n"),
    ("duplicate-rule", 2, "measure uid=0\nmeasure uid=0\n", "measure uid=0\nmeasure euid=0\n"),
    ("exemption-without-rule", 2, "appraise func=BPRM_CHECK\ndont_appraise func=MMAP_CHECK\n",
        "dont_appraise func=BPRM_CHECK fowner=5\nappraise func=BPRM_CHECK\n"),
    ("exemption-without-rule", 1, "dont_measure fsname=proc\nappraise func=BPRM_CHECK\n",
        "dont_measure fsname=proc\nmeasure func=BPRM_CHECK\n"),
    ("exemption-without-rule", 1, "dont_appraise fsname=proc\nappraise fsname=sysfs\n",
        "dont_appraise fsmagic=0x9fa0\nappraise fsname=proc uid=0\n"),
    ("file-system-exempt", 1, "dont_appraise fsname=overlay\nappraise func=BPRM_CHECK\n",
        "dont_appraise fsuuid=deadbeef-0000-0000-0000-000000000000\nappraise func=BPRM_CHECK\n"),
    ("file-system-exempt", 1, "dont_appraise fsmagic=0xef53\nappraise func=BPRM_CHECK\n",
        "dont_appraise fsname=cgroup2\nappraise func=BPRM_CHECK\n"),
    ("fsname-with-dot", 1, "audit fsname=fuse.sshfs\n", "audit fsname=fuse\n"),
    ("fsuuid-tail", 1, "audit fsuuid=deadbeef-0000-0000-0000-000000000000x\n",
        "audit fsuuid=deadbeef-0000-0000-0000-000000000000\n"),
    ("func-less-uses-file-slot", 1, "appraise fowner=0\n", "appraise func=FILE_CHECK fowner=0\n"),
    ("gid-ignored", 1, "measure func=KEY_CHECK gid=0\n", "measure func=KEY_CHECK uid=0\n"),
    ("hash-label-suffices", 1, "appraise func=BPRM_CHECK\n", "appraise func=BPRM_CHECK appraise_type=imasig\n"),
    ("hash-labels-written", 1, "appraise func=FILE_CHECK\n", "appraise func=FILE_CHECK mask=MAY_READ\n"),
    ("hash-labels-written", 1, "appraise appraise_type=imasig\n", "appraise mask=MAY_EXEC appraise_type=imasig\n"),
    ("firmware-fallback-stops", 1, "appraise func=FIRMWARE_CHECK\n", "measure func=FIRMWARE_CHECK\n"),
    ("init-module-stops", 1, "appraise func=MODULE_CHECK\n", "measure func=MODULE_CHECK\n"),
    ("kexec-load-stops", 1, "appraise func=KEXEC_KERNEL_CHECK\n", "measure func=KEXEC_KERNEL_CHECK\n"),
    ("kexec-initramfs-unsigned", 1, "appraise func=KEXEC_INITRAMFS_CHECK\n", "measure func=KEXEC_INITRAMFS_CHECK\n"),
    ("last-one-wins", 1, "audit fsname=ext4 fsname=xfs\n", "audit fsname=xfs\n"),
    ("last-one-wins", 1, "measure pcr=11 pcr=12\n", "measure pcr=12\n"),
    ("mask-equal-misses-rdwr", 1, "measure func=FILE_CHECK mask=MAY_READ\n", "measure func=FILE_CHECK mask=^MAY_READ\n"),
    ("matches-nothing", 1, "appraise func=BPRM_CHECK mask=MAY_READ\n", "appraise func=BPRM_CHECK mask=MAY_EXEC\n"),
    ("matches-nothing", 1, "measure uid<0\n", "measure uid<1\n"),
    ("matches-nothing", 1, "measure fowner>4294967294\n", "measure fowner>4294967293\n"),
    ("mmap-makes-mprotect-fail", 1, "appraise func=MMAP_CHECK\n", "measure func=MMAP_CHECK\n"),
    ("module-check-and-initramfs", 1, "appraise func=MODULE_CHECK appraise_type=imasig\n",
        "dont_appraise fsname=rootfs\nappraise func=MODULE_CHECK appraise_type=imasig\n"),
    ("module-check-and-initramfs", 1, "appraise func=FIRMWARE_CHECK appraise_type=imasig\n",
        "appraise func=MODULE_CHECK appraise_type=imasig|modsig\n"),
    ("module-check-before-initramfs", 1,
        "appraise func=MODULE_CHECK appraise_type=imasig\ndont_appraise fsname=rootfs\nappraise func=BPRM_CHECK\n",
        "appraise func=MODULE_CHECK appraise_type=imasig\ndont_appraise fsname=proc\nappraise func=BPRM_CHECK\n"),
    ("no-exec-rule", 1, "appraise func=MMAP_CHECK\n", "appraise func=MMAP_CHECK\nappraise func=BPRM_CHECK\n"),
    ("no-initramfs-exemption", 1, "appraise func=BPRM_CHECK\n", "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK\n"),
    ("no-initramfs-exemption", 1, "appraise func=BPRM_CHECK uid=0\ndont_appraise fsname=rootfs\n",
        "dont_appraise fsmagic=0x858458f6\nappraise func=BPRM_CHECK uid=0\n"),
    ("no-initramfs-exemption", 2, "dont_appraise func=FILE_CHECK fsname=rootfs\nappraise func=BPRM_CHECK\n",
        "appraise func=BPRM_CHECK fowner=1000\n"),
    ("no-initramfs-exemption", 2, "dont_appraise fsname=rootfs uid=0\nappraise func=BPRM_CHECK\n",
        "dont_appraise fsname=rootfs uid<10\nappraise func=BPRM_CHECK uid<5\n"),
    ("no-initramfs-exemption", 1, "appraise\n", "appraise fsname=ext4\n"),
    ("no-shared-library-rule", 1, "appraise func=BPRM_CHECK\n", "appraise func=BPRM_CHECK\nappraise func=MMAP_CHECK\n"),
    ("pcr-above-31", 1, "measure pcr=32\n", "measure pcr=31\n"),
    ("permit-directio", 1, "appraise permit_directio\n", "appraise\n"),
    ("policy-check-late", 2, "dont_appraise fsname=tmpfs\nappraise func=POLICY_CHECK appraise_type=imasig\n",
        "dont_appraise fsname=proc\nappraise func=POLICY_CHECK appraise_type=imasig\n"),
    ("policy-check-late", 2, "appraise fowner=0\nappraise func=POLICY_CHECK appraise_type=imasig\n",
        "appraise func=POLICY_CHECK appraise_type=imasig\nappraise fowner=0\n"),
    ("policy-check-missing", 1, "appraise func=BPRM_CHECK\n",
        "appraise func=POLICY_CHECK appraise_type=imasig\nappraise func=BPRM_CHECK\n"),
    ("policy-check-missing", 2, "appraise func=BPRM_CHECK\nappraise func=POLICY_CHECK fowner=0 appraise_type=imasig\n",
        "appraise appraise_type=imasig\n"),
    ("policy-load-not-measured", 1, "measure func=BPRM_CHECK\n", "measure func=BPRM_CHECK\nmeasure func=POLICY_CHECK\n"),
    ("ramfs-exempt", 1, "dont_appraise fsname=ramfs\nappraise func=BPRM_CHECK\n",
        "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK\n"),
    ("reads-of-pseudo-filesystems", 1, "appraise func=FILE_CHECK uid=0\n", "appraise func=FILE_CHECK fsname=ext4\n"),
    ("reads-of-pseudo-filesystems", 2, "dont_appraise fsname=proc\nappraise\n", "appraise func=FILE_CHECK mask=MAY_EXEC\n"),
    ("setxattr-first-wins", 2,
        "appraise func=SETXATTR_CHECK appraise_algos=sha256\nappraise func=SETXATTR_CHECK appraise_algos=sha512\n",
        "appraise func=SETXATTR_CHECK appraise_algos=sha256,sha512\n"),
    ("tmpfs-exempt", 1, "dont_appraise fsname=tmpfs\nappraise func=BPRM_CHECK\n",
        "dont_appraise func=FILE_CHECK fsname=tmpfs\nappraise func=BPRM_CHECK\n"),
    ("tmpfs-exempt", 1, "dont_appraise fsmagic=1021994 fowner=0\nappraise func=MMAP_CHECK\n",
        "dont_measure fsmagic=1021994\nappraise func=MMAP_CHECK\n"),
    ("unreachable-rule", 2, "dont_measure uid<1000\nmeasure uid=5 func=BPRM_CHECK\n",
        "dont_measure uid<1000\nmeasure uid=1000 func=BPRM_CHECK\n"),
    ("unreachable-rule", 2, "measure func=FILE_CHECK mask=^MAY_READ\nmeasure func=FILE_CHECK mask=MAY_READ uid=0\n",
        "measure func=FILE_CHECK mask=MAY_READ\nmeasure func=FILE_CHECK mask=^MAY_READ\n"),
    ("unreachable-rule", 2, "measure func=KEY_CHECK\nmeasure func=KEY_CHECK keyrings=.ima\n",
        "measure func=KEY_CHECK keyrings=.ima\nmeasure func=KEY_CHECK\n"),
    ("unreachable-rule", 2, "measure\nmeasure func=BPRM_CHECK mask=MAY_EXEC\n", "measure\nmeasure func=KEY_CHECK\n"),
    ("unreachable-rule", 2, "dont_audit fsname=proc\naudit fsmagic=0x9fa0\n", "audit fsname=proc\nmeasure fsmagic=0x9fa0\n"),
    ("verity-on-other-action", 1, "audit digest_type=verity\n", "measure digest_type=verity\n"),
    ("verity-only", 1, "appraise digest_type=verity appraise_type=sigv3\n", "appraise appraise_type=imasig\n"),
];

#[test]
fn each_trap_is_found_where_it_is_and_nowhere_else() {
    let profile = KernelProfile { dont_audit: true, ..KernelProfile::default() };
    for (id, line, with, without) in TRAPS {
        let places = |text: &str| {
            let found = found_by(text.as_bytes(), &profile);
            found.into_iter().filter(|finding| finding.lint.id == *id).map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(places(with), [*line], "{id}: {with}");
        assert_eq!(places(without), [] as [usize; 0], "{id}: {without}");
    }
}

/// Traps that depend on the kernel: name, line, policy, kernel.
fn traps_of_kernels() -> Vec<(&'static str, usize, String, KernelProfile)> {
    let plain = KernelProfile::default;
    let selinux = KernelProfile { lsm: Lsm::Selinux(Names::Any), ..plain() };
    let void = KernelProfile { custom_active: true, ..plain() };
    let signed = "appraise appraise_type=imasig\n".to_owned();
    vec![
        ("lsm-before-selinux", 2, "measure\naudit obj_type=bin_t\naudit obj_type=x\n".to_owned(), selinux),
        ("void-rule", 1, "dont_appraise obj_type=bin_t\nappraise func=BPRM_CHECK\n".to_owned(), void),
        ("signature-without-trusted-keyring", 1, signed.clone(), KernelProfile { trusted_keyring: false, ..plain() }),
        ("no-appraisal", 1, signed, KernelProfile { appraise: false, ..plain() }),
        ("appraise-flag-ignored", 1, "appraise appraise_flag=check_blacklist\n".to_owned(), plain()),
        ("long-line", 1, format!("measure fsname={}\n", "x".repeat(4090)), plain()),
    ]
}

#[test]
fn traps_of_kernels_are_found() {
    for (id, line, text, profile) in traps_of_kernels() {
        let found = found_by(text.as_bytes(), &profile);
        let places: Vec<_> = found.iter().filter(|finding| finding.lint.id == id).map(|finding| finding.line).collect();
        assert_eq!(places, [line], "{id}");
    }
    // A void exemption is no exemption, and no hole either.
    let void = KernelProfile { custom_active: true, ..KernelProfile::default() };
    let found = found_by(b"dont_appraise obj_type=bin_t\nappraise func=BPRM_CHECK\n", &void);
    assert!(!found.iter().any(|finding| finding.lint.id == "broad-exemption"));
}

#[test]
fn every_lint_has_a_trap_and_its_names_are_in_order() {
    let kernels = traps_of_kernels();
    for lint in ALL {
        let hit = TRAPS.iter().any(|(id, ..)| *id == lint.id) || kernels.iter().any(|(id, ..)| *id == lint.id);
        assert!(hit, "{} has no test", lint.id);
    }
    assert!(ALL.is_sorted_by_key(|lint| lint.id));
}

#[test]
fn what_is_missing_is_told_only_of_a_whole_policy() {
    let source = b"appraise func=BPRM_CHECK\nappraise func=POLICY_CHEK\n";
    let profile = KernelProfile::default();
    let found = lint(source, &parse(source, &profile), &profile);
    let ids: Vec<_> = found.iter().map(|finding| finding.lint.id).collect();
    assert_eq!(ids, ["hash-label-suffices"]);
}

#[test]
fn findings_point_at_their_words() {
    let source = b"dont_appraise  fsname=tmpfs # here\nappraise func=BPRM_CHECK\n";
    let profile = KernelProfile { trailing_comments: true, ..KernelProfile::default() };
    let found = found_by(source, &profile);
    let finding = found.iter().find(|finding| finding.lint.id == "tmpfs-exempt").unwrap();
    let line = crate::model::policy::lex::lines(source).next().unwrap();
    assert_eq!(finding.diagnostic(&line).span, 15..27);
}

#[test]
fn many_rules_are_looked_through_in_a_moment() {
    use std::fmt::Write;
    let mut text = String::new();
    for number in 0..2_000 {
        writeln!(text, "measure func=FILE_CHECK uid={number} fowner={number}").unwrap();
    }
    let begin = std::time::Instant::now();
    assert_eq!(found_by(text.as_bytes(), &KernelProfile::default()).len(), 0);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

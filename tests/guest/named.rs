//! The other policies that imad ships, each in a boot of its own from the initramfs on. (The first one is everywhere.)
//!
//! A new policy's test: [`booted`], then its very purpose.

use std::path::Path;

use imad::model::policy::canonical::shown;
use imad::model::policy::parse::parse;
use imad::model::policy::profile::KernelProfile;

use crate::harness::{Guest, Images, Need, Setup};
use crate::system::{boot_report, in_haste, kernel_messages, key_file, label, settled, with_policy};

/// Hands things to the kernel as root of the guest may.
const KERNEL: &str = include_str!("named/kernel.py");

/// Boots with a policy of `conf/policies`, signed, and checks what holds for each: the kernel has its rules and no
/// others, and the system comes up as it does without.
fn booted(name: &str, setup: Setup) -> Guest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/policies").join(name);
    let policy = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let guest = Guest::boot(in_haste(with_policy(setup, &policy, Some("ima"))));
    println!("{name}: booted in {:?}", guest.boot_time());
    let report = boot_report(&guest);
    assert!(report.policy.loaded && report.policy.problem.is_none(), "{:?}", report.policy);
    // Nobody takes a policy that measures for protection.
    let refuses = policy.lines().any(|line| line.starts_with("appraise func=BPRM_CHECK"));
    let said = settled(&guest);
    println!("{}", said.summary);
    assert_eq!(said.policy.refuses_files, Some(refuses));
    assert_eq!(said.summary.starts_with("Protected: "), refuses, "{}", said.summary);
    let rules = parse(policy.as_bytes(), &KernelProfile::default()).rules;
    let rules: Vec<_> = rules.iter().filter_map(|placed| shown(&placed.rule)).collect();
    let rules = String::from_utf8(rules.join(&b'\n')).unwrap();
    assert_eq!(guest.sh("cat /sys/kernel/security/ima/policy").ok().stdout, rules + "\n");
    let failed = guest.run(&["systemctl", "--failed", "--plain", "--no-legend"]).text();
    assert_eq!(failed, "", "{}", guest.console());
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
    guest.run(&["systemctl", "restart", "dbus"]).ok();
    guest.put("/root/kernel.py", KERNEL, 0o644);
    guest
}

/// The guest with a kernel and an initramfs for kexec, signed and not; any file will do for the latter.
fn with_kexec(setup: Setup) -> Setup {
    let kernel = std::fs::read(Images::load().kernel().join("bzImage")).unwrap();
    let setup = setup.needs(Need::Kexec);
    let initramfs = b"07070100".repeat(512);
    let signed = |setup: Setup, path: &str, bytes: &[u8]| {
        setup.file(path, bytes, 0o644).xattr(path, "security.ima", label(bytes, "ima"))
    };
    let setup = signed(signed(setup, "/root/vmlinuz", &kernel), "/root/initramfs", &initramfs);
    setup.file("/root/vmlinuz-unsigned", kernel, 0o644).file("/root/initramfs-unsigned", initramfs, 0o644)
}

/// What the kernel says to `kernel.py`'s words.
fn kernel(guest: &Guest, words: &[&str]) -> String {
    guest.run(&[&["python3", "/root/kernel.py"], words].concat()).text()
}

/// Rules that nothing ever matches, for a further load.
const INERT: &str = "audit func=MODULE_CHECK fsname=nothing\n";
/// `ENOEXEC` is what a module that is none gets once IMA has let it through.
const LET_THROUGH: &str = "ENOEXEC";

/// A program for x86-64 that ends with 42 and needs no library, nor anything else of a root file system.
fn program() -> Vec<u8> {
    // mov $42, %edi; mov $60, %eax; syscall
    let code = [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let (begin, end): (u8, u8) = (0x78, 0x78 + 12);
    let parts: [(usize, &[u8]); 14] = [
        // 64 bit, little-endian; executable, x86-64; where the code begins; one program header, at 0x40.
        (0x00, b"\x7fELF\x02\x01\x01"),
        (0x10, &[2]),
        (0x12, &[0x3e]),
        (0x14, &[1]),
        (0x18, &[begin, 0, 0x40]),
        (0x20, &[0x40]),
        (0x34, &[0x40, 0, 0x38, 0, 1]),
        // The whole file is loaded at 0x400000, readable and executable.
        (0x40, &[1]),
        (0x44, &[5]),
        (0x50, &[0, 0, 0x40]),
        (0x60, &[end]),
        (0x68, &[end]),
        (0x70, &[0, 0x10]),
        (begin.into(), &code),
    ];
    let mut bytes = vec![0; end.into()];
    for (start, part) in parts {
        bytes[start..start + part.len()].copy_from_slice(part);
    }
    bytes
}

/// An entry of the measurement list: template, digest, name, and what follows.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    template: String,
    digest: String,
    name: String,
    data: String,
}

fn measured(guest: &Guest) -> Vec<Entry> {
    let text = guest.sh("cat /sys/kernel/security/ima/ascii_runtime_measurements").text();
    let entry = |line: &str| {
        let mut words = line.trim_start().splitn(6, ' ').skip(2).map(str::to_owned);
        let mut next = || words.next().unwrap_or_else(|| panic!("{line:?}"));
        let (template, digest, name) = (next(), next(), next());
        Entry { template, digest, name, data: words.next().unwrap_or_default() }
    };
    text.lines().map(entry).collect()
}

/// The one entry of this name.
#[track_caller]
fn entry(guest: &Guest, name: &str) -> Entry {
    let mut found: Vec<_> = measured(guest).into_iter().filter(|entry| entry.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found.remove(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The entry of a file that is as it was when it was measured: its digest, and its label or none.
#[track_caller]
fn assert_measured(guest: &Guest, path: &str, labelled: bool) {
    let entry = entry(guest, path);
    let sum = guest.run(&["sha256sum", path]).text();
    assert_eq!(entry.template, "ima-sig", "{entry:?}");
    assert_eq!(entry.digest, format!("sha256:{}", sum.split(' ').next().unwrap()), "{entry:?}");
    let script =
        format!("getfattr --absolute-names --only-values -n security.ima {path} | od -An -v -tx1 | tr -d ' \\n'");
    let label = if labelled { guest.sh(&script).text() } else { String::new() };
    assert!(!labelled || label.starts_with("03"), "{path}: {label}");
    assert_eq!(entry.data, label, "{entry:?}");
}

fn count(guest: &Guest) -> u64 {
    guest.sh("cat /sys/kernel/security/ima/runtime_measurements_count").text().parse().unwrap()
}

/// What both policies that measure do, and do not: nothing of it is denied.
fn measures_and_denies_nothing(guest: &Guest) {
    let before = count(guest);
    // What the initramfs still ran has no signatures; from then on everything has.
    let list = measured(guest);
    let files: Vec<_> = list.iter().filter(|entry| entry.template == "ima-sig").collect();
    assert_eq!(files[0].name, "boot_aggregate");
    let (initramfs, root) = files.split_at(files.iter().position(|entry| !entry.data.is_empty()).unwrap());
    assert!(root.iter().all(|entry| entry.data.starts_with("03")), "{root:?}");
    println!("{} entries from the initramfs, {} from the real root", initramfs.len() - 1, root.len());
    // Unsigned, on disk and on tmpfs, executed and mapped.
    guest.sh("cp /usr/bin/true /tmp/measured && /tmp/measured").ok();
    assert_eq!(guest.sh("stat -f -c %T /tmp").text(), "tmpfs");
    assert_measured(guest, "/tmp/measured", false);
    guest.sh("mkdir /root/lib && cp /usr/lib/x86_64-linux-gnu/libselinux.so.1 /root/lib/").ok();
    guest.command(&["ls", "/"]).env("LD_LIBRARY_PATH", "/root/lib").output().ok();
    assert_measured(guest, "/root/lib/libselinux.so.1", false);
    guest.put("/root/script", "#!/bin/sh\ntrue\n", 0o755);
    guest.run(&["/root/script"]).ok();
    assert_measured(guest, "/root/script", false);
    guest.put("/tmp/program", program(), 0o755);
    assert_eq!(kernel(guest, &["memfd", "/tmp/program"]), "exit 42");
    assert_eq!(entry(guest, "memfd:program").data, "");
    // Signed, then tampered with.
    guest.run(&["/usr/bin/lsattr", "-d", "/root"]).ok();
    assert_measured(guest, "/usr/bin/lsattr", true);
    guest.sh("cp --preserve=xattr /usr/bin/lsattr /root/tampered && printf x >> /root/tampered").ok();
    guest.run(&["/root/tampered", "-d", "/root"]).ok();
    assert_measured(guest, "/root/tampered", true);
    // Code for the kernel.
    guest.put("/root/module.ko", program(), 0o644);
    assert_eq!(kernel(guest, &["finit_module", "/root/module.ko"]), LET_THROUGH);
    assert_measured(guest, "/root/module.ko", false);
    assert_eq!(kernel(guest, &["init_module", "/root/module.ko"]), LET_THROUGH);
    assert_eq!(kernel(guest, &["kexec_load"]), "ok");
    assert_eq!(kernel(guest, &["kexec_file_load", "/root/vmlinuz-unsigned", "/root/initramfs-unsigned"]), "ok");
    assert_measured(guest, "/root/vmlinuz-unsigned", false);
    // The certificate, though it came before the policy.
    let certificate = hex(&key_file("ima.der"));
    let found = |entry: &Entry| (&*entry.template, &*entry.name, &*entry.data) == ("ima-buf", ".ima", &certificate);
    assert!(measured(guest).iter().any(found), "{:?}", measured(guest).iter().find(|entry| entry.name == ".ima"));
    assert!(count(guest) > before);
    assert_eq!(kernel_messages(guest, "op=appraise_data"), Vec::<String>::new());
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
}

#[test]
fn for_keylime_code_is_measured_with_its_signature_and_further_policies_must_be_signed() {
    let guest = booted("02-keylime-remote-attestation", with_kexec(Setup::trusted()));
    measures_and_denies_nothing(&guest);
    // kdump's own image is no verifier's affair.
    assert!(!measured(&guest).iter().any(|entry| entry.name.contains("initramfs-unsigned")));
    // An unsigned policy is refused, and seen by the verifier all the same; rules as text would not be.
    guest.put("/tmp/policy", INERT, 0o644);
    assert_eq!(kernel(&guest, &["policy", "/tmp/policy"]), "EACCES");
    assert_measured(&guest, "/tmp/policy", false);
    assert_eq!(kernel(&guest, &["policy", INERT]), "EACCES");
}

#[test]
fn measuring_only_denies_nothing_at_all() {
    let guest = booted("10-measure-only", with_kexec(Setup::trusted()));
    measures_and_denies_nothing(&guest);
    assert_measured(&guest, "/root/initramfs-unsigned", false);
    assert_eq!(entry(&guest, "kexec-cmdline").data, hex(b"console=ttyS0"));
    guest.put("/tmp/policy", INERT, 0o644);
    assert_eq!(kernel(&guest, &["policy", "/tmp/policy"]), "ok");
    assert_measured(&guest, "/tmp/policy", false);
    assert_eq!(kernel(&guest, &["policy", INERT]), "ok");
}

/// Firmware is missing here: the guests' kernel has no firmware loader.
#[test]
fn all_code_needs_a_signature_the_kernels_own_too() {
    let setup = with_kexec(Setup::trusted());
    let setup = setup.file("/root/further", INERT, 0o644).xattr(
        "/root/further",
        "security.ima",
        label(INERT.as_bytes(), "ima"),
    );
    let guest = booted("03-appraise-all-code", setup);
    for copy in ["/tmp/true", "/root/true"] {
        let output = guest.sh(&format!("cp /usr/bin/true {copy} && {copy}"));
        assert!(output.denied(), "{output}");
        assert_eq!(kernel(&guest, &["finit_module", copy]), "EACCES");
    }
    // What is signed is looked at; IMA's word comes first.
    assert_eq!(kernel(&guest, &["finit_module", "/usr/bin/true"]), LET_THROUGH);
    guest.sh("cp --preserve=xattr /usr/bin/true /root/tampered && printf x >> /root/tampered").ok();
    assert_eq!(kernel(&guest, &["finit_module", "/root/tampered"]), "EACCES");
    // What brings no file, or one that no signature goes with.
    assert_eq!(kernel(&guest, &["init_module", "/usr/bin/true"]), "EACCES");
    assert_eq!(kernel(&guest, &["kexec_load"]), "EACCES");
    assert_eq!(kernel(&guest, &["kexec_file_load", "/root/vmlinuz", "/root/initramfs"]), "ok");
    assert_eq!(kernel(&guest, &["kexec_file_load", "/root/vmlinuz-unsigned", "/root/initramfs"]), "EACCES");
    assert_eq!(kernel(&guest, &["kexec_file_load", "/root/vmlinuz", "/root/initramfs-unsigned"]), "EACCES");
    guest.put("/tmp/policy", INERT, 0o644);
    assert_eq!(kernel(&guest, &["policy", "/tmp/policy"]), "EACCES");
    assert_eq!(kernel(&guest, &["policy", INERT]), "EACCES");
    assert_eq!(kernel(&guest, &["policy", "/root/further"]), "ok");
    // The cost of the initramfs's exemption, and that modules are no part of it.
    guest.put("/tmp/program", program(), 0o755);
    assert!(guest.run(&["/tmp/program"]).denied());
    assert_eq!(kernel(&guest, &["uncovered", "/tmp/program"]), "exit 42 EACCES");
    assert_eq!(kernel(&guest, &["memfd", "/tmp/program"]), "EACCES");
    // As a container has its files: signed ones run from an overlay, others do not.
    guest.sh("cd /root && mkdir lower upper work merged && cp --preserve=xattr /usr/bin/true lower/signed").ok();
    guest.sh("cp /usr/bin/true /root/lower/unsigned").ok();
    let overlay = "lowerdir=/root/lower,upperdir=/root/upper,workdir=/root/work";
    guest.run(&["mount", "-t", "overlay", "-o", overlay, "overlay", "/root/merged"]).ok();
    guest.run(&["/root/merged/signed"]).ok();
    assert!(guest.run(&["/root/merged/unsigned"]).denied());
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
}

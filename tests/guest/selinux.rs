//! SELinux enforcing: PID 1 loads its policy in the real root, after imad-boot has loaded IMA's.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::harness::{Guest, Setup};
use crate::plain::is_protected;
use crate::system::{POLICY, STRICT, boot_report, in_haste, kernel_messages, status, with_policy};

/// Emulated, with a policy more to load.
const BOOT: Duration = Duration::from_secs(600);

fn booted(setup: Setup) -> Guest {
    let guest = Guest::boot(in_haste(setup).boot_timeout(BOOT));
    assert_eq!(guest.get_text("/sys/fs/selinux/enforce").trim(), "1");
    let denials = kernel_messages(&guest, "avc:  denied");
    println!("{} denials of SELinux\n{}", denials.len(), denials.join("\n"));
    guest
}

#[test]
fn a_boot_under_selinux_is_protected() {
    let guest = booted(Setup::selinux());
    let report = boot_report(&guest);
    assert!(report.policy.loaded && report.problems.is_empty(), "{report:#?}");
    assert_eq!(kernel_messages(&guest, "policy update completed").len(), 1);
    is_protected(&guest);
    // What was hidden from PID 1 is there again, with its labels.
    assert_eq!(guest.get_text(POLICY), STRICT);
    let labels = guest.run(&["getfattr", "-d", "-m", "security", POLICY]).text();
    assert!(labels.contains("security.ima") && labels.contains("etc_t"), "{labels}");
    // SELinux's labels do not keep imad from writing its own.
    guest.sh("rm /etc/imad/imad.toml.d/50-haste.toml && systemctl reload imad").ok();
    guest.run(&["setfattr", "-x", "security.ima", "/usr/bin/lsattr"]).ok();
    println!("{}", guest.run(&["imactl", "relabel", "/usr/bin/lsattr"]).ok());
    guest.run(&["/usr/bin/lsattr", "-d", "/"]).ok();
    let both = guest.run(&["getfattr", "-d", "-m", "security", "/usr/bin/lsattr"]).text();
    assert!(both.contains("security.ima") && both.contains("bin_t"), "{both}");
    assert!(kernel_messages(&guest, "avc:  denied").iter().all(|line| !line.contains("comm=\"ima")));
}

/// In the initramfs no label's name has a meaning yet: the kernel would take such a rule and match nothing by it, or refuse all
/// of the policy.
#[test]
fn a_policy_with_conditions_on_labels_is_refused_before_selinux_and_the_boot_is_good() {
    let policy = format!("{STRICT}dont_appraise obj_type=var_log_t\n");
    let guest = booted(with_policy(Setup::selinux(), &policy, Some("ima")));
    let report = boot_report(&guest);
    assert!(!report.policy.loaded, "{report:#?}");
    let why = &report.policy.problem.as_ref().unwrap().what;
    assert!(why.contains("var_log_t") && why.contains("before SELinux has its policy"), "{why}");
    assert_eq!(kernel_messages(&guest, "policy update").len(), 0);
    let said = status(&guest);
    assert!(said.summary.starts_with("Not protected: "), "{}", said.summary);
    assert_eq!(guest.get_text(POLICY), policy);
}

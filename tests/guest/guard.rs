//! The guard: a policy under which the boot would not come through is not loaded.

use imad::model::report::{Loader, Outcome};

use crate::harness::{Guest, Setup, Stage};
use crate::policies::not_loaded;
use crate::system::{STRICT, boot_report, in_haste, kernel_messages, status, with_policy};

fn signed(policy: &str) -> Setup {
    with_policy(Setup::trusted(), policy, Some("ima"))
}

#[test]
fn what_a_policy_would_deny_the_boot_is_named() {
    let reads = "dont_appraise fsname=rootfs\nappraise func=FILE_CHECK fsname=cgroup2\n";
    let (_, report) = not_loaded(signed(reads), "would deny this boot what it needs: cgroup2: ");
    assert_eq!(report.guard.unwrap().refused, 1);
    let initramfs = "appraise func=BPRM_CHECK appraise_type=imasig\n";
    not_loaded(signed(initramfs), "the initramfs: its file system holds no labels");
}

#[test]
fn a_loader_without_a_label_is_named_before_it_stops_the_machine() {
    let loader = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
    let (_, report) = not_loaded(Setup::trusted().no_xattr(loader, "security.ima"), loader);
    let problem = &report.guard.unwrap().problems[0];
    assert_eq!(problem.next, format!("imactl relabel {loader}"));
}

#[test]
fn a_closed_guard_stops_in_the_emergency_shell_and_an_open_one_goes_on() {
    let setup = with_policy(Setup::trusted(), STRICT, None).until(Stage::Emergency);
    let mut guest = Guest::boot(setup.file("/etc/imad/imad.toml", "[boot]\nguard = \"closed\"\n", 0o644));
    assert!(guest.hello().initramfs, "the boot went on to the real root");
    let report = boot_report(&guest);
    assert!(report.stopped && !report.policy.loaded, "{report:?}");
    guest.wait_for_console("the boot stops here, since guard is \"closed\"", std::time::Duration::from_secs(5));
    guest.cut_power();

    guest.set_up(|setup| setup.command_line("imad.guard=open").until(Stage::MultiUser));
    guest.start();
    let report = boot_report(&guest);
    assert!(!report.stopped && !report.policy.loaded, "{report:?}");
    assert!(report.policy.problem.unwrap().what.contains("it is not signed"));
}

#[test]
fn the_command_line_boots_without_the_policy_unless_it_may_not() {
    let mut guest = Guest::boot(in_haste(Setup::trusted()).command_line("imad.policy=off"));
    let report = boot_report(&guest);
    assert!(!report.policy.loaded && report.policy.exists && report.policy.hidden, "{:?}", report.policy);
    let summary = status(&guest).summary;
    assert!(summary.starts_with("Not protected: no policy is loaded: imad.policy=off"), "{summary}");
    guest.sh("cp /usr/bin/true /tmp/true && /tmp/true").ok();
    guest.sh("mkdir -p /etc/imad && echo '[boot]\ncommand_line = false' >/etc/imad/imad.toml; sync").ok();
    guest.cut_power();

    guest.set_up(|setup| setup.command_line("imad.guard=off"));
    guest.start();
    let report = boot_report(&guest);
    assert!(report.policy.loaded, "{:?}", report.policy);
    let unheeded = report.problems.iter().filter(|problem| problem.what.contains("is not heeded"));
    assert_eq!(unheeded.count(), 2, "{:?}", report.problems);
    let guard = report.steps.iter().find(|step| step.name == "guard").unwrap();
    assert_eq!(guard.outcome, Outcome::Done);
}

/// systemd would freeze: the kernel does not take this policy.
#[test]
fn systemd_is_kept_from_a_policy_that_the_guard_refuses() {
    let setup = signed(&format!("{STRICT}appraise func=NONSENSE_CHECK\n"));
    let setup = setup.file("/etc/imad/imad.toml", "[boot]\nloader = \"systemd\"\n", 0o644);
    let guest = Guest::boot(in_haste(setup));
    assert!(boot_report(&guest).policy.hidden);
    assert_eq!(kernel_messages(&guest, "ima: policy update").len(), 0);
    assert_eq!(status(&guest).policy.loaded_by, Loader::Nobody);
}

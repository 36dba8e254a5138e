//! Policies that must not be loaded: said clearly, and the boot goes on.

use imad::model::report::{BootReport, Loader};

use crate::harness::{Guest, Setup};
use crate::system::{POLICY, STRICT, boot_report, in_haste, journal, kernel_messages, settled, with_policy};

/// Boots, and checks what holds for every policy that is not loaded.
pub(crate) fn not_loaded(setup: Setup, reason: &str) -> (Guest, BootReport) {
    let guest = Guest::boot(in_haste(setup));
    let report = boot_report(&guest);
    assert!(!report.policy.loaded, "{report:?}");
    let problem = report.policy.problem.clone().unwrap_or_else(|| panic!("no reason is given: {report:?}"));
    assert!(problem.what.contains(reason), "{problem:?}");
    assert!(!problem.next.is_empty(), "{problem:?}");
    assert!(journal(&guest, "imad-boot").contains(&problem.what));
    assert!(guest.console().contains(&problem.what), "not on the console: {}\n{}", problem.what, guest.console());
    assert_eq!(kernel_messages(&guest, "ima: policy update completed").len(), 0);
    // systemd did not load it either, and the file is there again.
    assert_eq!(guest.sh("cat /sys/kernel/security/ima/policy").text().trim(), "");
    assert!(guest.run(&["test", "-e", POLICY]).success());
    let status = settled(&guest);
    assert_eq!(status.policy.loaded_by, Loader::Nobody);
    assert!(status.summary.starts_with("Not protected: "), "{}", status.summary);
    assert!(status.summary.contains(reason), "{}", status.summary);
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
    (guest, report)
}

#[test]
fn an_unsigned_policy_is_not_loaded() {
    let (guest, _) =
        not_loaded(with_policy(Setup::trusted(), STRICT, None), "it is not signed by a key of the .ima keyring");
    // What a strict policy would deny runs.
    guest.sh("cp /usr/bin/true /tmp/true && /tmp/true").ok();
}

#[test]
fn a_policy_signed_by_a_foreign_key_is_not_loaded() {
    not_loaded(with_policy(Setup::trusted(), STRICT, Some("foreign")), "which is not trusted here");
}

#[test]
fn a_policy_with_a_wrong_rule_is_named_with_its_line() {
    let wrong = format!("{STRICT}appraise func=NONSENSE_CHECK\n");
    let place = format!("{POLICY}:{}:", wrong.lines().count());
    let setup = with_policy(Setup::trusted(), &wrong, Some("ima"));
    not_loaded(setup.clone(), &place);
    // And by the kernel, where the guard is not asked.
    let reason = format!("{place} the kernel does not accept \"appraise func=NONSENSE_CHECK\"");
    not_loaded(setup.command_line("imad.guard=off"), &reason);
}

#[test]
fn an_empty_policy_is_not_loaded() {
    not_loaded(with_policy(Setup::trusted(), "", None), "the file is empty");
}

#[test]
fn without_a_certificate_the_policy_is_not_loaded() {
    not_loaded(Setup::trusted().remove("/etc/keys/ima/ima.der"), "the kernel took no certificate");
}

#[test]
fn the_configuration_may_allow_an_unsigned_policy() {
    let setup = with_policy(Setup::trusted(), STRICT, None).file(
        "/etc/imad/imad.toml",
        "[policy]\nrequire_signature = false\n",
        0o644,
    );
    let guest = Guest::boot(in_haste(setup));
    assert!(boot_report(&guest).policy.loaded);
}

#[test]
fn systemd_loads_the_policy_where_it_is_told_to() {
    let setup = Setup::trusted().file("/etc/imad/imad.toml", "[boot]\nloader = \"systemd\"\n", 0o644);
    let guest = Guest::boot(in_haste(setup));
    let report = boot_report(&guest);
    assert!(!report.policy.loaded && !report.policy.hidden && report.policy.problem.is_none(), "{:?}", report.policy);
    assert_eq!(kernel_messages(&guest, "ima: policy update completed").len(), 1);
    assert_eq!(settled(&guest).policy.loaded_by, Loader::Other);
    assert!(guest.sh("cp /usr/bin/true /tmp/true && /tmp/true").denied());
}

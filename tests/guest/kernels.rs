//! Kernels that imad can do nothing with: each is said clearly, and the machine boots.

use imad::model::report::{KeyringKind, Loader, Outcome};

use crate::harness::{Guest, Images, Setup};
use crate::system::{POLICY, STOCK, STRICT, boot_report, in_haste, journal, kernel_messages, settled, status};

/// The distribution's own kernel: IMA without a trusted keyring, one load, rules that cannot be read.
#[test]
fn nothing_is_loaded_without_a_trusted_keyring_and_the_machine_boots() {
    let guest = STOCK.guest();
    let report = boot_report(&guest);
    assert_ne!(report.keyring, KeyringKind::Trusted);
    assert!(!report.policy.loaded && report.certificates.is_empty(), "{report:?}");
    let said = report.problems.iter().find(|problem| problem.what.contains("no trusted keyring .ima"));
    let said = said.unwrap_or_else(|| panic!("not said: {report:?}"));
    assert!(journal(&guest, "imad-boot").contains(&said.what));
    assert!(guest.console().contains(&said.what), "{}", guest.console());
    // systemd would have loaded the policy, and every program would have been denied.
    assert!(report.policy.hidden && report.policy.shown_again, "{report:?}");
    assert_eq!(guest.get_text(POLICY), STRICT);
    assert_eq!(kernel_messages(&guest, "ima: policy update completed").len(), 0);
    let status = settled(&guest);
    assert_eq!(status.policy.loaded_by, Loader::Nobody);
    assert!(status.summary.starts_with("Not protected: "), "{}", status.summary);
    guest.sh("cp /usr/bin/true /tmp/true && /tmp/true").ok();
}

/// The same, told to make do: imad-boot makes `_ima`, and has the kernel keep it.
#[test]
fn with_an_untrusted_keyring_that_is_allowed_the_policy_is_loaded_and_everybody_gets_on() {
    let allowed = "[keys]\nallow_untrusted_keyring = true\n";
    let setup = in_haste(Setup::stock()).file("/etc/imad/imad.toml", allowed, 0o644);
    let guest = Guest::boot(setup);
    let report = boot_report(&guest);
    assert_eq!(report.keyring, KeyringKind::Untrusted);
    assert!(report.policy.loaded && report.certificates.iter().all(|found| found.accepted), "{report:#?}");
    let prime = report.steps.iter().find(|step| step.name == "prime").unwrap();
    assert_eq!(prime.outcome, Outcome::Done, "{report:#?}");
    // Services have sessions of their own, in which the keyring is not; users have none at all.
    assert_eq!(kernel_messages(&guest, "op=appraise_data"), Vec::<String>::new());
    guest.run_as("nobody", &["/usr/bin/true"]).ok();
    guest.sh("cp /usr/bin/true /root/true").ok();
    assert!(guest.run(&["/root/true"]).denied());
    let status = status(&guest);
    assert!(status.problems.iter().any(|problem| problem.what.contains("into which root puts any key")), "{status:#?}");
    // Not by mistake: who wants to add a key has to take the seal off.
    assert!(!guest.sh("keyctl padd asymmetric '' %keyring:_ima </etc/keys/ima/ima.der").success());
}

#[test]
fn a_kernel_without_ima_boots_and_says_so() {
    let images = Images::load();
    let guest = Guest::boot(in_haste(Setup::trusted().kernel(images.kernel().join("bzImage-without-ima"))));
    let report = boot_report(&guest);
    assert!(!report.policy.loaded, "{report:?}");
    let said = report.problems.iter().find(|problem| problem.what.contains("no IMA"));
    let said = said.unwrap_or_else(|| panic!("not said: {report:?}"));
    assert!(journal(&guest, "imad-boot").contains(&said.what));
    assert!(guest.console().contains(&said.what), "{}", guest.console());
    let status = settled(&guest);
    assert_eq!(status.summary, "Not protected: this kernel has no IMA.");
    assert!(!status.kernel.ima);
}

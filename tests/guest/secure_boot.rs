//! Secure Boot with keys of one's own: the kernel takes signed policies alone, and the guard knows it; attempts are kept by the
//! firmware.

use std::fs;
use std::time::Duration;

use imad::model::report::TrialDecision;

use crate::harness::{Guest, Images, Setup, Stage};
use crate::plain::is_protected;
use crate::system::{POLICY, STRICT, boot_report, in_haste, kernel_messages, label, status, with_policy};

/// `EFI_IMAGE_SECURITY_DATABASE_GUID`, of db.
const IMAGES: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
/// `EFI_GLOBAL_VARIABLE`, of PK and KEK.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// `NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS`.
const ATTRIBUTES: [u8; 4] = [0x27, 0, 0, 0];
/// Emulated firmware takes its time too.
const BOOT: Duration = Duration::from_secs(600);

/// A machine whose owner has enrolled keys of his own; its policy is not signed, and imad is told not to mind.
fn secured() -> Guest {
    let setup = with_policy(in_haste(Setup::secure_boot()), STRICT, None);
    let setup = setup.file("/etc/imad/imad.toml", "[policy]\nrequire_signature = false\n", 0o644);
    let mut guest = Guest::boot(setup.boot_timeout(BOOT).until(Stage::Root));
    let folder = Images::load().secure_boot().to_owned();
    // The last one ends the setup mode, in which the firmware takes every key.
    for (name, vendor) in [("db", IMAGES), ("KEK", GLOBAL), ("PK", GLOBAL)] {
        let list = fs::read(folder.join(format!("{name}.auth"))).unwrap();
        guest.put("/run/list", [&ATTRIBUTES[..], &list].concat(), 0o600);
        guest.sh(&format!("dd bs=64k status=none </run/list >/sys/firmware/efi/efivars/{name}-{vendor}")).ok();
    }
    guest.cut_power();
    guest.set_up(|setup| setup.until(Stage::MultiUser));
    guest
}

#[test]
fn under_secure_boot_a_policy_that_is_not_signed_is_refused_by_the_guard_and_a_signed_one_is_loaded() {
    let guest = secured();
    guest.start();
    let report = boot_report(&guest);
    assert!(!report.policy.loaded, "{report:#?}");
    let why = &report.policy.problem.as_ref().unwrap().what;
    assert!(why.contains("the kernel's own rules do not let") && why.contains("POLICY_CHECK"), "{why}");
    // The kernel was not asked.
    assert_eq!(kernel_messages(&guest, "policy update").len(), 0);
    let said = status(&guest);
    assert!(said.summary.starts_with("Not protected: "), "{}", said.summary);
    assert_eq!(said.kernel.secure_boot, Some(true));

    guest.put("/root/label", label(STRICT.as_bytes(), "ima"), 0o600);
    let sign = format!(
        "setfattr -n security.ima -v 0x$(od -An -v -tx1 /root/label | tr -d ' \\n') {POLICY} && rm /root/label && sync"
    );
    guest.sh(&sign).ok();
    guest.reboot();
    let report = boot_report(&guest);
    assert!(report.policy.loaded, "{report:#?}");
    // The boot that enrolled the keys was the first to load it, and its power was cut.
    let trial = report.trial.unwrap();
    assert_eq!((trial.decision, trial.attempt), (TrialDecision::Trial, 2));
    assert!(trial.store.as_ref().unwrap().contains("EFI"), "{trial:?}");
    is_protected(&guest);
}

//! A policy on trial: recorded before it is loaded, confirmed by a login, left out after boots that came to none.

use std::time::Duration;

use imad::model::report::TrialDecision;
use imad::model::trial::TrialReport;

use crate::harness::{Guest, Setup, Stage};
use crate::system::{POLICY, STRICT, boot_report, in_haste, label, status, wait};

fn trial(guest: &Guest) -> TrialReport {
    // It says no by its exit status where something was rolled back.
    let text = guest.run(&["imactl", "--json", "trial", "status"]).stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn decision(guest: &Guest) -> (TrialDecision, u32) {
    let trial = boot_report(guest).trial.expect("nothing was decided");
    (trial.decision, trial.attempt)
}

/// Waits for imad-confirm.service, and says why it did not confirm.
fn confirmed(guest: &Guest) {
    wait(guest, Duration::from_secs(120), "the boot to be confirmed", || {
        let state = guest.sh("systemctl show -P ActiveState imad-confirm.service").stdout;
        let done = ["active", "failed"].contains(&state.trim());
        done.then(|| boot_report(guest).trial.filter(|trial| trial.confirmed)).flatten()
    });
}

/// Cuts the power once the policy is loaded and the boot goes on, before anybody logs in.
fn cut_on_the_way(guest: &mut Guest) {
    guest.set_up(|setup| setup.until(Stage::Root));
    guest.start();
    assert!(boot_report(guest).policy.loaded);
    guest.cut_power();
    guest.set_up(|setup| setup.until(Stage::MultiUser));
}

#[test]
fn a_policy_that_came_to_no_login_twice_makes_room_for_the_one_that_did() {
    let mut guest = Guest::boot(in_haste(Setup::trusted()));
    assert_eq!(decision(&guest), (TrialDecision::Trial, 1));
    confirmed(&guest);
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
    guest.reboot();
    assert_eq!(decision(&guest), (TrialDecision::Confirmed, 0));

    let other = format!("{STRICT}# Another one.\n");
    guest.put("/root/other", other.clone(), 0o644);
    guest.put("/root/other.label", label(other.as_bytes(), "ima"), 0o600);
    let install = format!(
        "setfattr -n security.ima -v 0x$(od -An -v -tx1 /root/other.label | tr -d ' \\n') /root/other && \
         mv /root/other {POLICY} && sync"
    );
    guest.sh(&install).ok();
    guest.cut_power();
    cut_on_the_way(&mut guest);
    cut_on_the_way(&mut guest);

    guest.start();
    let report = boot_report(&guest);
    let outcome = report.trial.as_ref().unwrap();
    assert_eq!(
        (outcome.decision, outcome.attempt, outcome.fallback),
        (TrialDecision::Exhausted, 2, true),
        "{report:?}"
    );
    assert!(report.policy.loaded, "{report:?}");
    // The one that was confirmed before, which denies as ever.
    guest.sh("cp /usr/bin/true /root/true && ! /root/true").ok();
    let why = "is not loaded again: 2 boots on trial were not confirmed";
    assert!(status(&guest).problems.iter().any(|problem| problem.what.contains(why)), "{:?}", status(&guest).problems);
    assert!(guest.console().contains(why), "not on the console");
    assert_eq!(trial(&guest).rolled_back.unwrap().attempts, 2);

    guest.run(&["imactl", "trial", "acknowledge"]).ok();
    guest.reboot();
    assert_eq!(decision(&guest), (TrialDecision::Trial, 1));
    assert!(!status(&guest).problems.iter().any(|problem| problem.what.contains(why)));
    confirmed(&guest);
}

//! A rehearsal: a boot that denies nothing and tells what the policy would have denied.

use std::time::Duration;

use imad::model::rehearsal::{Plan, RehearsalReport, RehearsalStatus, RehearsalWay};

use crate::harness::{Guest, Setup, Shared};
use crate::system::{STRICT, boot_report, in_haste, kernel_messages, status, wait};

/// A machine under the strict policy whose daemon has nothing to count.
static MACHINE: Shared = Shared::new(|| in_haste(Setup::trusted()));

/// A program without a label that each boot runs.
const PROGRAM: &str = "/opt/rehearsed/program";
const UNIT: &str = "[Service]\nType=oneshot\nExecStart=/opt/rehearsed/program\n[Install]\nWantedBy=multi-user.target\n";

fn rehearse(guest: &Guest) -> RehearsalStatus {
    // It says no by its exit status where something would be denied.
    let text = guest.run(&["imactl", "--json", "rehearse"]).stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn result_of_unit(guest: &Guest) -> String {
    guest.sh("systemctl show -P Result rehearsed.service").text().trim().to_owned()
}

/// A machine under the strict policy that runs the program at each boot, and whose next boot is a rehearsal of that policy.
fn armed() -> (Guest, Plan) {
    let guest = MACHINE.guest();
    guest.sh(&format!("mkdir -p /opt/rehearsed && cp /usr/bin/true {PROGRAM}")).ok();
    guest.put("/etc/systemd/system/rehearsed.service", UNIT, 0o644);
    guest.run(&["systemctl", "enable", "rehearsed.service"]).ok();
    assert!(guest.run(&[PROGRAM]).denied());
    let policy = "01-appraise-executable-and-lib-signatures";
    let text = guest.run(&["imactl", "--json", "rehearse", "--policy", policy]).text();
    let plan: Plan = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(plan.armed, "{plan:?}");
    (guest, plan)
}

/// The report, which imad-confirm.service writes; asked by a person, what was used since counts too.
fn report(guest: &Guest) -> RehearsalReport {
    wait(guest, Duration::from_secs(240), "the report of the rehearsal", || {
        guest.run(&["test", "-s", "/var/lib/imad/rehearsal.json"]).success().then_some(())
    });
    assert!(!guest.run(&["test", "-e", "/etc/imad/state/rehearsal.taken"]).success());
    let report = rehearse(guest).report.unwrap();
    println!("{} ({} us); problems: {:?}", report.summary, report.duration_us, report.problems);
    let paths: Vec<_> = report.refused.iter().map(|denied| denied.file.path.as_str()).collect();
    assert_eq!((paths.as_slice(), report.refused_count), (&[PROGRAM][..], 1), "{report:?}");
    assert!(report.comes_through && !report.passes && report.refused[0].used, "{report:?}");
    report
}

#[test]
fn a_rehearsal_denies_nothing_names_what_would_be_denied_and_is_over_after_one_boot() {
    let (guest, plan) = armed();
    assert_eq!(plan.way, RehearsalWay::Measure);
    let told = "the next boot is a rehearsal of ";
    assert!(status(&guest).problems.iter().any(|problem| problem.what.starts_with(told)));

    guest.reboot();
    let booted = boot_report(&guest);
    let outcome = booted.rehearsal.clone().unwrap_or_else(|| panic!("no rehearsal: {booted:?}"));
    assert_eq!((outcome.way, outcome.problems.len()), (RehearsalWay::Measure, 0), "{outcome:?}");
    let verified = outcome.verified_by.as_deref().unwrap_or_default();
    assert!(verified.contains("policy update completed") && verified.contains("rules read back"), "{verified}");
    assert!(!booted.policy.loaded && booted.policy.hidden && booted.policy.shown_again, "{booted:?}");
    assert!(booted.trial.is_none() && booted.guard.is_none(), "{booted:?}");
    guest.run(&[PROGRAM]).ok();
    assert_eq!(result_of_unit(&guest), "success");
    let rules = guest.sh("cat /sys/kernel/security/ima/policy").text();
    assert!(rules.contains("measure func=BPRM_CHECK") && !rules.contains("appraise"), "{rules}");
    assert_eq!(kernel_messages(&guest, "op=appraise_data").len(), 0);
    let said = status(&guest);
    assert!(said.summary.starts_with("Rehearsal: this boot denies nothing; it is one of "), "{}", said.summary);
    assert!(said.problems[0].next.starts_with("imactl rehearse"), "{:?}", said.problems);
    assert!(guest.console().contains("Rehearsal: this boot denies nothing"), "not on the console");

    let answer = report(&guest);
    assert!(answer.used > 30, "{answer:?}");
    let denied = &answer.refused[0];
    assert!(denied.file.next.contains("evmctl ima_sign"), "{denied:?}");
    let rule = denied.file.rule.as_ref().and_then(|rule| rule.line);
    let line = STRICT.lines().position(|line| line.starts_with("appraise func=BPRM_CHECK")).unwrap() + 1;
    assert_eq!(rule, Some(line), "{denied:?}");

    guest.reboot();
    let booted = boot_report(&guest);
    assert!(booted.rehearsal.is_none() && booted.policy.loaded, "{booted:?}");
    assert!(guest.run(&[PROGRAM]).denied());
    assert_eq!(result_of_unit(&guest), "exit-code");
    assert!(status(&guest).summary.starts_with("Protected: "), "{}", status(&guest).summary);
    let last = rehearse(&guest);
    assert!(last.armed.is_none() && last.report.is_some_and(|report| report.refused_count == 1));
}

#[test]
fn with_appraisal_in_log_mode_the_kernels_own_verdicts_are_reported() {
    let (mut guest, _) = armed();
    guest.run(&["sync"]).ok();
    guest.cut_power();
    // One boot's entry, as somebody adds it in the boot loader's menu.
    let usual = guest.setup().clone();
    guest.set_up(|setup| setup.command_line("ima_appraise=log"));
    guest.start();
    let booted = boot_report(&guest);
    let outcome = booted.rehearsal.clone().unwrap_or_else(|| panic!("no rehearsal: {booted:?}"));
    assert_eq!((outcome.way, outcome.problems.len()), (RehearsalWay::Log, 0), "{outcome:?}");
    assert!(booted.trial.is_none(), "{booted:?}");
    assert_eq!(result_of_unit(&guest), "success");
    let rules = guest.sh("cat /sys/kernel/security/ima/policy").text();
    assert!(rules.contains("appraise func=BPRM_CHECK"), "{rules}");
    let recorded = kernel_messages(&guest, "op=appraise_data");
    assert!(recorded.iter().any(|line| line.contains(PROGRAM)), "{recorded:?}");
    assert!(status(&guest).summary.starts_with("Rehearsal: this boot denies nothing"), "{}", status(&guest).summary);
    report(&guest);

    guest.cut_power();
    guest.set_up(|_| usual);
    guest.start();
    assert!(boot_report(&guest).rehearsal.is_none());
    assert!(guest.run(&[PROGRAM]).denied());
}

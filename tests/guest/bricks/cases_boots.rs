//! Boots and work that are cut off: by the power at random instants, by a panic, a hang, an emergency shell.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::case::{Case, Kind};
use super::deeds::{meanwhile, policy, root};
use super::run::hopeless;
use crate::harness::Guest;
use crate::system::{POLICY, STRICT};

/// A policy on trial is loaded for two boots that come to no login (`trial.attempts`), and not for a third.
const AFTER_THE_TRIAL: u32 = 3;

fn case(name: impl AsRef<str>, what: impl Into<String>) -> Case {
    Case::new(Kind::Boots, format!("boots-{}", name.as_ref()), what)
}

/// A unit that is started early in every boot.
fn early(guest: &Guest, section: &str) {
    let unit = format!(
        "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target\n{section}\n[Install]\nWantedBy=sysinit.target\n"
    );
    guest.put("/etc/systemd/system/bricks.service", unit, 0o644);
    root(guest, "touch /opt/bricks/once; systemctl -q enable bricks.service");
}

/// What the unit does in one boot alone.
fn once(line: &str) -> String {
    format!(
        "[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh -c 'if rm /opt/bricks/once; then sync; {line}; fi'"
    )
}

/// What it does under a policy that was never confirmed: the rule that marks it can be read back.
fn on_trial(guest: &Guest, unit: &str, line: &str) {
    policy(guest, format!("dont_measure fsname=hugetlbfs\n{STRICT}"), Some("ima"));
    let test = "if grep -q hugetlbfs /sys/kernel/security/ima/policy";
    early(guest, &format!("{unit}\n[Service]\nType=oneshot\nExecStart=/bin/sh -c '{test}; then {line}; fi'"));
}

const PANIC: &str = "echo c >/proc/sysrq-trigger; sleep 60";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("panic", "the kernel panics once in a boot")
            .running(|guest| early(guest, &once(PANIC)))
            .within(2)
            .controlled(),
        case("hang", "a boot hangs for ever, once")
            .running(|guest| early(guest, &once("sleep infinity")))
            .once(hopeless)
            .within(2),
        case("reset", "the machine is reset in a boot, once")
            .running(|guest| early(guest, &once("echo b >/proc/sysrq-trigger; sleep 60")))
            .within(2),
        case("emergency", "a boot ends in an emergency shell, once")
            .once(|setup| setup.command_line("systemd.unit=emergency.target"))
            .within(2),
        case("panic-on-trial", "the kernel panics in every boot under a new policy")
            .running(|guest| on_trial(guest, "", PANIC))
            .armed("trial")
            .within(AFTER_THE_TRIAL)
            .controlled(),
        case("emergency-on-trial", "every boot under a new policy ends in an emergency shell")
            .running(|guest| {
                on_trial(guest, "OnFailure=emergency.target\nOnFailureJobMode=replace-irreversibly", "exit 1");
            })
            .armed("trial")
            .within(AFTER_THE_TRIAL)
            .controlled(),
    ];
    for seed in 1..=12 {
        let what = format!("the power goes in a boot, at instant {seed} of twelve");
        let case = case(format!("cut-{seed}"), what).cut(seed).within(2);
        cases.push(if seed == 2 { case.checked() } else { case });
    }
    // A boot of a policy that is on trial is written down before the load.
    for seed in 13..=16 {
        let what = format!("the power goes in the first boot of a new policy, at instant {} of four", seed - 12);
        let case = case(format!("cut-on-trial-{}", seed - 12), what);
        cases.push(
            case.running(|guest| policy(guest, format!("# Another one.\n{STRICT}"), Some("ima"))).cut(seed).within(2),
        );
    }
    for seed in 1..=4 {
        let what =
            format!("the power goes while the policy's file is written again and again, at instant {seed} of four");
        let copy = "cp --preserve=xattr /usr/share/imad/policies/01-appraise-executable-and-lib-signatures";
        let line = format!("while :; do {copy} {POLICY}; done");
        let case = case(format!("cut-policy-{seed}"), what);
        cases.push(case.running(move |guest| meanwhile(guest, 100 + seed, Duration::from_secs(6), &line)).either());
    }
    for seed in 1..=4 {
        let what = format!("the power goes while systemd is updated by a signed package, at instant {seed} of four");
        let rpm = "rpm -U --replacepkgs --oldpackage --nodeps --noscripts --nosignature /srv/repo/base/systemd.rpm";
        let case = case(format!("cut-update-{seed}"), what);
        cases.push(case.running(move |guest| meanwhile(guest, 200 + seed, Duration::from_secs(20), rpm)).either());
    }
    for seed in 1..=4 {
        let what = format!("the power goes while systemd's files are labelled again, at instant {seed} of four");
        let case = case(format!("cut-relabel-{seed}"), what);
        cases.push(
            case.running(move |guest| {
                // Here the daemon is to look after /usr too.
                root(guest, "rm -f /etc/imad/imad.toml.d/50-haste.toml; systemctl restart imad");
                let folder = "/usr/lib/systemd";
                let strip = format!("find {folder} -type f -exec setfattr -x security.ima {{}} +");
                meanwhile(guest, 300 + seed, Duration::from_secs(15), &format!("{strip}; imactl relabel {folder}"));
            })
            .either(),
        );
    }
    cases
}

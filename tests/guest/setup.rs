//! `imactl setup` on a plain system, dracut included: the next boot is armed, a second run changes nothing, and
//! `imactl teardown` leaves no difference.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use imad::model::report::TrialDecision;
use imad::model::setup::{SetupReport, StepOutcome};

use crate::harness::{Guest, Images, Setup};
use crate::plain::{installed, is_protected};
use crate::system::{POLICY, boot_report, key_file};

/// What is armed.
const NAME: &str = "01-appraise-executable-and-lib-signatures";
/// Where the certificate of the packages' signer waits to be named.
const CERTIFICATE: &str = "/root/ima.der";
/// Emulated, dracut and labelling take their time.
const LONG: Duration = Duration::from_secs(900);

/// A system with imad's packages and nothing else of imad: no certificate, no policy, no label, an initramfs without
/// imad-boot; and a kernel with a boot entry in `/boot`, as a distribution puts it there.
fn plain() -> Guest {
    let setup = Setup::trusted().remove(POLICY).remove("/etc/keys/ima/ima.der");
    let setup = installed(setup).file(CERTIFICATE, key_file("ima.der"), 0o644);
    let guest = Guest::boot(setup);
    let strip = "find / -xdev -type f -exec setfattr -x security.ima {} + 2>/dev/null; sync";
    guest.command(&["sh", "-c", strip]).timeout(LONG).output();
    guest
}

fn ask(guest: &Guest, words: &[&str]) -> SetupReport {
    let begun = Instant::now();
    let output = guest.command(&[&["imactl", "--json"], words].concat()).timeout(LONG).output();
    let report: SetupReport = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    println!("imactl {}: {:.1} s", words.join(" "), begun.elapsed().as_secs_f64());
    for step in &report.steps {
        let seconds = Duration::from_micros(step.duration_us).as_secs_f64();
        println!("  {:<14} {:<8} {seconds:6.1} s  {}", step.name, format!("{:?}", step.outcome), step.what);
    }
    assert_eq!(output.success(), report.complete || report.dry_run, "{report:?}");
    report
}

/// Every file on the root's file system: owner, mode, size, time (not a folder's, which tells of what came and went in
/// it) and extended attributes. Logs apart, and what every running system writes beside them.
fn everything(guest: &Guest) -> BTreeMap<String, String> {
    let apart = [
        "/var/log",
        "/var/lib/imad",
        "/var/lib/systemd",
        "/var/lib/rpm",
        "/var/cache/ldconfig",
        "/opt/bricks",
        "/var/tmp",
    ];
    let apart: Vec<_> = apart.iter().map(|path| format!("-path {path} -prune -o")).collect();
    let apart = apart.join(" ");
    let list = format!(
        "find / -xdev {apart} \\( -type d -printf '%p\\t%m %u %g\\n' -o -printf '%p\\t%m %u %g %s %T@ %l\\n' \\)"
    );
    let state = guest.command(&["sh", "-c", &list]).timeout(LONG).output().text();
    let split = |line: &str| line.split_once('\t').map(|(path, state)| (path.to_owned(), state.to_owned()));
    let mut found: BTreeMap<_, _> = state.lines().filter_map(split).collect();
    assert!(found.len() > 5000, "{}", found.len());
    let attributes = format!("find / -xdev {apart} -print0 | xargs -0 getfattr -h --absolute-names -d -m - -e hex");
    let attributes = guest.command(&["sh", "-c", &attributes]).timeout(LONG).output().text();
    for file in attributes.split("\n\n").filter(|file| !file.trim().is_empty()) {
        let (path, rest) = file.trim_start().split_once('\n').unwrap();
        let path = path.trim_start_matches("# file: ");
        found.entry(path.to_owned()).or_default().push_str(rest);
    }
    found
}

#[track_caller]
fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    let names = before.keys().chain(after.keys());
    let differ: std::collections::BTreeSet<_> = names.filter(|name| before.get(*name) != after.get(*name)).collect();
    let shown: Vec<_> = differ.iter().take(20).map(|name| (name, before.get(*name), after.get(*name))).collect();
    assert!(differ.is_empty(), "{} files differ: {shown:#?}", differ.len());
}

#[test]
fn a_plain_system_is_armed_by_one_command_and_plain_again_by_another() {
    let mut guest = plain();
    let before = everything(&guest);

    let setup = ["setup", "--policy", NAME, "--cert", CERTIFICATE];
    let report = ask(&guest, &[&setup[..], &["--dry-run"]].concat());
    assert!(report.dry_run && !report.complete, "{report:?}");
    assert_same(&before, &everything(&guest));

    let report = ask(&guest, &setup);
    assert!(report.complete, "{report:#?}");
    for step in ["keys", "labels", "images", "arm"] {
        let found = report.steps.iter().find(|found| found.name == step).unwrap();
        assert_eq!(found.outcome, StepOutcome::Done, "{report:#?}");
    }
    let armed = everything(&guest);
    let report = ask(&guest, &setup);
    assert!(report.complete && report.steps.iter().all(|step| step.outcome == StepOutcome::Already), "{report:#?}");
    assert_same(&armed, &everything(&guest));

    // The boot loader of this machine is QEMU.
    let image = armed.keys().find(|path| path.starts_with("/boot/initramfs-")).unwrap();
    let initrd = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("initrd-setup.img");
    fs::write(&initrd, guest.get(image)).unwrap();
    guest.run(&["sync"]).ok();
    guest.shutdown();
    guest.set_up(|setup| setup.initrd(&initrd));
    guest.start();
    let booted = boot_report(&guest);
    assert!(booted.policy.loaded, "{booted:#?}");
    assert_eq!(booted.trial.unwrap().decision, TrialDecision::Trial);
    is_protected(&guest);

    // Labels stay while the policy wants them.
    let report = ask(&guest, &["teardown"]);
    assert!(!report.complete && report.next_reboot.starts_with("The next boot loads no policy."), "{report:#?}");
    guest.shutdown();
    guest.set_up(|setup| setup.initrd(Images::load().base().join("initrd-base.img")));
    guest.start();
    let report = ask(&guest, &["teardown"]);
    assert!(report.complete, "{report:#?}");
    assert_same(&before, &everything(&guest));
}

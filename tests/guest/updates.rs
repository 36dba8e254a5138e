//! Updates under the strict policy of what everything runs on: C library, bash, systemd and imad, in one transaction.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::harness::{Guest, Output};
use crate::plain::is_protected;
use crate::system::{TRUSTED, boot_report, kernel_messages, wait};

/// Emulated, dnf and the scriptlets of seven packages take minutes.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// What the scriptlets of the packages (`images/updates.sh`) note where they ran.
const SCRIPTLETS: [&str; 11] = [
    "bash post",
    "bash posttrans",
    "libc-bin post",
    "libc-bin posttrans",
    "libc6 post",
    "libc6 posttrans",
    "libsystemd-shared post",
    "libsystemd-shared posttrans",
    "systemd post",
    "systemd posttrans",
    "systemd pre",
];
/// What needs no scriptlet before its files.
pub(crate) const LIBRARIES: [&str; 4] = ["libc6", "libc-bin", "bash", "libsystemd-shared"];

/// A transaction of dnf with the packages of one repository of the packages' disk.
fn dnf(guest: &Guest, repository: &str, verb: &[&str]) -> Output {
    let path = format!("--repofrompath=here,file:///srv/repo/{repository}");
    let words = [&["dnf", "-y", &path, "--repo=here"], verb].concat();
    guest.command(&words).timeout(LONG).output()
}

/// The inode of the program that PID 1 executes, and that of the program on disk.
fn pid_1(guest: &Guest) -> (String, String) {
    let inode = |path: &str| guest.run(&["stat", "-L", "-c", "%i", path]).text();
    (inode("/proc/1/exe"), inode("/usr/lib/systemd/systemd"))
}

fn scriptlets(guest: &Guest) -> Vec<String> {
    let text = guest.get_text("/var/lib/updates.log");
    let mut ran: Vec<_> = text.lines().map(str::to_owned).collect();
    ran.sort();
    ran
}

/// These packages have the higher release, and each of their files its label.
#[track_caller]
pub(crate) fn are_updated(guest: &Guest, packages: &[&str]) {
    for package in packages {
        let release = guest.run(&["rpm", "-q", "--qf", "%{RELEASE}", package]).text();
        assert!(release.ends_with(".1"), "{package} {release}");
        guest.command(&["imactl", "check", "--package", package]).timeout(LONG).output().ok();
    }
}

/// Without the daemon: every label is the plugin's.
#[test]
fn with_rpms_plugin_every_scriptlet_runs() {
    let guest = TRUSTED.guest();
    guest.run(&["systemctl", "mask", "--now", "imad"]).ok();
    dnf(&guest, "plugin", &["install", "rpm-plugin-ima"]).ok();
    // It was installed without itself.
    guest.run(&["imactl", "relabel", "--package", "rpm-plugin-ima"]).ok();
    let (before, _) = pid_1(&guest);

    let output = dnf(&guest, "updates", &["upgrade"]).ok();
    println!("{output}");
    assert_eq!(scriptlets(&guest), SCRIPTLETS, "{output}");
    let (executed, installed) = pid_1(&guest);
    assert_ne!(before, installed);
    assert_eq!(executed, installed, "PID 1 is still the old program");
    are_updated(&guest, &[&LIBRARIES[..], &["systemd", "imad", "imad-dracut"]].concat());
    assert_eq!(kernel_messages(&guest, "op=appraise_data"), Vec::<String>::new());

    guest.reboot();
    assert!(boot_report(&guest).policy.loaded, "{:?}", boot_report(&guest));
    is_protected(&guest);
}

/// Waits until the daemon has labelled what a transaction brought, and answers.
fn is_labelled(guest: &Guest) {
    wait(guest, LONG, "the labels of the transaction", || guest.run(&["/usr/bin/true"]).success().then_some(()));
    wait(guest, LONG, "the daemon to answer", || guest.run(&["imactl", "--json", "status"]).success().then_some(()));
}

/// Without the plugin nothing that the new C library is loaded into runs before the daemon has labelled it: scriptlets in
/// between are denied, and so the packages whose files wait for one do not come, which `imactl doctor` says before. The
/// machine comes through all the same, and the same upgrade once more brings the rest.
#[test]
fn without_rpms_plugin_scriptlets_are_denied_and_the_daemon_mends_it() {
    let guest = TRUSTED.guest();
    let warned = guest.run(&["imactl", "doctor"]);
    assert!(warned.stdout.contains("rpm-plugin-ima"), "{warned}");

    let output = dnf(&guest, "updates", &["upgrade"]);
    println!("{output}");
    assert!(output.to_string().contains("Error in PREIN scriptlet in rpm package systemd"), "{output}");
    is_labelled(&guest);
    assert!(!guest.sh("test -e /var/lib/updates.log").success(), "a scriptlet ran");
    assert!(!kernel_messages(&guest, "op=appraise_data").is_empty(), "nothing was denied: {output}");
    are_updated(&guest, &LIBRARIES);

    let output = dnf(&guest, "updates", &["upgrade"]);
    println!("{output}\n{:?}", guest.sh("cat /var/lib/updates.log"));
    wait(&guest, LONG, "the labels of systemd", || {
        guest.command(&["imactl", "check", "--package", "systemd"]).timeout(LONG).output().success().then_some(())
    });
    assert!(scriptlets(&guest).contains(&"systemd pre".to_owned()), "{output}");
    are_updated(&guest, &["systemd"]);

    guest.reboot();
    assert!(boot_report(&guest).policy.loaded, "{:?}", boot_report(&guest));
    is_protected(&guest);
    let (executed, installed) = pid_1(&guest);
    assert_eq!(executed, installed);
}

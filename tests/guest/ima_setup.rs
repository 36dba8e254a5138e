//! imactl under the name `ima-setup` on a plain system: Red Hat's acceptance steps for that script, what it asks before a
//! load, and what the doctor says before and after.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use imad::model::doctor::{Diagnosis, Severity};

use crate::harness::{Guest, Images, Output, Setup, Status};
use crate::plain::installed;
use crate::system::{POLICY, boot_report};

const PROGRAM: &str = "/usr/lib/imad/compat/ima-setup";
const MEASURE: &str = "/usr/share/imad/policies/02-keylime-remote-attestation";
const APPRAISE: &str = "/usr/share/imad/policies/01-appraise-executable-and-lib-signatures";
const BASH: &str = "/usr/bin/bash";
/// Emulated, dracut and labelling take their time.
const LONG: Duration = Duration::from_secs(900);

/// A system with the certificate of its packages' signer, and neither a policy nor imad-boot in its initramfs; bash and a
/// policy have lost their labels. The daemon, which would give them back, is masked. The kernel and its boot entry are in
/// /boot, as a distribution puts them there.
fn plain() -> Guest {
    Guest::boot(installed(
        Setup::trusted()
            .remove(POLICY)
            .no_xattr(BASH, "security.ima")
            .no_xattr(MEASURE, "security.ima")
            .symlink("/etc/systemd/system/imad.service", "/dev/null")
            // Emulated, looking at the labels of all libraries takes longer than the boot; none of them lost its own.
            .file("/etc/imad/imad.toml.d/50-haste.toml", "[labels]\nexclude = [\"/usr/lib\"]\n", 0o644),
    ))
}

fn set_up(guest: &Guest, arguments: &[&str]) -> Output {
    let begun = Instant::now();
    let output = guest.command(&[&[PROGRAM], arguments].concat()).timeout(LONG).output();
    println!("ima-setup {}: {:.1} s\n{output}", arguments.join(" "), begun.elapsed().as_secs_f64());
    output
}

fn doctor(guest: &Guest) -> Diagnosis {
    let output = guest.command(&["imactl", "--json", "doctor"]).timeout(LONG).output();
    let diagnosis: Diagnosis = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!(output.success(), diagnosis.healthy, "{diagnosis:#?}");
    for finding in &diagnosis.findings {
        println!("doctor: {} {}: {}", finding.severity.name(), finding.name, finding.problem.what);
    }
    diagnosis
}

fn says(diagnosis: &Diagnosis, name: &str) -> Option<Severity> {
    diagnosis.findings.iter().find(|finding| finding.name == name).map(|finding| finding.severity)
}

fn rules(guest: &Guest) -> Vec<String> {
    guest.get_text("/sys/kernel/security/ima/policy").lines().map(str::to_owned).collect()
}

fn label(guest: &Guest, path: &str) -> Output {
    guest.run(&["getfattr", "-e", "hex", "-n", "security.ima", path])
}

#[test]
fn ima_setup_passes_the_acceptance_steps_and_loads_nothing_that_would_deny_what_runs() {
    let mut guest = plain();
    let usage = set_up(&guest, &[]);
    assert!(usage.status == Status::Exited(1) && usage.stdout.starts_with("Set up IMA.\nusage: ima-setup "), "{usage}");
    let none = set_up(&guest, &["--policy=/usr/share/imad/policies/none"]);
    assert_eq!(
        (none.status, none.stdout.as_str()),
        (Status::Exited(1), "/usr/share/imad/policies/none doesn't exist\n")
    );

    let before = doctor(&guest);
    assert_eq!(says(&before, "no-policy"), Some(Severity::Note), "{before:#?}");
    assert_eq!(says(&before, "unit"), Some(Severity::Warning), "{before:#?}");
    let has_plugin = guest.sh("test -e \"$(rpm --eval '%{?__transaction_ima}')\"").success();
    assert_eq!(says(&before, "rpm-plugin"), (!has_plugin).then_some(Severity::Warning), "{before:#?}");

    // Red Hat's steps: no policy before, exit status 0, bash labelled.
    assert!(!guest.run(&["cat", POLICY]).success() && rules(&guest).is_empty());
    assert!(!label(&guest, BASH).success());
    let output = set_up(&guest, &[&format!("--policy={MEASURE}")]).ok();
    let lines = "Adding IMA signatures to installed package files\nLoading IMA keys\n";
    assert!(output.stdout.starts_with(lines), "{output}");
    label(&guest, BASH).ok();
    let measuring = rules(&guest);
    assert!(measuring.iter().any(|rule| rule.contains("func=KEY_CHECK")), "{measuring:?}");
    assert_eq!(guest.get(POLICY), guest.get(MEASURE));

    // What is loaded is not loaded again.
    set_up(&guest, &[&format!("--policy={MEASURE}"), "--reinstall_threshold=20"]).ok();
    assert_eq!(rules(&guest), measuring);

    // A program runs that could not be started again.
    guest
        .sh("cp /usr/bin/sleep /root/sleep; setsid /root/sleep 3600 >/dev/null 2>&1 </dev/null & echo $! >/run/sleep")
        .ok();
    let refused = set_up(&guest, &["--policy", APPRAISE]);
    assert_eq!(refused.status, Status::Exited(1), "{refused}");
    assert!(
        refused.stderr.contains("/root/sleep: ") && refused.stderr.contains("imactl explain /root/sleep"),
        "{refused}"
    );
    assert!(refused.stdout.contains(&format!("Failed to load IMA policy {APPRAISE}!")), "{refused}");
    assert_eq!((rules(&guest), guest.get(POLICY)), (measuring, guest.get(MEASURE)));
    guest.sh("kill $(cat /run/sleep)").ok();
    set_up(&guest, &["--policy", APPRAISE]).ok();
    assert!(guest.run(&["/root/sleep", "0"]).denied());
    assert!(guest.run(&["bash", "-c", "sleep 0"]).success());
    assert_eq!(guest.get(POLICY), guest.get(APPRAISE));
    let armed = doctor(&guest);
    assert_eq!((says(&armed, "no-policy"), says(&armed, "next-boot")), (None, None), "{armed:#?}");
    assert_eq!(says(&armed, "rpm-plugin"), (!has_plugin).then_some(Severity::Fault), "{armed:#?}");

    // Red Hat's steps after the reboot: the policy can be read, the key is in the keyring.
    let release = fs::read_to_string(Images::load().kernel().join("release")).unwrap();
    let initrd = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("initrd-ima-setup.img");
    fs::write(&initrd, guest.get(&format!("/boot/initramfs-{}.img", release.trim()))).unwrap();
    guest.run(&["sync"]).ok();
    guest.shutdown();
    // The boot loader of this machine is QEMU.
    guest.set_up(|setup| setup.initrd(&initrd));
    guest.start();
    guest.run(&["cat", POLICY]).ok();
    let keys = guest.run(&["keyctl", "show", "%:.ima"]).text();
    assert!(keys.contains("imad test package signing"), "{keys}");
    let report = boot_report(&guest);
    assert!(report.policy.loaded, "{report:#?}");
    assert!(guest.run(&["/root/sleep", "0"]).denied());
}

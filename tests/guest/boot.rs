//! The boot: keys, one load, the report.

use imad::model::report::{KeyringKind, Loader, Outcome};

use crate::harness::{Guest, Setup, Stage};
use crate::initramfs::in_initramfs;
use crate::system::{STRICT, TRUSTED, boot_report, in_haste, journal, kernel_messages, settled};

fn rules(policy: &str) -> usize {
    policy.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

/// What imad-boot's steps cost, of a boot that has just come to its end.
fn assert_a_small_share(guest: &Guest) {
    let steps = boot_report(guest).steps;
    let wall: u64 = steps.iter().map(|step| step.end_us - step.begin_us).sum();
    let cpu: u64 = steps.iter().map(|step| step.cpu_us).sum();
    // /proc/stat: user, nice, system, idle, iowait, irq, softirq in hundredths of a second, since boot.
    let stat = guest.get_text("/proc/stat");
    let ticks: Vec<u64> = stat.lines().next().unwrap().split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
    let boot_cpu = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * 10_000;
    let uptime = guest.get_text("/proc/uptime");
    let uptime: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    let share = 10_000 * cpu / boot_cpu;
    println!(
        "imad-boot: {wall} us, {cpu} us CPU; the boot: {uptime} s, {boot_cpu} us CPU; its share of the CPU: {share} / 10000"
    );
    // The core's content is read and verified: some 25 files, 20 MB, which an emulated processor hashes slowly.
    assert!(share < 800, "{share} / 10000");
}

#[test]
fn the_boot_is_protected_and_says_so() {
    let guest = TRUSTED.guest();
    let report = boot_report(&guest);
    assert_eq!(report.keyring, KeyringKind::Trusted);
    assert!(report.certificates.iter().all(|certificate| certificate.accepted), "{report:?}");
    assert!(report.policy.loaded && report.policy.problem.is_none(), "{:?}", report.policy);
    assert_eq!(report.policy.rules, Some(rules(STRICT) as u64));
    let verified = report.policy.verified_by.as_deref().unwrap_or_default();
    assert!(verified.contains("policy update completed") && verified.contains("rules read back"), "{verified}");
    for step in &report.steps {
        assert!(step.end_us >= step.begin_us && step.begin_us > 0, "{step:?}");
        assert_ne!(step.outcome, Outcome::Failed, "{step:?}");
        println!("{}: {} us, {} us CPU", step.name, step.end_us - step.begin_us, step.cpu_us);
    }
    let names: Vec<_> = report.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["configuration", "keys", "policy", "guard", "trial", "load", "hide"]);
    let guard = report.guard.unwrap();
    assert_eq!((guard.refused, guard.problems), (0, Vec::new()));
    // PID 1, what starts services, the shell, the loader, the C library: read, since there is no manifest.
    assert!(guard.manifest.is_none() && guard.read > 5 && guard.files >= guard.read, "{} {}", guard.read, guard.files);

    let status = settled(&guest);
    assert_eq!(status.policy.loaded_by, Loader::ImadBoot);
    assert!(status.summary.starts_with("Protected: "), "{}", status.summary);
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
}

#[test]
fn the_policy_is_loaded_once_and_not_twice() {
    let guest = TRUSTED.guest();
    assert_eq!(kernel_messages(&guest, "ima: policy update").len(), 1);
    assert_eq!(kernel_messages(&guest, "ima: policy update completed").len(), 1);
    let active = guest.sh("cat /sys/kernel/security/ima/policy").text();
    assert_eq!(active.lines().filter(|line| !line.trim().is_empty()).count(), rules(STRICT));
    let systemd = guest.sh("journalctl -b --no-pager -o cat _PID=1").text();
    assert!(!systemd.contains("IMA custom policy"), "{systemd}");
}

#[test]
fn the_policy_is_hidden_from_systemd_and_shown_again() {
    let guest = TRUSTED.guest();
    let report = boot_report(&guest);
    assert!(report.policy.hidden && report.policy.shown_again, "{:?}", report.policy);
    assert_eq!(guest.get_text("/etc/ima/ima-policy"), STRICT);
    assert!(!guest.get_text("/proc/self/mountinfo").contains("imad-hide"));
    // In no service's own mount namespace either.
    let hidden = guest.sh("grep -l imad-hide /proc/[0-9]*/mountinfo || true").text();
    assert_eq!(hidden, "");
}

#[test]
fn the_journal_names_keys_and_policy_with_message_ids() {
    let guest = TRUSTED.guest();
    let text = journal(&guest, "imad-boot");
    assert!(text.contains("is in the kernel's keyring"), "{text}");
    assert!(text.contains("loaded /etc/ima/ima-policy ("), "{text}");
    for id in [imad::model::message_id::BOOT_KEY_ACCEPTED, imad::model::message_id::BOOT_POLICY_LOADED] {
        let found = guest.run(&["journalctl", "-b", "--no-pager", "-o", "cat", &format!("MESSAGE_ID={id}")]).text();
        assert!(!found.is_empty(), "nothing with MESSAGE_ID={id}");
    }
}

#[test]
fn the_boot_costs_little_and_a_reboot_is_protected_again() {
    let guest = Guest::boot(Setup::trusted());
    assert_a_small_share(&guest);
    guest.reboot();
    assert!(boot_report(&guest).policy.loaded);
    assert_eq!(kernel_messages(&guest, "ima: policy update completed").len(), 1);
}

/// As with images for one machine, which hold the root's name themselves (dracut.conf(5), `hostonly_cmdline`).
#[test]
fn a_boot_without_root_on_the_command_line_is_protected_too() {
    let setup = in_haste(Setup::trusted()).without_root().until(Stage::Root);
    let root = format!("root={} rw\n", setup.device(0));
    let guest = Guest::boot(in_initramfs(setup, "rootless", "/etc/cmdline.d/50-root.conf", root.as_bytes(), 0o644));
    assert!(!guest.get_text("/proc/cmdline").contains("root="));
    let report = boot_report(&guest);
    assert!(report.policy.loaded && report.problems.is_empty(), "{report:#?}");
    guest.sh("cp /usr/bin/true /root/true").ok();
    assert!(guest.run(&["/root/true"]).denied());
}

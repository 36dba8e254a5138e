//! What administrators do to a machine under the strict policy: the shutdown out of an unpacked initramfs, kexec, the rescue
//! and emergency targets, new initramfs images, kernels that come and go, offline updates.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::harness::{Guest, Images, Need, Setup, Stage};
use crate::plain::{installed, is_protected};
use crate::system::{TRUSTED, boot_report, in_haste, kernel_messages, wait};
use crate::updates::{LIBRARIES, LONG, are_updated};

/// systemd executes what dracut unpacked, on a tmpfs, and that ends the system.
#[test]
fn the_shutdown_out_of_an_unpacked_initramfs_runs() {
    let images = Images::load();
    let release = std::fs::read_to_string(images.kernel().join("release")).unwrap();
    let image = std::fs::read(images.imad().join("initrd-trusted.img")).unwrap();
    let setup = in_haste(Setup::trusted()).file(&format!("/boot/initramfs-{}.img", release.trim()), image, 0o600);
    let guest = Guest::boot(setup.until(Stage::Root).boot_timeout(LONG));
    // As dracut's modules for storage that has to be taken apart do in the initramfs.
    guest.sh("mkdir -p /run/initramfs && touch /run/initramfs/.need_shutdown && sync").ok();
    wait(&guest, LONG, "what unpacks the initramfs at shutdown", || {
        guest.run(&["systemctl", "is-active", "--quiet", "dracut-shutdown.service"]).success().then_some(())
    });
    guest.shutdown();
    let console = guest.console();
    let end: Vec<_> = console.lines().rev().take(60).collect();
    let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
    for words in ["Entering exitrd...", "dracut: Unmounted /oldroot", "reboot: Power down"] {
        assert!(end.contains(words), "no {words:?}:\n{end}");
    }
    assert!(!end.contains("Failed to execute shutdown binary") && !end.contains("op=appraise_data"), "{end}");
}

/// Loads a kernel for the next boot, as kexec(8) does, which the guests do not have.
const KEXEC_LOAD: &str = "
import ctypes, os
line = open('/proc/cmdline', 'rb').read().strip() + b'\\0'
kernel, initrd = (os.open(path, os.O_RDONLY) for path in ('/boot/kernel', '/boot/initrd'))
libc = ctypes.CDLL(None, use_errno=True)
KEXEC_FILE_LOAD = 320
if libc.syscall(KEXEC_FILE_LOAD, kernel, initrd, ctypes.c_ulong(len(line)), line, ctypes.c_ulong(0)) != 0:
    raise OSError(ctypes.get_errno(), 'kexec_file_load')
";

#[test]
fn kexec_comes_to_a_protected_boot() {
    let images = Images::load();
    let setup = in_haste(Setup::trusted().needs(Need::Kexec))
        .file("/boot/kernel", std::fs::read(images.kernel().join("bzImage")).unwrap(), 0o600)
        .file("/boot/initrd", std::fs::read(images.imad().join("initrd-trusted.img")).unwrap(), 0o600);
    let guest = Guest::boot(setup.boot_timeout(LONG));
    guest.run(&["python3", "-c", KEXEC_LOAD]).ok();
    assert_eq!(guest.get_text("/sys/kernel/kexec_loaded").trim(), "1");
    guest.reboot_by("kexec");
    // No firmware, no boot loader: the old kernel started the new one.
    assert!(guest.console().contains("kexec_core: Starting new kernel"), "{}", guest.console());
    assert!(boot_report(&guest).policy.loaded, "{:?}", boot_report(&guest));
    is_protected(&guest);
}

/// sulogin and its shell run from the first moment, and leaving them leads to the boot that is confirmed.
fn comes_back_from(target: &str) {
    let words = format!("systemd.unit={target}.target systemd.setenv=SYSTEMD_SULOGIN_FORCE=1");
    let guest = Guest::boot(in_haste(Setup::trusted()).command_line(&words).until(Stage::Emergency));
    let report = boot_report(&guest);
    assert!(report.policy.loaded, "{report:?}");
    wait(&guest, LONG, "sulogin", || guest.sh("grep -qx sulogin /proc/[0-9]*/comm").success().then_some(()));
    assert_eq!(kernel_messages(&guest, "op=appraise_data"), Vec::<String>::new());
    guest.run(&["systemctl", "--no-block", "default"]).ok();
    let unit = format!("{target}.service");
    wait(&guest, LONG, "the end of the shell", || {
        (!guest.run(&["systemctl", "is-active", "--quiet", &unit]).success()).then_some(())
    });
    guest.wait_for(Stage::MultiUser);
    is_protected(&guest);
}

#[test]
fn the_rescue_target_has_a_shell_and_goes_on() {
    comes_back_from("rescue");
}

#[test]
fn the_emergency_target_has_a_shell_and_goes_on() {
    comes_back_from("emergency");
}

#[test]
fn images_are_built_anew_and_kernels_come_and_go() {
    // As Fedora and RHEL configure kernel-install(8).
    let cmdline = format!("root={} rw\n", Setup::trusted().device(0));
    let setup = in_haste(installed(Setup::trusted()))
        .file("/etc/kernel/install.conf", "layout=bls\ninitrd_generator=dracut\n", 0o644)
        .file("/etc/kernel/cmdline", cmdline, 0o644)
        .initrd(Images::load().imad().join("initrd-trusted.img"));
    let guest = Guest::boot(setup);
    assert!(boot_report(&guest).policy.loaded);
    let release = guest.run(&["uname", "-r"]).text();
    let image = format!("/boot/initramfs-{release}.img");
    let dracut = ["dracut", "--force", &image, &release];
    guest.command(&dracut).timeout(LONG).output().ok();
    let parts = guest.command(&["lsinitrd", &image]).timeout(LONG).output().ok();
    assert!(parts.stdout.contains("imad-boot"), "{parts}");

    // Another kernel: its release differs in the name alone.
    let second = "6.12.999-second";
    let kernel = format!("/boot/vmlinuz-{release}");
    guest.sh(&format!("mkdir -p /usr/lib/modules/{second} && cp /boot/config-{release} /boot/config-{second}")).ok();
    let add = ["kernel-install", "--verbose", "add", second, &kernel];
    let added = guest.command(&add).timeout(LONG).output().ok();
    let find = format!("find /boot -name '*{second}*.conf'; find /boot -path '*{second}*' -name 'initr*'");
    let found = guest.sh(&find).text();
    println!("{added}\n{found}");
    assert!(found.contains(".conf") && found.contains("/initr"), "{added}\n{found}");
    let said = guest.command(&["imactl", "--json", "check", "--next-boot"]).timeout(LONG).output();
    assert!(said.stdout.contains(second), "{said}");
    guest.command(&["kernel-install", "--verbose", "remove", second]).timeout(LONG).output().ok();
    assert!(!guest.sh(&find).text().contains(".conf"));
    assert_eq!(kernel_messages(&guest, "op=appraise_data"), Vec::<String>::new());
}

/// As packagekit-offline-update.service and dnf-system-upgrade.service do it (systemd.offline-updates(7)).
const OFFLINE: &str = "\
[Unit]
DefaultDependencies=no
Requires=sysinit.target
After=sysinit.target system-update-pre.target
Before=system-update.target shutdown.target
Conflicts=shutdown.target
SuccessAction=reboot
FailureAction=reboot

[Service]
Type=oneshot
ExecStart=rm -f /system-update
ExecStart=dnf -y --repofrompath=here,file:///srv/repo/updates --repo=here upgrade
";

/// The update's end is the reboot: the daemon labels what it brought in between, so that the next boot is protected. Its
/// scriptlets are denied without rpm's plugin, as in a running system.
#[test]
fn what_an_offline_update_brought_is_labelled_before_its_reboot() {
    let guest = TRUSTED.guest();
    guest.put("/etc/systemd/system/update.service", OFFLINE, 0o644);
    guest.sh("mkdir -p /etc/systemd/system/system-update.target.wants").ok();
    guest.sh("ln -s ../update.service /etc/systemd/system/system-update.target.wants/").ok();
    // The guests have no use for it otherwise.
    guest.run(&["rm", "/etc/systemd/system-generators/systemd-system-update-generator"]).ok();
    guest.sh("ln -s /var/lib/imad /system-update && sync").ok();
    let old = guest.hello().boot_id;
    guest.run(&["systemctl", "--no-block", "reboot"]).ok();
    // The boot that updates, and the one after it.
    let begin = Instant::now();
    let mut seen = vec![old];
    while seen.len() < 3 || guest.try_hello().is_err() {
        assert!(begin.elapsed() < 2 * LONG, "{} boots:\n{}", seen.len(), guest.console());
        if let Ok(hello) = guest.try_hello()
            && !seen.contains(&hello.boot_id)
        {
            seen.push(hello.boot_id);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    guest.wait_for(Stage::MultiUser);
    println!("{}", guest.sh("journalctl -b -1 --no-pager -o short-monotonic -u update -u imad | tail -n 60").stdout);
    assert!(boot_report(&guest).policy.loaded, "{:?}", boot_report(&guest));
    is_protected(&guest);
    are_updated(&guest, &LIBRARIES);
}

//! What the tests of a setup share: a kernel with its boot entry, and the proof that a boot came to be protected.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Guest, Images, Setup};
use crate::system::{boot_report, status, wait};

/// Boots an initramfs without imad-boot, with the kernel and its boot entry in `/boot`, as a distribution puts them there, and
/// dracut told that this kernel has no modules.
pub(crate) fn installed(setup: Setup) -> Setup {
    let images = Images::load();
    let release = fs::read_to_string(images.kernel().join("release")).unwrap();
    let release = release.trim();
    let initrd = images.base().join("initrd-base.img");
    let entry = format!(
        "title Guest\nversion {release}\nlinux /vmlinuz-{release}\ninitrd /initramfs-{release}.img\noptions root={} rw\n",
        setup.device(0)
    );
    let config = setup.kernel_config();
    let read = |file: PathBuf| fs::read(file).unwrap();
    let dracut = "no_kernel=yes\nhostonly=no\ncompress=\"zstd -3 -q\"\nfilesystems+=\" ext4 \"\n";
    setup
        .initrd(&initrd)
        .file("/etc/dracut.conf.d/50-guest.conf", dracut, 0o644)
        .file(&format!("/boot/vmlinuz-{release}"), read(images.kernel().join("bzImage")), 0o644)
        .file(&format!("/boot/config-{release}"), config, 0o644)
        .file(&format!("/boot/initramfs-{release}.img"), read(initrd), 0o600)
        .file("/boot/loader/entries/guest.conf", entry, 0o644)
}

/// Waits until the boot is confirmed, and tries whether it is protected.
#[track_caller]
pub(crate) fn is_protected(guest: &Guest) {
    wait(guest, Duration::from_secs(300), "the boot to be confirmed", || {
        boot_report(guest).trial.filter(|trial| trial.confirmed)
    });
    assert!(status(guest).summary.starts_with("Protected: "), "{}", status(guest).summary);
    assert!(guest.sh("cp /usr/bin/true /root/true; /root/true").denied());
    guest.run(&["rm", "/root/true"]).ok();
}

//! What administrators do to a machine under the strict policy: the shutdown out of an unpacked initramfs.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::harness::{Guest, Images, Setup, Stage};
use crate::system::{in_haste, wait};

const LONG: Duration = Duration::from_secs(600);

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

//! Sabotages of imad's own programs and of what they work with.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::case::{Case, Kind};
use super::cases_storage::fill;
use super::deeds::root;
use crate::initramfs::in_initramfs;

/// imad-boot's place, in the initramfs too.
const BOOT: &str = "/usr/lib/imad/imad-boot";

fn case(name: &str, what: &str) -> Case {
    Case::new(Kind::Imad, format!("imad-{name}"), what)
}

/// Something done as root to the running system.
fn done(name: &str, what: &str, line: &'static str) -> Case {
    case(name, what).running(move |guest| root(guest, line))
}

/// Another program in imad-boot's place in the initramfs.
fn boot_program(name: &'static str, what: &str, program: &'static str) -> Case {
    case(name, what).hereafter(move |setup| in_initramfs(setup, name, BOOT, program.as_bytes(), 0o755))
}

/// A drop-in of the daemon's unit.
fn daemon(name: &str, what: &str, drop_in: &str) -> Case {
    let drop_in = drop_in.to_owned();
    case(name, what).running(move |guest| {
        root(guest, "mkdir -p /etc/systemd/system/imad.service.d");
        guest.put("/etc/systemd/system/imad.service.d/bricks.conf", drop_in.as_str(), 0o644);
        root(guest, ":");
    })
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        boot_program("boot-crashes", "imad-boot crashes in the initramfs", "#!/bin/sh\nkill -SEGV $$\n").open("imad-boot"),
        boot_program("boot-fails", "imad-boot ends with an error in the initramfs and does nothing", "#!/bin/sh\nexit 1\n")
            .open("imad-boot"),
        boot_program("boot-hangs", "imad-boot hangs in the initramfs", "#!/bin/sh\nexec sleep infinity\n")
            .hereafter(|setup| setup.boot_timeout(Duration::from_secs(420)))
            .open("imad-boot"),
        boot_program("boot-damaged", "imad-boot is no program any more in the initramfs", "\u{7f}ELF").open("imad-boot"),
        done("daemon-missing", "the daemon's program is gone", "rm /usr/sbin/imad").armed("daemon: stopped"),
        daemon("daemon-crashes", "the daemon crashes whenever it is started", "[Service]\nExecStart=\nExecStart=/bin/sh -c 'kill -SEGV $$$$'\n")
            .armed("daemon: stopped"),
        daemon("daemon-hangs", "the daemon hangs whenever it is started", "[Service]\nType=simple\nExecStart=\nExecStart=/bin/sleep infinity\n")
            .armed("daemon: stopped"),
        done("daemon-masked", "the daemon is masked", "systemctl -q mask imad.service").armed("daemon: stopped"),
        done("check-masked", "the unit that shows /etc/ima again is masked", "systemctl -q mask imad-boot-check.service").armed(""),
        done("confirm-masked", "the unit that confirms a boot is masked", "systemctl -q mask imad-confirm.service").armed(""),
        done("configuration-damaged", "imad's configuration is cut off in a line", "printf '[boot\\n' >/etc/imad/imad.toml")
            .armed("/etc/imad/imad.toml")
            .checked(),
        done("configuration-unknown", "imad's configuration has a key that does not exist", "printf '[boot]\\ngourd = \"open\"\\n' >/etc/imad/imad.toml")
            .armed("gourd"),
        done("configuration-elsewhere", "imad's configuration names a policy that is not there", "printf '[policy]\\npath = \"/nowhere\"\\n' >/etc/imad/imad.toml")
            .open("no policy is loaded"),
        done(
            "older-state",
            "imad's state is of a version before this one",
            "cd /etc/imad/state; sed -i 's/\"version\": *[0-9]*/\"version\": 0/' trial.json; grep -q '\"version\": 0' trial.json",
        )
        .armed("version"),
        done(
            "newer-state",
            "imad's list of what the boot needs is of a version after this one",
            "sed -i '1s/1$/9/' /etc/imad/state/manifest; head -n 1 /etc/imad/state/manifest | grep -q 9",
        )
        .armed("manifest"),
        done(
            "no-journal",
            "the journal is masked",
            "systemctl -q mask systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket",
        )
        .armed(""),
        case("journal-on-a-full-disk", "the journal is kept on a disk that is full")
            .running(|guest| {
                root(guest, "mkdir -p /var/log/journal; sed -i s/volatile/persistent/ /etc/systemd/journald.conf.d/guest.conf");
                fill(guest);
            })
            .armed(""),
    ]
}

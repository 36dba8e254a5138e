//! Sabotages by packages: updates without signatures, transactions that do not come to their end. Debian's rpm has no `ima`
//! plugin, so nothing but the daemon labels what a package brings.
#![forbid(unsafe_code)]

use super::case::{Case, Kind};
use super::deeds::{install, python, root};
use crate::harness::Guest;

fn case(name: &str, what: &str) -> Case {
    Case::new(Kind::Packages, format!("packages-{name}"), what)
}

/// A transaction that is killed after so many seconds.
fn killed(guest: &Guest, package: &str, seconds: &str) {
    let program = "
import subprocess
rpm = subprocess.Popen(['rpm', '-U', '--replacepkgs', '--oldpackage', '--nodeps', '--noscripts', '--nosignature',
    '/srv/repo/base/%s.rpm' % sys.argv[1]])
try: rpm.wait(float(sys.argv[2]))
except subprocess.TimeoutExpired: rpm.kill()";
    python(guest, program, &[package, seconds]);
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("unsigned-systemd", "an update of systemd carries no file signatures")
            .running(|guest| install(guest, "systemd", false))
            .open("/usr/lib/systemd/")
            .controlled(),
        case("unsigned-glibc", "an update of the C library carries no file signatures")
            .running(|guest| install(guest, "libc6", false))
            .open("/usr/lib/x86_64-linux-gnu/")
            .controlled(),
        case("unsigned-bash", "an update of bash carries no file signatures")
            .running(|guest| install(guest, "bash", false))
            .open("/bin/bash")
            .controlled()
            .checked(),
        case("signed-glibc-unlabelled", "the C library is updated by a signed package, and nobody labels it")
            .running(|guest| {
                guest.sh("systemctl stop imad.service 2>/dev/null; systemctl mask --runtime imad.service").ok();
                install(guest, "libc6", true);
            })
            .open("/usr/lib/x86_64-linux-gnu/")
            .controlled(),
        case("foreign-hello", "a package signed by a key that is not trusted is installed, which the boot does not need")
            .running(|guest| root(guest, "rpm -i --nosignature /srv/repo/foreign/imad-hello-*.rpm"))
            .armed("")
            .controlled(),
        case("half-a-systemd", "an update of systemd is killed after two seconds")
            .running(|guest| killed(guest, "systemd", "2"))
            .either()
            .controlled(),
        case("half-a-glibc", "an update of the C library is killed after half a second")
            .running(|guest| killed(guest, "libc6", "0.5"))
            .either(),
        case("damaged-database", "the package database is cut in half")
            .running(|guest| root(guest, "systemctl stop imad; cd /var/lib/rpm; truncate -s $(($(stat -c %s rpmdb.sqlite) / 2)) rpmdb.sqlite"))
            .armed("rpm"),
        case("no-database", "the package database is gone")
            .running(|guest| root(guest, "rm -r /var/lib/rpm"))
            .armed("rpm"),
    ]
}

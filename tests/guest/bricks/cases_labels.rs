//! Sabotages of labels, and of what is under them.
#![forbid(unsafe_code)]

use super::case::{Case, Kind};
use super::deeds::{alter, python, relabel, root, sign_as, strip, strip_all};

const INIT: &str = "/usr/lib/systemd/systemd";
const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";

fn case(name: &str, what: impl Into<String>) -> Case {
    Case::new(Kind::Labels, format!("labels-{name}"), what)
}

/// A file without its label; the status names the file.
fn stripped(name: &str, file: &'static str, named: &str) -> Case {
    case(name, format!("`{file}` has no label any more")).running(move |guest| strip(guest, &[file])).open(named)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        stripped("init", INIT, INIT).controlled().checked(),
        stripped("executor", "/usr/lib/systemd/systemd-executor", "/usr/lib/systemd/systemd-executor").controlled(),
        stripped("loader", "/lib64/ld-linux-x86-64.so.2", "ld-linux-x86-64.so.2").controlled(),
        stripped("libc", LIBC, LIBC).controlled(),
        stripped("shell", "/bin/sh", "/bin/dash").controlled(),
        stripped("modprobe", "/usr/sbin/modprobe", "/bin/kmod").controlled(),
        stripped("agetty", "/usr/sbin/agetty", "/usr/sbin/agetty").controlled(),
        stripped("library", "/usr/lib/x86_64-linux-gnu/libmount.so.1", "libmount.so.1").controlled(),
        stripped("pam", "/usr/lib/x86_64-linux-gnu/security/pam_unix.so", "pam_unix.so").controlled(),
        stripped("journald", "/usr/lib/systemd/systemd-journald", "systemd-journald"),
        stripped("udevd", "/usr/bin/udevadm", "/usr/bin/udevadm"),
        stripped("dbus", "/usr/bin/dbus-daemon", "/usr/bin/dbus-daemon"),
        case("all", "no file has a label any more")
            .running(|guest| strip_all(guest, "/"))
            .open("it is not signed by a key of the .ima keyring")
            .controlled(),
        case("all-libraries", "no file below /usr/lib has a label any more")
            .running(|guest| strip_all(guest, "/usr/lib"))
            .open("/usr/lib/")
            .controlled(),
        case("garbage", "libc's label is three bytes that mean nothing")
            .running(|guest| relabel(guest, LIBC, &[3, 2, 4]))
            .open(LIBC)
            .controlled(),
        case("foreign", "PID 1 is signed by a key that the kernel does not trust")
            .running(|guest| sign_as(guest, INIT, "foreign"))
            .open(INIT)
            .controlled(),
        case("of-another-file", "the shell has the label of another program")
            .running(|guest| {
                let program = "os.setxattr(os.path.realpath('/bin/sh'), 'security.ima', os.getxattr('/usr/bin/true', 'security.ima'))";
                python(guest, program, &[]);
            })
            .open("/bin/dash")
            .controlled(),
        case("longer-file", "one byte more is at the end of libmount, under its old label")
            .running(|guest| alter(guest, "/usr/lib/x86_64-linux-gnu/libmount.so.1", "data + b'!'"))
            .open("libmount.so.1")
            .controlled(),
        case("changed-file", "one letter of the shell's messages is another, under its old label, size and times")
            .running(|guest| alter(guest, "/bin/sh", "data.replace(b'not found', b'not fOund', 1)"))
            .open("/bin/dash")
            .controlled(),
        case("touched-file", "the journal's program has another modification time, and nothing else")
            .running(|guest| root(guest, "touch -d 2001-01-01 /usr/lib/systemd/systemd-journald"))
            .armed(""),
    ]
}

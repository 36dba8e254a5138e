//! What a boot, a rescue and a shutdown need on every machine, whatever its units say.
#![forbid(unsafe_code)]

use super::collection::{Collection, PROGRAM_FOLDERS};

/// Init, as the kernel looks for it (`init/main.c: kernel_init()`), and as initramfs images start it.
const INIT: [&str; 2] = ["/sbin/init", "/usr/lib/systemd/systemd"];
/// What starts every service since systemd 255.
const EXECUTOR: &str = "/usr/lib/systemd/systemd-executor";
const SHELL: &str = "/bin/sh";

/// Programs by name, of which a machine has those that it has.
const PROGRAMS: [(&str, &[&str]); 8] = [
    ("the rescue shell", &["sulogin", "bash", "systemd-tty-ask-password-agent"]),
    ("a login", &["agetty", "getty", "login", "su", "sudo"]),
    ("the service manager", &["systemctl", "udevadm", "dbus-daemon", "dbus-broker", "dbus-broker-launch"]),
    ("the kernel's modules", &["kmod", "modprobe", "insmod"]),
    ("file systems", &["mount", "umount", "swapon", "swapoff", "fsck", "cryptsetup", "lvm", "dmsetup", "mdadm"]),
    ("a shutdown", &["poweroff", "reboot", "halt", "shutdown", "telinit"]),
    ("imad", &["imad", "imactl"]),
    ("a login by ssh", &["sshd"]),
];
/// Programs of `/usr/lib/systemd`.
const SYSTEMD: [&str; 12] = [
    "systemd-sulogin-shell",
    "systemd-journald",
    "systemd-udevd",
    "systemd-logind",
    "systemd-shutdown",
    "systemd-fsck",
    "systemd-remount-fs",
    "systemd-cryptsetup",
    "systemd-modules-load",
    "systemd-reply-password",
    "systemd-cgroups-agent",
    "systemd-user-runtime-dir",
];
/// Folders of which every program may be executed.
const FOLDERS: [(&str, &str); 6] = [
    ("/usr/lib/imad", "imad"),
    ("/usr/lib/systemd/system-shutdown", "a shutdown"),
    ("/usr/libexec/openssh", "a login by ssh"),
    ("/usr/lib/openssh", "a login by ssh"),
    ("/usr/lib/ssh", "a login by ssh"),
    ("/etc/update-motd.d", "a login"),
];
/// Generators (systemd.generator(7), systemd.environment-generator(7)); of the same name the first folder's counts.
const GENERATORS: [&str; 4] =
    ["system-generators", "system-environment-generators", "user-generators", "user-environment-generators"];
const GENERATORS_IN: [&str; 4] = ["/run/systemd", "/etc/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// The core: without it not even a rescue shell starts.
pub(super) fn core(found: &mut Collection<'_>) {
    let tree = &found.tree;
    let inits: Vec<&str> = INIT.into_iter().filter(|init| tree.real(init.as_bytes()).is_some()).collect();
    let has_executor = tree.real(EXECUTOR.as_bytes()).is_some();
    for init in if inits.is_empty() { INIT[..1].to_vec() } else { inits } {
        found.core(init.as_bytes(), "init");
    }
    if has_executor {
        found.core(EXECUTOR.as_bytes(), "init starts services by it");
    }
    found.core(SHELL.as_bytes(), "the shell");
}

/// The rest.
pub(super) fn gather(found: &mut Collection<'_>) {
    for (why, names) in PROGRAMS {
        for name in names {
            found.program(name.as_bytes(), &[], why);
        }
    }
    for name in SYSTEMD {
        found.execute(&[b"/usr/lib/systemd/", name.as_bytes()].concat(), "the service manager");
    }
    for folder in PROGRAM_FOLDERS {
        let names = found.tree.names(folder.as_bytes());
        for name in names.into_iter().filter(|name| name.starts_with(b"fsck.")) {
            found.execute(&[folder.as_bytes(), b"/", &name].concat(), "file systems");
        }
    }
    for (folder, why) in FOLDERS {
        for name in found.tree.names(folder.as_bytes()) {
            found.execute(&[folder.as_bytes(), b"/", &name].concat(), why);
        }
    }
    for kind in GENERATORS {
        let first = usize::from(!found.tree.root.is_running());
        let folders: Vec<String> = GENERATORS_IN.iter().skip(first).map(|folder| format!("{folder}/{kind}")).collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        for path in found.tree.layered(&folders, b"") {
            found.execute(&path, "a generator of units");
        }
    }
    system_v(found);
}

/// Scripts that systemd-sysv-generator and systemd-rc-local-generator make services of.
fn system_v(found: &mut Collection<'_>) {
    for folder in ["/etc/rc.d", "/etc"] {
        for level in ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"] {
            let folder = format!("{folder}/{level}");
            for name in found.tree.names(folder.as_bytes()).into_iter().filter(|name| name.starts_with(b"S")) {
                found.execute(&[folder.as_bytes(), b"/", &name].concat(), "a script of System V's init");
            }
        }
        found.execute(format!("{folder}/rc.local").as_bytes(), "a script of System V's init");
    }
}

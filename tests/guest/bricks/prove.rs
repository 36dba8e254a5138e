//! What is asked of a machine that has booted: is there a login, is the policy in force, what does the status say?
#![forbid(unsafe_code)]

use std::thread;
use std::time::{Duration, Instant};

use imad::model::report::Status;

use crate::harness::{Guest, Kind, Need, Output, Setup, Shared};
use crate::system::{boot_report, in_haste, key_file, label, settled, wait};

/// Who asks: root, and a user who is nobody in particular.
const USERS: [&str; 2] = ["root", "nobody"];
/// The console on which a login waits.
const GETTY: &str = "serial-getty@ttyS0.service";
/// A copy of a program, without a label, on the root's file system.
const UNLABELLED: &str = "/opt/bricks/unlabelled";
/// Another on a tmpfs.
const ON_TMPFS: &str = "/tmp/bricks-unlabelled";
/// The program that is copied.
const PROGRAM: &str = "/usr/bin/true";
/// How long a command may take on an emulated machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machines that cases begin with.
pub(super) struct Machine {
    setup: fn() -> Setup,
    uml: Shared,
    qemu: Shared,
}

impl Machine {
    const fn new(setup: fn() -> Setup, qemu: fn() -> Setup, name: &'static str, ready: fn(&Guest)) -> Self {
        Self { setup, uml: Shared::new(setup).once(name, ready), qemu: Shared::new(qemu).once(name, ready) }
    }

    /// A copy that can be changed so, and what runs it.
    pub(super) fn guest(&self, change: impl FnOnce(Setup) -> Setup) -> Guest {
        match change((self.setup)()).kind() {
            Kind::Uml => self.uml.guest(),
            Kind::Qemu => self.qemu.guest(),
        }
    }
}

/// Booted under the strict policy, and confirmed.
pub(super) static ARMED: Machine =
    Machine::new(machine, || machine().needs(Need::Qemu), "armed and confirmed with a manifest", confirmed);

/// The same without imad: dracut's `integrity` module loads the certificate, systemd the policy.
pub(super) static CONTROL: Machine = Machine::new(
    control,
    || control().needs(Need::Qemu),
    "armed",
    |guest| {
        unlabelled_copy(guest);
        assert_eq!(armed(guest), Ok(true));
    },
);

fn with_getty(setup: Setup) -> Setup {
    let wants = "/etc/systemd/system/multi-user.target.wants";
    let setup = setup.directory(wants, 0o755);
    setup.symlink(&format!("{wants}/{GETTY}"), "/usr/lib/systemd/system/serial-getty@.service")
}

fn machine() -> Setup {
    with_getty(in_haste(Setup::trusted()))
}

fn control() -> Setup {
    let images = crate::harness::Images::load();
    let policy = crate::system::STRICT;
    with_getty(Setup::base())
        .disk(images.repo().join("repo.img"))
        .initrd(images.control().join("initrd-integrity.img"))
        .file("/etc/keys/ima/ima.der", key_file("ima.der"), 0o644)
        .file(crate::system::POLICY, policy, 0o644)
        .xattr(crate::system::POLICY, "security.ima", label(policy.as_bytes(), "ima"))
}

fn unlabelled_copy(guest: &Guest) {
    guest.sh(&format!("mkdir -p /opt/bricks && cp {PROGRAM} {UNLABELLED} && chmod 755 {UNLABELLED} && sync")).ok();
}

/// Has the manifest made, waits until a boot with it is confirmed, and checks that what the cases take for granted is so.
fn confirmed(guest: &Guest) {
    unlabelled_copy(guest);
    settled(guest);
    guest.run(&["imactl", "check", "--next-boot"]).ok();
    guest.reboot();
    let state = ["systemctl", "show", "-P", "ActiveState", "imad-confirm.service"];
    wait(guest, Duration::from_secs(300), "the boot to be confirmed", || {
        Some(guest.run(&state).text()).filter(|state| state == "active")
    });
    assert!(boot_report(guest).guard.is_some_and(|guard| guard.manifest.is_some_and(|files| files > 100)));
    wait(guest, PATIENCE, "a login", || login(guest).ok());
    assert_eq!(armed(guest), Ok(true));
    let said = said(guest).unwrap();
    assert!(said[0].starts_with("Protected: "), "{said:?}");
    guest.run(&["sync"]).ok();
}

/// Runs a command, and says in words why it did not come to its end.
fn run(guest: &Guest, user: &str, words: &[&str]) -> Result<Output, String> {
    let output = guest.command(words).user(user).timeout(PATIENCE).try_output();
    output.map_err(|failure| failure.to_string().lines().next().unwrap_or_default().to_owned())
}

fn succeeds(guest: &Guest, user: &str, words: &[&str]) -> Result<String, String> {
    let output = run(guest, user, words)?;
    if output.success() {
        return Ok(output.stdout.trim_end().to_owned());
    }
    let errors = output.stderr.lines().last().unwrap_or_default();
    Err(format!("{words:?} as {user}: {:?} {}{errors}", output.status, output.stdout.trim_end()))
}

/// Whether one can log in: a getty waits, a session of root's and of another user's opens (PAM and its modules
/// included), and a shell runs in it.
pub(super) fn login(guest: &Guest) -> Result<(), String> {
    let hello = guest.try_hello().map_err(|failure| failure.to_string())?;
    if hello.initramfs {
        return Err("it is still in the initramfs".to_owned());
    }
    let getty = run(guest, "root", &["systemctl", "is-active", GETTY])?;
    if getty.stdout.trim_end() != "active" {
        return Err(format!("{GETTY} is {}", getty.stdout.trim_end()));
    }
    for user in USERS {
        let name = succeeds(guest, user, &["/bin/sh", "-c", "id -un"])?;
        let session = succeeds(guest, "root", &["su", "-s", "/bin/sh", "-c", "id -un", user])?;
        if name != user || session != user {
            return Err(format!("a shell of {user} says it is {name}, a session {session}"));
        }
    }
    Ok(())
}

/// Asks for a login until there is one, or the time is over.
pub(super) fn login_within(guest: &Guest, limit: Duration) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match login(guest) {
            Err(why) if begun.elapsed() > limit => return Err(why),
            Err(_) => thread::sleep(Duration::from_millis(500)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Whether the policy is in force: unlabelled programs, on the root's file system and on a tmpfs, are denied as root and
/// as another user, and labelled ones run. An error where some of it is so and some is not.
pub(super) fn armed(guest: &Guest) -> Result<bool, String> {
    let copy = format!("cp {PROGRAM} {ON_TMPFS} && chmod 755 {ON_TMPFS} && stat -f -c %T {ON_TMPFS}");
    let file_system = succeeds(guest, "root", &["sh", "-c", &copy])?;
    if file_system != "tmpfs" {
        return Err(format!("{ON_TMPFS} lies on {file_system}"));
    }
    let mut ran = Vec::new();
    let mut denied = Vec::new();
    for user in USERS {
        succeeds(guest, user, &[PROGRAM])?;
        for path in [UNLABELLED, ON_TMPFS] {
            let output = run(guest, user, &[path])?;
            let list = match (output.success(), output.denied()) {
                (true, _) => &mut ran,
                (false, true) => &mut denied,
                (false, false) => return Err(format!("{path} as {user}: {:?} {}", output.status, output.stderr)),
            };
            list.push(format!("{path} as {user}"));
        }
    }
    match (ran.is_empty(), denied.is_empty()) {
        (true, false) => Ok(true),
        (false, true) => Ok(false),
        _ => Err(format!("half of it is in force: {} ran, {} was denied", ran.join(", "), denied.join(", "))),
    }
}

/// What `imactl status` says: the summary first, then each problem, then how the daemon is.
pub(super) fn said(guest: &Guest) -> Result<Vec<String>, String> {
    let text = run(guest, "root", &["imactl", "--json", "status"])?.stdout;
    let status: Status = serde_json::from_str(&text).map_err(|error| format!("imactl status: {error}: {text}"))?;
    let problems = status.problems.iter().map(|problem| format!("{}. Next: {}", problem.what, problem.next));
    let daemon = format!("daemon: {}", status.daemon);
    Ok([status.summary].into_iter().chain(problems).chain([daemon]).collect())
}

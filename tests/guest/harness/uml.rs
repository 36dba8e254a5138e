//! User-mode Linux: the kernel as a program of the host's, and the guest's programs at the processor's own speed.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::machine::{CONSOLE, LOG, Parts, appended, bound, spawn, text};
use super::qmp::Qmp;

/// What a guest's disks are called in it.
pub(super) fn device(number: usize) -> String {
    format!("/dev/ubd{}", super::setup::letter(number))
}

/// Words for the kernel: the console is the first serial line and the agent has the second.
pub(super) const WORDS: [&str; 2] = ["console=ttyS0", "guest.agent=ttyS1"];

/// The process is the first but one of a name space of processes: when the shell before it is killed, or ends, the kernel
/// kills all that are left, among them those in which the guest's programs run. (A first process is deaf to the signal
/// with which a kernel that has panicked ends itself.) The shell opens what the console reads: a line on which nobody
/// ever types.
const FIRST: &str = r#"exec 3<>"$1"; shift; "$@"; exit $?"#;
/// The console's other end.
const KEYBOARD: &str = "keyboard";

/// Starts the kernel on the disks `disk0`, `disk1`, … of a guest's folder, which it makes where they are not there yet.
pub(super) fn start(parts: &Parts) -> Result<(Child, UnixStream, Option<Qmp>), String> {
    let Parts { setup, folder, images, processor } = parts;
    let keyboard = folder.join(KEYBOARD);
    if !keyboard.exists() {
        mknodat(CWD, &keyboard, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|error| error.to_string())?;
    }
    // A guest's programs are processes that the kernel's process runs by turns, each waiting for the other: on one
    // processor a boot takes three quarters of the time.
    let mut command = bound("taskset");
    command.args(["--cpu-list", &processor.to_string(), "unshare"]);
    command.args(["--pid", "--fork", "--kill-child", "--"]);
    if let Some(link) = &setup.link {
        command.args(["nsenter", &format!("--net={}", link.name_space()), "--"]);
    }
    command.args(["sh", "-c", FIRST, "sh"]).arg(&keyboard).arg(setup.kernel_file());
    command.args([format!("mem={}M", setup.memory), format!("uml_dir={}", text(folder)?)]);
    // Input and output of the first line; the second is a socket.
    command.args(["con=null", "ssl=null", "ssl0=fd:3,fd:1", "ssl1=fd:0"]);
    for (number, image) in images.iter().enumerate() {
        // Shared with others, which is to say: it locks no file that QEMU may want to read meanwhile.
        command.arg(format!("ubd{number}c={},{}", text(&folder.join(format!("disk{number}")))?, text(image)?));
    }
    if let Some(initrd) = &setup.initrd {
        command.arg(format!("initrd={}", text(initrd)?));
    }
    if let Some(link) = &setup.link {
        command.arg(format!("vec0:transport=tap,ifname={},depth=128,gro=0,mac={}", link.interface(), link.mac()));
    }
    command.args(setup.words(&device(0), &WORDS).split_whitespace());
    // Its memory is a file of its own in $TMPDIR; a tmpfs spares the disk.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", "/dev/shm");
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(appended(folder, CONSOLE)?).stderr(appended(folder, LOG)?);
    Ok((spawn(command)?, ours, None))
}

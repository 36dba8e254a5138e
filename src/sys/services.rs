//! What systemd says of its units, by systemctl(1), which speaks to PID 1 without the bus where it may.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// A unit's `ActiveState`.
pub fn active_state(unit: &str) -> io::Result<String> {
    Ok(systemctl(&["show", "--property=ActiveState", "--value", "--", unit])?.trim().to_owned())
}

/// Properties of units, as `systemctl show` prints them: a block each, in the order asked for.
pub fn show(units: &[String]) -> io::Result<String> {
    if units.is_empty() {
        return Ok(String::new());
    }
    let mut arguments = vec!["show", "--property=ActiveState,LoadState,UnitFileState,MainPID", "--"];
    arguments.extend(units.iter().map(String::as_str));
    systemctl(&arguments)
}

/// Whether a unit of a root is enabled, from its files alone: a word of `systemctl is-enabled`, e.g. `enabled`, `static`,
/// `masked` or `not-found`.
pub fn unit_file_state(root: &Path, unit: &str) -> io::Result<String> {
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("--root").arg(root).args(["is-enabled", "--", unit]).env("LC_ALL", "C").stdin(Stdio::null());
    // Its exit status says whether the unit is enabled, too.
    let output = systemctl.output()?;
    let (word, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match word.trim() {
        // Before systemd 253 it had no word for that.
        "" if why.contains("No such file or directory") => Ok("not-found".to_owned()),
        "" => Err(io::Error::other(format!("systemctl is-enabled {unit}: {}", why.trim()))),
        word => Ok(word.to_owned()),
    }
}

/// Every loaded service and socket, as `systemctl list-units` prints them.
pub fn list() -> io::Result<String> {
    systemctl(&["list-units", "--type=service,socket", "--all", "--plain", "--no-legend", "--full"])
}

/// The name of a process (`/proc/PID/comm`); `None` where it is gone.
pub fn name_of_process(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()
}

fn systemctl(arguments: &[&str]) -> io::Result<String> {
    let output =
        Command::new("systemctl").arg("--no-pager").args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("systemctl {}: {}", arguments.first().unwrap_or(&""), why.trim())))
    }
}

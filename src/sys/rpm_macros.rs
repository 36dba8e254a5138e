//! The macros of this system's rpm, expanded by rpm itself (rpm(8), `--eval`).
#![forbid(unsafe_code)]

use std::io;
use std::process::{Command, Stdio};

/// What an expression expands to, as root's rpm would have it; `NotFound` where there is no rpm.
pub fn expand(expression: &str) -> io::Result<String> {
    let mut rpm = Command::new("rpm");
    rpm.args(["--eval", expression]).env("LC_ALL", "C").stdin(Stdio::null());
    let output = rpm.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("rpm --eval {expression}: {}: {}", output.status, why.trim())))
}

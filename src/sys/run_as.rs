//! A program run as another user.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

/// Runs a program without arguments as this user and group, without further groups, and waits for it.
pub fn run(program: &str, uid: u32, gid: u32) -> io::Result<ExitStatus> {
    let null = Stdio::null;
    Command::new(program)
        .uid(uid)
        .gid(gid)
        .current_dir("/")
        .env_clear()
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .status()
}

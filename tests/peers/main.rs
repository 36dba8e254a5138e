//! Ring 1: evmctl, openssl and rpm say what is right.
//!
//! Needs root (labels are `security.*` attributes) and the packages of tests/packages.txt; what is missing fails the
//! test and is named.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]

mod evmctl;
mod rpm;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder for a test on the checkout's own file system, which keeps `security.ima`; /tmp may be a tmpfs.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The folder with the test keys, made on first use.
fn keys() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/images/keys.sh");
    let output = run(Command::new(script));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Runs a command that must be there; its exit status is the caller's affair.
fn output(mut command: Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install the packages of tests/packages.txt"))
}

/// Runs a command that must succeed.
fn run(command: Command) -> Output {
    let shown = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

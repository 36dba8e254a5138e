//! What the rings without a guest ask of the machine that they run on: folders, keys, programs.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder for a test on the checkout's own file system, which keeps `security.ima`; /tmp may be a tmpfs.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The folder with the test keys, made on first use.
pub(crate) fn keys() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/images/keys.sh");
    let output = run(Command::new(script));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Signs a file with the test key of this name, by evmctl: its `security.ima`.
pub(crate) fn sign(file: &Path, name: &str) {
    let key = |kind: &str| keys().join(format!("{name}.{kind}"));
    let mut evmctl = Command::new("evmctl");
    evmctl.args(["ima_sign", "--hashalgo", "sha256", "--key"]).arg(key("key"));
    evmctl.arg("--keyid-from-cert").arg(key("pem")).arg(file);
    run(evmctl);
}

/// An example program of this package, which `cargo test` has built.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}

/// Runs a command that must be there; its exit status is the caller's affair.
pub(crate) fn output(mut command: Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install the packages of tests/packages.txt"))
}

/// Runs a command that must succeed.
pub(crate) fn run(command: Command) -> Output {
    let shown = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

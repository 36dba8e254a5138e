//! `ima-add-sigs`: imactl under the name of the script that distributions ship in ima-evm-utils, with that script's flags
//! and messages.
//!
//! What it does better: a label that verifies is kept, whoever signed it (the script overwrites first and then removes what
//! one certificate does not verify); a signature is written only after it verified; packages are reinstalled for want of
//! file signatures, not of the header signature that the script counts, and only those that want them.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cli::exit::{Answer, Failure};
use crate::cli::target::{Target, failure, who};
use crate::cli::{progress, render};
use crate::model::cert::Certificate;
use crate::model::plan::State;
use crate::model::report::FileReport;
use crate::ops::labels::{PackageLabels, RunError, Selection};
use crate::sys::root::Root;

/// The script's name.
pub(super) const NAME: &str = "ima-add-sigs";

/// Packages without file signatures from which on packages are reinstalled, where none is named.
pub(super) const THRESHOLD: usize = 20;

const USAGE: &str = "\
Add IMA signatures to installed packages.
usage: ima-add-sigs [--package=NAME|ALL] [--ima_cert=FILE] [--reinstall_threshold=NUMBER]

       --package              only the files of this package; it is installed where it is not
       --ima_cert             trust this certificate (DER or PEM) beside those of /etc/keys/ima; also --ima-cert
       --reinstall_threshold  reinstall packages that bring no file signatures where there are so many of them
                              (20; 1 for a package that is named)";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    package: Option<String>,
    certificate: Option<OsString>,
    threshold: Option<usize>,
}

/// Reads the script's flags, which take their values by `=` only. An empty value is as good as none.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Asked> {
    let mut asked = Asked::default();
    for argument in arguments {
        let bytes = argument.as_bytes();
        let at = bytes.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (bytes.get(..at)?, OsStr::from_bytes(bytes.get(at + 1..)?));
        let given = !value.is_empty();
        match name {
            b"--package" => asked.package = Some(value.to_str()?.to_owned()).filter(|name| given && name != "ALL"),
            b"--ima_cert" | b"--ima-cert" => asked.certificate = given.then(|| value.to_owned()),
            b"--reinstall_threshold" if given => asked.threshold = Some(value.to_str()?.parse().ok()?),
            b"--reinstall_threshold" => asked.threshold = None,
            _ => return None,
        }
    }
    Some(asked)
}

/// The program.
pub(super) fn main(arguments: Vec<OsString>) -> ExitCode {
    super::carry_out(parse(arguments), USAGE, run)
}

fn run(asked: &Asked) -> Result<Answer, Failure> {
    let root = Root::running().map_err(|error| Failure::system(format!("/: {error}"), ""))?;
    let mut target = Target::of(root);
    if let Some(path) = &asked.certificate {
        target.keys.trust.insert(certificate(Path::new(path))?);
    }
    if target.keys.trust.is_empty() {
        return Err(Failure::input("Failed to get system IMA code verification key", "put it into /etc/keys/ima"));
    }
    let who = who(NAME);
    let selection = asked.package.clone().map_or(Selection::All, |package| Selection::Packages(vec![package]));
    let (report, packages) = match (progress::run_by_package(&target.request(&selection, Some(&who))), &asked.package) {
        (Err(RunError::NoSuchPackage(_)), Some(package)) => return dnf(&["install", package, "-yq"]),
        (result, _) => result.map_err(|error| failure(&error))?,
    };
    say(&report.files)?;
    let unsigned: Vec<String> =
        packages.iter().filter(|package| is_unsigned(package)).map(|p| p.name.clone()).collect();
    let threshold = asked.threshold.unwrap_or(if asked.package.is_some() { 1 } else { THRESHOLD });
    if unsigned.is_empty() || unsigned.len() < threshold {
        return Ok(Answer::Yes);
    }
    let names: Vec<&str> = unsigned.iter().map(String::as_str).collect();
    let answer = dnf(&[&["reinstall"], &names[..], &["-yq"]].concat())?;
    let again = progress::run_by_package(&target.request(&Selection::Packages(unsigned), Some(&who)));
    say(&again.map_err(|error| failure(&error))?.0.files)?;
    Ok(answer)
}

fn certificate(path: &Path) -> Result<Certificate, Failure> {
    let failed =
        |error: String| Failure::input(format!("{}: {error}", path.display()), "name a certificate, DER or PEM");
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    Certificate::parse(&bytes).map_err(|error| failed(error.to_string()))
}

/// Whether a package brings no signature for any of its files.
fn is_unsigned(package: &PackageLabels) -> bool {
    let of = |state| package.by_state.get(&state).copied().unwrap_or(0);
    of(State::Unsigned) > 0 && of(State::Good) == 0
}

/// The script's messages. It leaves these folders alone, whose files are made anew on each machine.
fn say(files: &[FileReport]) -> Result<(), Failure> {
    const SKIPPED: [&str; 3] = ["/boot/efi/EFI/", "/usr/share/mime/", "/etc/pki/ca-trust/extracted/"];
    for file in files.iter().filter(|file| !SKIPPED.iter().any(|folder| file.path.starts_with(folder))) {
        match file.state {
            State::Missing | State::Stale | State::Hash | State::Immutable => {
                render::print(&format!("Failed to add IMA sig for {}", file.path))?;
            }
            State::Modified | State::UntrustedKey => render::print(&format!("Failed to verify {}", file.path))?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn dnf(arguments: &[&str]) -> Result<Answer, Failure> {
    let status = Command::new("dnf").args(arguments).stdout(std::process::Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(Answer::Yes),
        Ok(status) => Err(Failure::system(format!("dnf {}: {status}", arguments.join(" ")), "")),
        Err(error) => Err(Failure::system(format!("dnf: {error}"), "install dnf")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Option<Asked> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_scripts_flags_are_taken() {
        assert_eq!(parsed(&[]), Some(Asked::default()));
        assert_eq!(parsed(&["--package=ALL", "--reinstall_threshold="]), Some(Asked::default()));
        let both = ["--package=bash", "--ima_cert=/c.der", "--reinstall_threshold=3"];
        let asked = Asked { package: Some("bash".into()), certificate: Some("/c.der".into()), threshold: Some(3) };
        assert_eq!(parsed(&both), Some(asked));
        assert_eq!(parsed(&["--ima-cert=/c.der"]).unwrap().certificate, Some("/c.der".into()));
        for wrong in ["--help", "--package", "bash", "--reinstall_threshold=x", "--unknown=1"] {
            assert_eq!(parsed(&[wrong]), None, "{wrong}");
        }
    }
}

//! `ima-setup`: imactl under the name of the script that distributions ship in ima-evm-utils, with that script's flags and
//! messages: labels, certificates into the running kernel, images of the initramfs, the policy into the running kernel and
//! to where the next boot finds it.
//!
//! What it does better: it asks first whether the policy would deny what runs, what a login or the next boot needs; it
//! believes a load only when it was verified; a policy that is loaded is not loaded again; and `imactl teardown` undoes it.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use super::add_sigs::{THRESHOLD, dnf};
use crate::cli::exit::{Answer, Failure};
use crate::cli::render;
use crate::cli::target::who;
use crate::model::report::Problem;
use crate::model::setup::{SetupReport, StepOutcome};
use crate::ops::doctor::unsigned;
use crate::ops::labels::Progress;
use crate::ops::setup::{Request, setup_telling};
use crate::sys::root::Root;

/// The script's name.
pub(super) const NAME: &str = "ima-setup";
/// What ostree leaves on a system that it booted (ostree-prepare-root(1)).
const OSTREE: &str = "/run/ostree-booted";

const USAGE: &str = "\
Set up IMA.
usage: ima-setup --policy=FILE [--reinstall_threshold=NUMBER] [--force]

       --policy               the policy that is loaded now and at every boot: one of /usr/share/ima/policies or
                              /usr/share/imad/policies, or your own
       --reinstall_threshold  reinstall packages that bring no file signatures where there are so many of them (20)
       --force                load it even where it denies what runs or what the next boot needs";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    policy: String,
    threshold: Option<usize>,
    force: bool,
}

/// Reads the script's flags. It takes their values by `=` only; here they may stand behind a blank too.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Asked> {
    let mut asked = Asked::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--force" {
            asked.force = true;
            continue;
        }
        let bytes = argument.as_bytes();
        let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
            Some(at) => (bytes.get(..at)?, OsStr::from_bytes(bytes.get(at + 1..)?).to_owned()),
            None if [&b"--policy"[..], b"--reinstall_threshold"].contains(&bytes) => (bytes, arguments.next()?),
            None => return None,
        };
        let value = value.to_str()?;
        match name {
            b"--policy" => value.clone_into(&mut asked.policy),
            b"--reinstall_threshold" if value.is_empty() => asked.threshold = None,
            b"--reinstall_threshold" => asked.threshold = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    (!asked.policy.is_empty()).then_some(asked)
}

/// The program.
pub(super) fn main(arguments: Vec<OsString>) -> ExitCode {
    super::carry_out(parse(arguments), USAGE, run)
}

fn run(asked: &Asked) -> Result<Answer, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::system("only root can load a policy", "run it as root"));
    }
    let root = Root::running().map_err(|error| Failure::system(format!("/: {error}"), ""))?;
    let Some(policy) = policy(&asked.policy) else {
        render::print(&format!("{} doesn't exist", asked.policy))?;
        return Ok(Answer::No);
    };
    if root.exists(OSTREE) {
        render::print("You are using OSTree, please enable IMA signatures as part of the OSTree creation process.")?;
    } else {
        render::print("Adding IMA signatures to installed package files")?;
        if let Err(failure) = reinstall(&root, asked.threshold.unwrap_or(THRESHOLD)) {
            failure.say();
            render::print("Failed to add IMA signatures, abort")?;
            return Ok(Answer::No);
        }
    }
    let who = who(NAME);
    let request = Request {
        root: &root,
        policy: &policy,
        certificates: &[],
        dry_run: false,
        force: asked.force,
        now: true,
        who: &who,
    };
    let begins = |step: &str| {
        if step == "keyring" {
            // A reader that went away does not stop it.
            render::print("Loading IMA keys").unwrap_or_default();
        }
    };
    let report = setup_telling(&request, &Progress::default(), &begins);
    say(&report, &asked.policy)?;
    Ok(if report.complete { Answer::Yes } else { Answer::No })
}

/// The policy as setup takes it: a name, or an absolute path; `None` where there is no such file.
fn policy(asked: &str) -> Option<String> {
    let path = Path::new(asked);
    if path.is_file() {
        return std::path::absolute(path).ok()?.to_str().map(str::to_owned);
    }
    // Of a name that nobody has, setup tells which there are.
    (!asked.contains('/')).then(|| asked.to_owned())
}

/// Installs packages anew that bring no file signatures, where there are so many of them.
fn reinstall(root: &Root, threshold: usize) -> Result<(), Failure> {
    let packages = unsigned(root).map_err(|error| Failure::system(error.to_string(), error.next_step()))?.unsigned;
    if packages.is_empty() || packages.len() < threshold {
        return Ok(());
    }
    let mut names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    names.dedup();
    dnf(&[&["reinstall"], &names[..], &["-yq"]].concat()).map(|_| ())
}

/// What was done, and what says no.
fn say(report: &SetupReport, policy: &str) -> Result<(), Failure> {
    for step in &report.steps {
        for Problem { what, next } in &step.problems {
            eprintln!("{NAME}: {what}\nNext: {next}");
        }
        match step.outcome {
            StepOutcome::Done => render::print(&step.what)?,
            StepOutcome::Forced => render::print(&format!("{}; forced", step.what))?,
            StepOutcome::Refused => {
                if step.problems.is_empty() {
                    eprintln!("{NAME}: {}", step.what);
                }
                render::print(&failed(&step.name, policy))?;
            }
            StepOutcome::Already | StepOutcome::Would | StepOutcome::Skipped => {}
        }
    }
    render::print(&report.next_reboot)
}

/// The script's words for a step that failed.
fn failed(step: &str, policy: &str) -> String {
    match step {
        "labels" => "Failed to add IMA signatures, abort".to_owned(),
        "keys" | "keyring" => "No IMA key loaded".to_owned(),
        "images" => "Failed to regenerate the initramfs images".to_owned(),
        _ => format!("Failed to load IMA policy {policy}!"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Option<Asked> {
        parse(arguments.iter().map(OsString::from))
    }

    fn asked(policy: &str, threshold: Option<usize>, force: bool) -> Asked {
        Asked { policy: policy.to_owned(), threshold, force }
    }

    #[test]
    fn the_scripts_flags_are_taken() {
        assert_eq!(parsed(&["--policy=/p"]), Some(asked("/p", None, false)));
        assert_eq!(parsed(&["--policy=/p", "--reinstall_threshold=3"]), Some(asked("/p", Some(3), false)));
        assert_eq!(parsed(&["--reinstall_threshold=", "--policy=/a=b"]), Some(asked("/a=b", None, false)));
        assert_eq!(parsed(&["--policy", "/p", "--force"]), Some(asked("/p", None, true)));
        assert_eq!(
            parsed(&["--policy=/a", "--reinstall_threshold", "0", "--policy=/b"]),
            Some(asked("/b", Some(0), false))
        );
    }

    #[test]
    fn what_the_script_does_not_know_is_answered_by_its_usage() {
        for wrong in [
            &[][..],
            &["--help"],
            &["/p"],
            &["--policy"],
            &["--policy="],
            &["--policy=/p", "--unknown=1"],
            &["--policy=/p", "--reinstall_threshold=many"],
            &["--policy=/p", "--reinstall_threshold=-1"],
            &["--reinstall_threshold=3"],
        ] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_policy_is_a_file_or_a_name() {
        assert_eq!(policy("Cargo.toml"), Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned()));
        assert_eq!(policy("01-appraise"), Some("01-appraise".to_owned()));
        assert_eq!(policy("/usr/share/ima/policies/none"), None);
    }
}

//! A rehearsal of a policy: asked of the next boot, taken by it, reported after it.
#![forbid(unsafe_code)]

mod arming;
mod report;
mod used;

use std::io;

pub use arming::{Ask, arm, cancel};
pub use report::report;

use super::{lasting, record};
use crate::model::rehearsal::{ARMED, POLICY, RehearsalReport, RehearsalStatus, Request, TAKEN};
use crate::model::report::{BootReport, Problem, VERSION};
use crate::model::trial::Sum;
use crate::sys::kept;
use crate::sys::root::Root;

/// The report, in `/var/lib/imad`.
const FILE: &str = "rehearsal.json";
/// No request is longer.
const LIMIT: u64 = 1 << 16;
/// No policy is longer.
const POLICY_LIMIT: u64 = 1 << 22;
/// The command that asks for one.
const ASK: &str = "imactl rehearse --policy NAME";

/// What is asked of the next boot; `None` where nothing is.
pub fn armed(root: &Root) -> Result<Option<Request>, Problem> {
    request(root, ARMED)
}

/// What a boot has taken of which there is no report yet.
fn taken(root: &Root) -> Result<Option<Request>, Problem> {
    request(root, TAKEN)
}

fn request(root: &Root, path: &str) -> Result<Option<Request>, Problem> {
    let bytes = match root.read(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Problem::new(format!("{path}: {error}"), "run it as root")),
    };
    let failed =
        |why: String| Problem::new(format!("{path}: {why}; there is no rehearsal"), "imactl rehearse --cancel");
    let request: Request = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    if request.version > VERSION {
        return Err(failed(format!("a newer imad wrote it (version {})", request.version)));
    }
    Ok(Some(request))
}

/// The policy that is to be rehearsed, if it still is the one that was asked for.
pub fn policy(root: &Root, sha256: &str) -> Result<Vec<u8>, Problem> {
    let failed = |why: String| Problem::new(format!("{POLICY}: {why}"), ASK);
    let bytes = root.read(POLICY, POLICY_LIMIT).map_err(|error| failed(error.to_string()))?;
    if Sum::of(&bytes).to_string() == sha256 {
        Ok(bytes)
    } else {
        Err(failed("it is not the policy that a rehearsal was asked of".to_owned()))
    }
}

/// Takes what was asked, so that no other boot does, whatever becomes of this one. Returns where that is recorded, and what
/// a person should know.
pub fn take(root: &Root) -> Result<(String, Option<Problem>), Problem> {
    let renamed = lasting::in_state_folder(root, |_| kept::move_into_place(root, ARMED, TAKEN));
    let ((), lasting) = renamed.map_err(|why| {
        let what = format!("a rehearsal cannot be taken so that no later boot is one too: {ARMED}: {why}");
        Problem::new(what, "imactl rehearse --cancel")
    })?;
    Ok((format!("{TAKEN} ({})", lasting.how), lasting.problem))
}

/// What is armed, and what the last rehearsal said.
pub fn status(root: &Root, boot: Option<&BootReport>) -> RehearsalStatus {
    let mut status = RehearsalStatus { version: VERSION, ..RehearsalStatus::default() };
    status.armed = armed(root).unwrap_or_else(|problem| {
        status.problems.push(problem);
        None
    });
    let report = record::read(root, FILE, ASK).unwrap_or_else(|problem| {
        status.problems.push(problem);
        None
    });
    status.report = report.filter(|report: &RehearsalReport| report.version == VERSION);
    status.problems.extend(unfinished(root, boot));
    status
}

/// A rehearsal that came to no report, unless this boot is it.
fn unfinished(root: &Root, boot: Option<&BootReport>) -> Option<Problem> {
    if boot.is_some_and(|boot| boot.rehearsal.is_some()) {
        return None;
    }
    match taken(root) {
        Ok(None) => None,
        Ok(Some(request)) => Some(Problem::new(
            format!("the boot that was to be a rehearsal of {} came to no report", request.policy),
            "look why (journalctl --list-boots; journalctl -b -1), then imactl rehearse --policy again, or --cancel",
        )),
        Err(problem) => Some(problem),
    }
}

/// What `imactl status` is to name.
pub fn problems(root: &Root, boot: Option<&BootReport>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(outcome) = boot.and_then(|boot| boot.rehearsal.as_ref()) {
        let next = "imactl rehearse, then reboot: the next boot is none";
        problems.push(Problem::new(outcome.summary(), next));
        problems.extend(outcome.problems.iter().cloned());
    }
    match armed(root) {
        Ok(Some(request)) => problems.push(Problem::new(
            format!("the next boot is a rehearsal of {} and protects nothing", request.policy),
            "reboot, or imactl rehearse --cancel",
        )),
        Ok(None) => {}
        Err(problem) => {
            problems.push(problem);
            return problems;
        }
    }
    problems.extend(unfinished(root, boot));
    problems
}

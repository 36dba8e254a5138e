//! Whether the boot that is over may be called one: everything that a person would look at.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::model::manifest::Manifest;
use crate::model::plan::{self, Facts, State as LabelState};
use crate::model::policy::outline::{outline, refuses_files};
use crate::model::report::{BootReport, Problem, TrialDecision};
use crate::model::trial::denials;
use crate::model::trial::login::{self, Unit};
use crate::model::trial::{State, Sum};
use crate::ops::{boot_files, configuration, keys, manifest, recorded};
use crate::sys::file::OpenFile;
use crate::sys::root::Root;
use crate::sys::{run_as, services};

/// A program that every system has, does nothing, and is labelled where programs are.
const PROGRAM: &str = "/usr/bin/true";
/// Root, and the kernel's overflow user, whom no file belongs to.
const USERS: [(u32, &str); 2] = [(0, "root"), (65534, "user 65534")];
/// How long gettys are waited for: six seconds are the longest that systemd lets them wait (`do_idle_pipe_dance()`), and
/// then some for a denied one to be started anew, in vain.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
/// Files that are named before the rest is counted.
const NAMED: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Why the boot is not to be confirmed.
    pub against: Vec<Problem>,
    /// What a person should know, though it says nothing against the boot.
    pub notes: Vec<String>,
    /// Login services that are active.
    pub units: Vec<String>,
}

/// Checks the running system after the boot of this report; `path` and `loaded` are those of the policy in force.
pub fn check(root: &Root, boot: &BootReport, path: &str, loaded: Sum) -> Checked {
    let mut checked = Checked::default();
    default_target(&mut checked);
    let before = match super::state(root) {
        Ok(state) => state,
        Err(problem) => {
            checked.notes.push(problem.what);
            None
        }
    };
    // A boot that was confirmed before is not held up: while this program runs, gettys wait for it.
    let is_known = boot.trial.as_ref().is_some_and(|outcome| outcome.decision == TrialDecision::Confirmed);
    login_services(before.as_ref(), if is_known { Duration::ZERO } else { PATIENCE }, &mut checked);
    denied_files(root, boot, &mut checked);
    signed_program(root, path, loaded, &mut checked);
    checked
}

fn default_target(checked: &mut Checked) {
    match services::active_state("default.target") {
        Ok(state) if state == "active" => {}
        Ok(state) => checked.against.push(Problem::new(
            format!("the default target was not reached; it is {state}"),
            "systemctl status default.target; systemctl --failed",
        )),
        Err(error) => checked.against.push(Problem::new(
            format!("it cannot be told whether the default target was reached: {error}"),
            "systemctl status default.target",
        )),
    }
}

fn login_services(before: Option<&State>, patience: Duration, checked: &mut Checked) {
    let before = before.map_or(&[][..], |state| &state.units);
    let units = match settled(before, patience) {
        Ok(units) => units,
        Err(error) => {
            checked.against.push(Problem::new(
                format!("it cannot be told whether the login services run: {error}"),
                "systemctl list-units --type=service,socket",
            ));
            return;
        }
    };
    checked.units = login::active(&units);
    let compared = login::compare(before, &units);
    if !compared.missing.is_empty() {
        checked.against.push(Problem::new(
            format!(
                "login services that ran after the last confirmed boot do not run: {}",
                compared.missing.join(", ")
            ),
            "systemctl --failed; disable what is not wanted any more; then systemctl restart imad-confirm.service",
        ));
    }
    if !compared.gone.is_empty() {
        checked.notes.push(format!("login services that were taken away: {}", compared.gone.join(", ")));
    }
}

/// The login services, once each has executed its program or patience is at its end: until then nothing can be denied.
fn settled(before: &[String], patience: Duration) -> io::Result<Vec<Unit>> {
    let end = Instant::now() + patience;
    loop {
        let active = login::active(&login::parse_list(&services::list()?));
        let asked = login::to_ask(before, &active);
        let mut units = login::parse_show(&asked, &services::show(&asked)?);
        let waits = |unit: &Unit| {
            let name = (unit.pid > 0).then(|| services::name_of_process(unit.pid)).flatten();
            unit.active == "active" && name.is_some_and(|name| login::is_not_executed_yet(&name))
        };
        if patience.is_zero() || !units.iter().any(waits) {
            return Ok(units);
        }
        if Instant::now() >= end {
            for unit in units.iter_mut().filter(|unit| waits(unit)) {
                login::WAITING.clone_into(&mut unit.active);
            }
            return Ok(units);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Files that the boot needs and that were denied. What it needs stands in the manifest; where there is none, as before the
/// first check of the next boot, it is found out now.
fn denied_files(root: &Root, boot: &BootReport, checked: &mut Checked) {
    let since = boot.steps.iter().find(|step| step.name == "load").map_or(0, |step| step.begin_us);
    let denied = recorded::denials(root, since, &mut checked.notes);
    if denied.is_empty() {
        return;
    }
    let known = manifest::read(root).unwrap_or_else(|problem| {
        checked.notes.push(problem.what);
        None
    });
    let found = if known.is_none() { boot_files::gather(root).files } else { Vec::new() };
    let known = known.iter().flat_map(Manifest::entries).map(|entry| &entry.path[..]);
    let files: BTreeSet<&[u8]> = known.chain(found.iter().map(|file| &file.path[..])).collect();
    let denied = denials::of_files(&denied, &files);
    if denied.is_empty() {
        return;
    }
    let named: Vec<String> = denied
        .iter()
        .take(NAMED)
        .map(|denial| format!("{} ({})", String::from_utf8_lossy(&denial.path), denial.cause))
        .collect();
    let more = denied.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    checked.against.push(Problem::new(
        format!("files that the boot needs were denied: {}{more}", named.join(", ")),
        format!(
            "imactl explain {}",
            denied.first().map(|denial| String::from_utf8_lossy(&denial.path)).unwrap_or_default()
        ),
    ));
}

/// Runs the program as root and as somebody else. Its label must be good where the policy refuses files for theirs:
/// otherwise its success says nothing.
fn signed_program(root: &Root, path: &str, loaded: Sum, checked: &mut Checked) {
    const LIMIT: u64 = 1 << 22;
    let rules =
        root.read(path, LIMIT).ok().filter(|bytes| Sum::of(bytes) == loaded).and_then(|bytes| outline(&bytes).ok());
    // A policy that is not what was loaded any more may have refused files.
    let refuses = rules.is_none_or(|outline| outline.rules.iter().any(|(_, rule)| refuses_files(rule.as_bytes())));
    if refuses && let Err(why) = is_labelled(root) {
        checked.against.push(Problem::new(
            format!("{PROGRAM}, by which it is tried whether signed programs run, has no good label: {why}"),
            format!("imactl relabel {PROGRAM}; then systemctl restart imad-confirm.service"),
        ));
    }
    for (id, user) in USERS {
        let why = match run_as::run(PROGRAM, id, id) {
            Ok(status) if status.success() => continue,
            Ok(status) => status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}")),
            Err(error) => error.to_string(),
        };
        checked.against.push(Problem::new(
            format!("{PROGRAM} does not run as {user}: {why}"),
            format!("imactl explain --uid {id} {PROGRAM}"),
        ));
    }
}

fn is_labelled(root: &Root) -> Result<(), String> {
    let (config, _) = configuration::load(root);
    let trust = keys::gather(root, &config.keys.dir).trust;
    let mut file = OpenFile::open_following(root, PROGRAM.as_bytes()).map_err(|error| error.to_string())?;
    let label = file.label().map_err(|error| error.to_string())?;
    let facts = Facts { packaged: None, label: label.as_deref() };
    let judged = plan::judge(&facts, &mut trust.verifier(), &mut file)?;
    if judged.state == LabelState::Good { Ok(()) } else { Err(judged.reason) }
}

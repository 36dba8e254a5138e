//! `imactl teardown`: everything that setup changed is put back, the last change first.
#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use super::record::{Recorder, read};
use super::steps::Said;
use super::{Request, Run, as_before};
use crate::model::config::Config;
use crate::model::policy::outline::refuses_files;
use crate::model::report::Problem;
use crate::model::setup::{Change, RECORD, SetupReport, StepOutcome};
use crate::ops::{history, next_boot, revert, trial};
use crate::sys::root::Root;
use crate::sys::{kept, securityfs};

/// What imad itself made in `/etc/imad/state`, beside the record.
const STATE: [&str; 7] = [
    crate::model::manifest::PATH,
    crate::model::trial::PATH,
    crate::sys::attempts::PATH,
    crate::ops::trial::CONFIRMED_POLICY,
    crate::model::rehearsal::ARMED,
    crate::model::rehearsal::TAKEN,
    crate::model::rehearsal::POLICY,
];
/// How long to wait for whoever writes labels now.
const PATIENCE: Duration = Duration::from_secs(60);

/// Undoes a setup. What cannot be undone yet stays on record for the next time.
pub fn teardown(request: &Request<'_>) -> SetupReport {
    let mut run = Run::new(request);
    let root = request.root;
    let (config, _) = crate::ops::configuration::load(root);
    let record = match read(root) {
        Ok(Some(record)) => record,
        Ok(None) => {
            run.step("record", |_| Said::already("setup changed nothing here"));
            run.report.complete = true;
            run.report.next_reboot = as_before(root, &config);
            return run.into_report();
        }
        Err(problem) => {
            run.step("record", |_| Said::no(problem.what.clone(), vec![problem]));
            return run.into_report();
        }
    };
    let mut recorder = match Recorder::open(root, request.dry_run) {
        Ok(recorder) => recorder,
        Err(problem) => {
            run.step("record", |_| Said::no(problem.what.clone(), vec![problem]));
            return run.into_report();
        }
    };
    for change in record.changes.iter().rev() {
        let name = match change {
            Change::File { path, .. } => path.clone(),
            Change::Labels { .. } => "labels".to_owned(),
            Change::Unit { name } => name.clone(),
        };
        let mut undone = false;
        run.step(&name, |request| {
            let said = undo(request, change);
            undone = said.outcome == StepOutcome::Done;
            said
        });
        // What could not be undone does not keep the rest from it.
        run.refused = false;
        if undone {
            recorder.record.changes.retain(|other| other != change);
            if let Err(error) = recorder.save() {
                run.step("record", |_| Said::no(format!("{RECORD}: {error}"), Vec::new()));
                return run.into_report();
            }
        }
    }
    let left = !request.dry_run && !recorder.record.changes.is_empty();
    if !left {
        run.step("state", |request| forget(request.root, request.dry_run));
    }
    run.report.complete = !left && !request.dry_run;
    run.report.next_reboot = what_follows(root, &config, left);
    run.into_report()
}

fn undo(request: &Request<'_>, change: &Change) -> Said {
    match change {
        Change::File { path, kept } => file(request, path, kept.as_deref()),
        Change::Labels { who } => labels(request, who),
        Change::Unit { name } => unit(request, name),
    }
}

fn file(request: &Request<'_>, path: &str, beside: Option<&str>) -> Said {
    let root = request.root;
    let what = if beside.is_some() { "the file that was there before comes back" } else { "removed: setup made it" };
    if request.dry_run {
        return Said::done(true, what);
    }
    let result = match beside {
        Some(beside) => kept::put_back(root, path, beside).map(|_| ()),
        None => kept::remove(root, path).map(|_| ()),
    };
    match result {
        Ok(()) => Said::done(false, what),
        Err(error) => {
            let problem =
                Problem::new(format!("{path} cannot be put back: {error}"), "mend that, then imactl teardown");
            Said::no(problem.what.clone(), vec![problem])
        }
    }
}

/// Labels go only where no rule of the running kernel wants them.
fn labels(request: &Request<'_>, who: &str) -> Said {
    let root = request.root;
    if root.is_running() {
        let wanted = match securityfs::active_rules() {
            Ok(Some(rules)) => rules.iter().any(|rule| refuses_files(rule)),
            Ok(None) => !securityfs::policy_loadable() && securityfs::has_ima(),
            Err(_) => true,
        };
        if wanted {
            let next = "reboot, then imactl teardown again";
            let what = "a policy that wants labels is in force until the next reboot: they stay";
            return Said::no(what, vec![Problem::new(what, next)]);
        }
    }
    let jobs = match history::jobs(root) {
        Ok(history) => history.jobs,
        Err(error) => {
            let problem = Problem::new(error.to_string(), error.next_step());
            return Said::no(problem.what.clone(), vec![problem]);
        }
    };
    let mut reverted = 0;
    let mut problems = Vec::new();
    for job in jobs.iter().rev().filter(|job| job.who == who && job.written > 0) {
        let asked = revert::Request {
            root,
            job: job.job,
            dry_run: request.dry_run,
            who: request.who.to_owned(),
            patience: PATIENCE,
        };
        match revert::run(&asked) {
            Ok(report) => {
                reverted += report.reverted;
                problems.extend(report.problems);
            }
            Err(error) => problems.push(Problem::new(error.to_string(), error.next_step())),
        }
    }
    if problems.is_empty() {
        Said::done(request.dry_run, format!("{reverted} labels put back as they were"))
    } else {
        Said::no(format!("{reverted} labels put back as they were, not all"), problems)
    }
}

fn unit(request: &Request<'_>, name: &str) -> Said {
    if request.dry_run {
        return Said::done(true, "disabled: setup enabled it");
    }
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("--root").arg(request.root.path()).args(["--quiet", "disable", name]);
    match systemctl.status() {
        Ok(status) if status.success() => Said::done(false, "disabled: setup enabled it"),
        Ok(status) => Said::no(format!("systemctl disable {name} ended with {status}"), Vec::new()),
        Err(error) => Said::no(format!("systemctl: {error}"), Vec::new()),
    }
}

fn forget(root: &Root, dry_run: bool) -> Said {
    if dry_run {
        return Said::done(true, "the manifest and the state of trials go");
    }
    let mut problems = Vec::new();
    for path in STATE.iter().chain([&RECORD]) {
        if let Err(error) = kept::remove(root, path) {
            problems.push(Problem::new(format!("{path}: {error}"), format!("rm {path}")));
        }
    }
    problems.extend(next_boot::forget(root).err());
    problems.extend(trial::forget(root).err());
    if problems.is_empty() {
        Said::done(false, "the manifest and the state of trials are gone")
    } else {
        Said::no("not everything is gone", problems)
    }
}

fn what_follows(root: &Root, config: &Config, left: bool) -> String {
    let policy = as_before(root, config);
    if left { format!("{policy} Something is left: imactl teardown again afterwards.") } else { policy }
}

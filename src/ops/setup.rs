//! `imactl setup`: from a plain root to a policy that is armed for the next boot, in steps that can be taken up again; and
//! nothing that would stop that boot.
#![forbid(unsafe_code)]

mod images;
mod record;
mod running;
mod steps;
mod teardown;

pub use teardown::teardown;

use std::path::PathBuf;

use super::labels::Progress;
use crate::model::config::Config;
use crate::model::report::{Problem, VERSION};
use crate::model::setup::{SetupReport, StepOutcome};
use crate::sys::clock;
use crate::sys::root::Root;
use record::Recorder;
use steps::{Candidate, Said};

/// What is asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// The root.
    pub root: &'a Root,
    /// A policy's name, or its file in the root.
    pub policy: &'a str,
    /// Certificates to put into the keys folder, read from this process's own file system.
    pub certificates: &'a [PathBuf],
    /// Change nothing, say what would be done.
    pub dry_run: bool,
    /// Arm it even where a step says no.
    pub force: bool,
    /// Certificates and policy into the running kernel too, as the script `ima-setup` does.
    pub now: bool,
    /// Who asks, for the label journal.
    pub who: &'a str,
}

/// Sets up. A step that says no ends it, unless it is forced; what was done before is kept and on record.
pub fn setup(request: &Request<'_>, progress: &Progress) -> SetupReport {
    setup_telling(request, progress, &|_| {})
}

/// The same; the name of each step that is taken is told when it begins.
pub fn setup_telling(request: &Request<'_>, progress: &Progress, begins: &dyn Fn(&str)) -> SetupReport {
    let mut run = Run { begins, ..Run::new(request) };
    let (config, faults) = super::configuration::load(request.root);
    let mut recorder = match Recorder::open(request.root, request.dry_run) {
        Ok(recorder) => recorder,
        Err(problem) => {
            run.step("record", |_| Said::no("what setup changes cannot be recorded", vec![problem]));
            return run.into_report();
        }
    };
    let mut candidate = None;
    run.step("configuration", |_| {
        if faults.is_empty() { Said::already("it can be read") } else { Said::no("a file of it has a fault", faults) }
    });
    run.step("keys", |request| steps::keys(request, &config, &mut recorder));
    let mut policy = |request: &Request<'_>| {
        let (found, said) = steps::policy(request, &config);
        candidate = found;
        said
    };
    // One that is not there is told before anything is labelled; one that is there may be a package's, and gets its label.
    let is_there = steps::is_there(request);
    if !is_there {
        run.step("policy", &mut policy);
    }
    run.step("labels", |request| steps::labels(request, &config, &mut recorder, progress));
    if is_there {
        run.step("policy", &mut policy);
    }
    let mut taken = Vec::new();
    if request.now {
        run.step("keyring", |request| running::keys(request, &config, &mut taken));
    }
    run.step("images", |request| images::build(request, &mut recorder));
    // What a dry run leaves as it is would be asked about.
    let pending = run.report.steps.iter().any(|step| step.outcome == StepOutcome::Would);
    run.step("next boot", |request| match &candidate {
        Some(_) if pending => Said::done(true, "would be asked about once that is done"),
        Some(candidate) => steps::next_boot(request, candidate),
        None => Said::no("there is no policy to ask about", Vec::new()),
    });
    if request.now {
        run.step("load", |request| match &candidate {
            Some(candidate) => running::load(request, &config, candidate, &taken),
            None => Said::no("there is no policy to load", Vec::new()),
        });
    }
    run.step("arm", |request| match &candidate {
        Some(candidate) => steps::arm(request, &config, candidate, &mut recorder),
        None => Said::no("there is no policy to arm", Vec::new()),
    });
    run.report.complete = run
        .report
        .steps
        .iter()
        .all(|step| matches!(step.outcome, StepOutcome::Already | StepOutcome::Done | StepOutcome::Forced));
    run.report.next_reboot = in_plain_words(request, &config, candidate.as_ref(), &run.report);
    run.into_report()
}

/// A run of setup.
struct Run<'r, 'a> {
    request: &'r Request<'a>,
    report: SetupReport,
    /// A step said no.
    refused: bool,
    /// Is told of each step.
    begins: &'r dyn Fn(&str),
}

impl<'r, 'a> Run<'r, 'a> {
    fn new(request: &'r Request<'a>) -> Self {
        let report = SetupReport { version: VERSION, dry_run: request.dry_run, ..SetupReport::default() };
        Self { request, report, refused: false, begins: &|_| {} }
    }

    fn step(&mut self, name: &str, work: impl FnOnce(&Request<'_>) -> Said) {
        let began = clock::since_boot_us();
        let mut said = if self.refused {
            Said::skipped()
        } else {
            (self.begins)(name);
            work(self.request)
        };
        if said.outcome == StepOutcome::Refused {
            if self.request.force {
                said.outcome = StepOutcome::Forced;
            } else {
                // A dry run tells everything that is in the way at once.
                self.refused = !self.request.dry_run;
            }
        }
        self.report.steps.push(said.into_step(name, clock::since_boot_us() - began));
    }

    fn into_report(self) -> SetupReport {
        self.report
    }
}

/// What the next reboot will do.
fn in_plain_words(
    request: &Request<'_>,
    config: &Config,
    candidate: Option<&Candidate>,
    report: &SetupReport,
) -> String {
    let refused = report.steps.iter().any(|step| step.outcome == StepOutcome::Refused) && !request.force;
    let Some(candidate) = candidate.filter(|_| !refused) else {
        return format!("Nothing is armed. {}", as_before(request.root, config));
    };
    let will = if request.dry_run { "would load" } else { "loads" };
    let forced = report.steps.iter().any(|step| step.outcome == StepOutcome::Forced);
    let warning =
        if forced { " It was forced: what is said above is likely to deny what that boot needs." } else { "" };
    format!(
        "The next boot {will} {} ({} rules) on trial: if it does not come to a login, {} such boots later it is left out \
         again, and imactl status says why.{warning}",
        candidate.name, candidate.rules, config.trial.attempts
    )
}

/// What the next boot does about the policy that is or is not there now.
fn as_before(root: &Root, config: &Config) -> String {
    let path = &config.policy.path;
    if root.exists(path) {
        format!("The next boot loads {path}, as before.")
    } else {
        "The next boot loads no policy.".to_owned()
    }
}

/// A step that cannot be taken for want of rights or a fault of the system.
fn failed(what: impl Into<String>, next: impl Into<String>) -> Said {
    let problem = Problem::new(what, next);
    Said::no(problem.what.clone(), vec![problem])
}

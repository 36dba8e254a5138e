//! What the loop has done beside it, because it may block: each a function from values to a value.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::event::{self, Trouble};
use super::run::{Input, Inputs};
use crate::bus::view::Condition;
use crate::model::config::Config;
use crate::model::explain::quote;
use crate::model::plan::State;
use crate::model::report::{CertificateInfo, LabelCounts, NextBootState, Problem, Status, Transaction};
use crate::ops::labels::{self, Request, Selection};
use crate::ops::{configuration, keys, next_boot, status};
use crate::sys::process::{self, Program};
use crate::sys::root::Root;
use crate::sys::rpmdb::Database;

/// Does something on a thread of its own and sends what comes of it.
pub(super) fn offload(inputs: Inputs, work: impl FnOnce() -> Input + Send + 'static) {
    // The loop is gone only when the process is about to end.
    beside(move || inputs.send(work()).unwrap_or_default());
}

/// Does something on a thread of its own.
pub(super) fn beside(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("imad-work".to_owned());
    if let Err(error) = thread.spawn(run) {
        // Nobody would ever answer what waits for this: the service manager starts a daemon that can work.
        tracing::error!("no thread can be made: {error}");
        std::process::exit(1);
    }
}

/// The numbers of all packages.
pub(super) fn survey(root: &Root) -> Result<BTreeSet<i64>, Trouble> {
    let numbers = Database::open(root).and_then(|database| database.numbers());
    numbers.map(|numbers| numbers.into_iter().collect()).map_err(|error| Trouble {
        problem: Problem::new(error.to_string(), error.next_step()),
        silent: error.is_busy(),
    })
}

/// Whether the next boot comes through; the answer is written down too.
pub(super) fn next_boot(root: &Root) -> NextBootState {
    let answer = next_boot::check(root, None);
    for problem in next_boot::keep(root, &answer) {
        tracing::warn!("{}. Next: {}", problem.what, problem.next);
    }
    let state = answer.report.state(false);
    drop(answer);
    process::release_memory();
    state
}

/// The gathering of the status; the daemon's own problems are not in it.
pub(super) fn gather(
    root: &Arc<Root>,
    labels: Option<LabelCounts>,
    last_transaction: Option<Transaction>,
    condition: Condition,
) -> impl FnOnce() -> Status + Send + 'static {
    let root = root.clone();
    move || status::status(&root, labels, last_transaction, condition.name(), Vec::new())
}

/// What SIGHUP brings.
#[derive(Debug)]
pub(super) struct Reloaded {
    pub(super) config: Config,
    pub(super) faults: Vec<Problem>,
    pub(super) certificates: Vec<CertificateInfo>,
}

/// Reads the configuration and the certificates again.
pub(super) fn reload(root: &Root) -> Reloaded {
    let (config, faults) = configuration::load(root);
    let certificates = keys::gather(root, &config.keys.dir).certificates;
    Reloaded { config, faults, certificates }
}

/// Several problems as one.
pub(super) fn one(problems: Vec<Problem>) -> Option<Problem> {
    let next = problems.first()?.next.clone();
    let what: Vec<String> = problems.into_iter().map(|problem| problem.what).collect();
    Some(Problem::new(what.join("\n"), next))
}

/// Whether the daemon's program is another now, and would be let run. A program outside of the root is no transaction's.
pub(super) fn judge_program(root: &Root, config: &Config, program: &Program, demanded: bool) -> event::Program {
    let inside = if root.is_running() { Some(program.path()) } else { program.path().strip_prefix(root.path()).ok() };
    let Some(inside) = inside else { return event::Program::Same };
    match program.is_replaced() {
        Ok(false) => return event::Program::Same,
        Ok(true) => {}
        Err(error) => {
            tracing::warn!("{}: {error}", program.path().display());
            return event::Program::Same;
        }
    }
    let found = keys::gather(root, &config.keys.dir);
    let selection = Selection::All;
    let request =
        Request { root, rules: &config.labels, trust: &found.trust, selection: &selection, write: None, full: true };
    let judged = labels::judge_file(&request, inside.as_os_str().as_bytes()).judged;
    if judged.state == State::Good || !demanded {
        return event::Program::Replaced;
    }
    let path = Path::new("/").join(inside).display().to_string();
    let what = format!("{path} was replaced by a program that would be denied ({}): {}", judged.state, judged.reason);
    event::Program::Denied(Problem::new(what, format!("imactl explain {}", quote(&path))))
}

//! What a run notes before it writes labels: the lock that keeps others from writing meanwhile, and the label journal.
//!
//! Both are opened with the first label that is to be written: a run that finds nothing to do leaves no trace. Where they
//! cannot be had (a full or read-only /var, somebody else who writes labels for long), labels are written all the same, and
//! that is said: a missing label may keep the machine from booting, a missing record only keeps a job from being reverted.
//! Two runs at once do no harm either: each looks at the label once more before it writes its own.
#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Request, Selection};
use crate::model::journal::{JobEnd, Outcome};
use crate::model::report::Problem;
use crate::sys::label_journal::{JournalError, LIMIT, LabelJournal, NewIntent, NewJob};
use crate::sys::lock::{LabelLock, LockError};
use crate::sys::root::Root;

/// How long a run waits for another process to give the lock back.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lock and the journal of a run, shared by its threads.
#[derive(Debug)]
pub(super) struct Log<'a> {
    root: &'a Root,
    job: NewJob,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// Held until the run has ended; missing where nobody can have it, for the same reason as the journal.
    held: Option<LabelLock>,
    problems: Vec<Problem>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing was to be written yet.
    #[default]
    Before,
    /// Labels are written, and recorded.
    Recorded(Box<LabelJournal>),
    /// Labels are written, and not recorded.
    Unrecorded,
}

impl<'a> Log<'a> {
    pub(super) fn new(request: &Request<'a>) -> Self {
        let selection = match request.selection {
            Selection::All => "every packaged file".to_owned(),
            Selection::Packages(names) => format!("packages {}", names.join(" ")),
            Selection::Numbers(numbers) => format!("{} packages", numbers.len()),
            Selection::Paths(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
                paths.join(" ")
            }
        };
        let job = NewJob { who: request.write.unwrap_or_default().to_owned(), selection, reverts: None };
        Self { root: request.root, job, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes labels that are going to be written, durably. Gives the number of the first, where they are recorded.
    pub(super) fn intend(&self, intents: &[NewIntent<'_>]) -> Option<u64> {
        let mut state = self.lock();
        if let Stage::Before = state.stage {
            self.open(&mut state);
        }
        let intended = match &state.stage {
            Stage::Before | Stage::Unrecorded => return None,
            Stage::Recorded(journal) => journal.intend(intents),
        };
        if let Err(error) = &intended {
            state.problems.push(unrecorded(error));
            state.stage = Stage::Unrecorded;
        }
        intended.ok()
    }

    fn open(&self, state: &mut State) {
        let lock = match LabelLock::take(self.root, Duration::ZERO) {
            // A transaction's run of the daemon beside its run over everything: it does not wait for that.
            Err(LockError::Held { pid, .. }) if pid == Some(std::process::id()) => {
                state.stage = Stage::Unrecorded;
                return;
            }
            Err(LockError::Held { .. }) => LabelLock::take(self.root, PATIENCE),
            taken => taken,
        };
        let lock = match lock {
            Ok(lock) => lock,
            Err(error) => {
                let what = format!("{error}; labels are written all the same, and not recorded");
                state.problems.push(Problem::new(what, error.next_step()));
                state.stage = Stage::Unrecorded;
                return;
            }
        };
        match LabelJournal::open(self.root, &lock, LIMIT) {
            Ok((journal, found)) => {
                state.problems.extend(found.problems);
                journal.begin(self.job.clone());
                state.stage = Stage::Recorded(Box::new(journal));
            }
            Err(error) => {
                state.problems.push(unrecorded(&error));
                state.stage = Stage::Unrecorded;
            }
        }
        state.held = Some(lock);
    }

    /// Notes what became of intents.
    pub(super) fn done(&self, outcomes: &[(u64, Outcome)]) {
        let mut state = self.lock();
        if let Stage::Recorded(journal) = &state.stage
            && let Err(error) = journal.done(outcomes)
        {
            state.problems.push(unrecorded(&error));
        }
    }

    /// Ends the job. `all`: the run judged every file, those of interrupted runs too. What went wrong with lock and journal.
    pub(super) fn end(self, end: JobEnd, all: bool) -> Vec<Problem> {
        let State { stage, mut problems, held: _held } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Stage::Recorded(journal) = stage {
            let settled = if all { journal.settle() } else { Ok(()) };
            if let Err(error) = settled.and_then(|()| journal.end(end)) {
                problems.push(unrecorded(&error));
            }
        }
        problems
    }
}

fn unrecorded(error: &JournalError) -> Problem {
    Problem::new(format!("{error}; labels are written all the same, and not recorded"), error.next_step())
}

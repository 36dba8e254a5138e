//! The daemon's vocabulary: what happens to it, what it has done.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::record::{Line, Saved};
use crate::bus::job::Kind;
use crate::bus::request::How;
use crate::model::report::{LabelReport, NextBootState, Problem, Transaction};
use crate::ops::labels::{PackageLabels, RunError, Selection};
use crate::sys::watch::Change;

/// What a problem is about; one at a time is known of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A configuration file.
    Configuration,
    /// The package database as a whole.
    Database,
    /// Packages in it.
    Packages,
    /// The watches on it.
    Watch,
    /// `/var/lib/imad`.
    State,
    /// The label journal, or the lock on labels.
    Journal,
    /// The room for labels.
    Space,
    /// The bus.
    Bus,
    /// The daemon's own program.
    Program,
}

/// The state of rpm's transaction lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nobody holds it, or it cannot be looked at.
    Free,
    /// A process holds it: its close will be an event.
    Held,
}

/// Why the database could not be surveyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What and what next.
    pub(super) problem: Problem,
    /// No event will tell when it is over: somebody holds a lock inside of the database.
    pub(super) silent: bool,
}

/// The daemon's program on disk, against the one that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// The same, or none that concerns this daemon.
    Same,
    /// Another, which the kernel will let run.
    Replaced,
    /// Another, which would be denied.
    Denied(Problem),
}

/// What a job found.
pub(super) type Outcome = Result<(LabelReport, Vec<PackageLabels>), RunError>;

/// What happens to the daemon.
#[derive(Debug)]
pub(super) enum Event {
    /// It is set up; this is what it wrote down when it ran last.
    Started(Saved),
    /// Something happened to the database.
    Changed(Change),
    /// Answer to [`Action::LookAtLock`].
    Lock(Lock),
    /// Answer to [`Action::Survey`]: the numbers of all packages.
    Surveyed(Result<BTreeSet<i64>, Trouble>),
    /// The timer of [`Action::ArmTimer`] is over.
    Timer,
    /// Somebody asks for a job. The order's number is handed out by [`super::engine::Engine::accept`].
    Ordered(u32, Kind, Selection, How),
    /// Somebody wants a job to end.
    Cancelled(u32),
    /// A job ended.
    Ended(u32, Outcome),
    /// A problem came, or went.
    Problem(Source, Option<Problem>),
    /// Answer to [`Action::LookAtProgram`].
    Program(Program),
    /// The configuration or the keys are others, so every label may be judged otherwise.
    RulesChanged,
    /// The last check of the next boot was about other packages or another policy.
    NextBootOutdated,
    /// Answer to [`Action::CheckNextBoot`].
    NextBoot(NextBootState),
    /// The daemon is to end.
    Stop,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// See who holds rpm's lock.
    LookAtLock,
    /// Read the numbers of all packages.
    Survey,
    /// Send [`Event::Timer`] in a while.
    ArmTimer,
    /// Forget the timer.
    DisarmTimer,
    /// Show a job.
    Show(u32, Kind),
    /// Begin a job.
    Begin(Order),
    /// Make a running job end soon.
    Cancel(u32),
    /// A job ended. What it found goes to whoever asks.
    Close(u32, Closed),
    /// Write this down.
    Save(Saved),
    /// Tell everybody of the transaction.
    Announce(Transaction),
    /// A line for the journal.
    Say(Line),
    /// Find out whether the next boot comes through.
    CheckNextBoot,
    /// Show this to whoever logs in, or nothing any more.
    Motd(Option<String>),
    /// Gather the status anew.
    Gather,
    /// See whether the daemon's program was replaced.
    LookAtProgram,
    /// Become the new program.
    Execute,
    /// End.
    Exit,
}

/// How a job ended.
#[derive(Debug, PartialEq)]
pub(super) enum Closed {
    /// Done.
    Done(LabelReport),
    /// Not done, and why.
    Failed(RunFailure),
    /// Cancelled.
    Canceled,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunFailure {
    /// The database could not be read.
    Database(Problem),
    /// Labels would not find room.
    NoSpace(Problem),
    /// A package is not installed.
    NoSuchPackage(Problem),
}

/// A job to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Its number.
    pub(super) id: u32,
    /// Why.
    pub(super) kind: Kind,
    /// Which files.
    pub(super) selection: Selection,
    /// Whether labels are written.
    pub(super) write: bool,
    /// Whether every file is read, also those that cannot have changed.
    pub(super) full: bool,
    /// The packages that a transaction brought.
    pub(super) added: BTreeSet<i64>,
    /// How many packages it removed.
    pub(super) removed: u64,
    /// When its lock was seen to have fallen.
    pub(super) since: u64,
}

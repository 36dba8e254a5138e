//! What the daemon does when: a pure machine from events to actions. Files, clock, bus and threads are its shell's
//! (`run.rs`).
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::event::{Action, Closed, Event, Lock, Order, Outcome, Program, RunFailure, Source, Trouble};
use super::record::{Line, Saved, transaction};
use super::tally::Tally;
use super::turn::Turn;
use crate::bus::job::Kind;
use crate::bus::request::How;
use crate::bus::view::Condition;
use crate::model::report::{LabelCounts, LabelReport, NextBootState, Problem, Transaction};
use crate::ops::labels::{PackageLabels, RunError, Selection};
use crate::sys::watch::Change;

/// Jobs that may wait; more are refused.
const WAITING: usize = 16;

/// Where the daemon is between start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Life {
    /// The first run over all labels has not ended.
    #[default]
    Starting,
    Running,
    Stopping,
}

/// Whether an order goes before long work, and before the end of the daemon.
fn is_quick(order: &Order) -> bool {
    order.kind == Kind::Transaction
}

/// The machine.
#[derive(Debug, Default)]
pub(super) struct Engine {
    tally: Tally,
    /// When the tally was last changed, and what the last run took.
    counted: Option<(u64, u64)>,
    /// Labels that the last run wrote.
    written: u64,
    problems: BTreeMap<Source, Problem>,
    last_transaction: Option<Transaction>,
    /// Highest package number that was ever dealt with, from the run before this one.
    newest: i64,
    /// Packages in the database, as last surveyed.
    known: Option<BTreeSet<i64>>,
    /// All labels are to be judged after the next survey.
    rescan: bool,
    /// A look at the lock and a survey.
    look: Turn,
    /// The timer runs.
    timer: bool,
    /// When the lock was seen to have fallen.
    since: u64,
    next_id: u32,
    queue: VecDeque<Order>,
    running: Vec<Order>,
    life: Life,
    /// Look at the program once no job is left.
    program: bool,
    /// A check of the next boot.
    checking: Turn,
    /// What the last one said.
    next_boot: Option<NextBootState>,
}

impl Engine {
    pub(super) fn new() -> Self {
        Self { rescan: true, ..Self::default() }
    }

    /// How the daemon fares.
    pub(super) fn condition(&self) -> Condition {
        match (self.problems.is_empty(), self.life) {
            (false, _) => Condition::Degraded,
            (true, Life::Starting) => Condition::Starting,
            (true, _) => Condition::Running,
        }
    }

    /// What keeps the daemon from its work.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.values().cloned().collect()
    }

    /// The label counts of all packages; `None` before the first run has ended.
    pub(super) fn counts(&self) -> Option<LabelCounts> {
        let (counted_time_us, duration_us) = self.counted?;
        Some(LabelCounts { written: self.written, counted_time_us, duration_us, ..self.tally.counts() })
    }

    pub(super) const fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) const fn last_transaction(&self) -> Option<&Transaction> {
        self.last_transaction.as_ref()
    }

    fn is_stopping(&self) -> bool {
        self.life == Life::Stopping
    }

    /// Whether a job waits or is being done.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.running.is_empty()
    }

    /// A number for a job that somebody asks for; `None` where too many wait.
    pub(super) fn accept(&mut self) -> Option<u32> {
        if self.is_stopping() || self.queue.len() >= WAITING {
            return None;
        }
        self.next_id += 1;
        Some(self.next_id)
    }

    /// Takes an event at a time of the wall clock.
    pub(super) fn handle(&mut self, event: Event, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Started(saved) => {
                self.newest = saved.newest;
                self.last_transaction = saved.last_transaction;
                self.look.want();
                actions.push(Action::Survey);
            }
            Event::Changed(change) => {
                self.rescan |= change == Change::FolderReplaced;
                self.look(&mut actions);
            }
            Event::Timer => {
                self.timer = false;
                self.look(&mut actions);
            }
            Event::Lock(Lock::Held) => {
                // Its close is an event, unless the process lets go of the lock and keeps the file open.
                self.arm(true, &mut actions);
                self.looked(&mut actions);
            }
            Event::Lock(Lock::Free) => {
                self.since = now;
                self.arm(false, &mut actions);
                actions.push(Action::Survey);
            }
            Event::Surveyed(result) => {
                self.surveyed(result, now, &mut actions);
                self.looked(&mut actions);
            }
            Event::Ordered(id, kind, selection, How { write, full }) => {
                let order = Order { selection, write, full, ..self.order(id, kind) };
                self.enqueue(order, &mut actions);
            }
            Event::Cancelled(id) => self.cancel(id, &mut actions),
            Event::Ended(id, outcome) => self.ended(id, outcome, now, &mut actions),
            Event::Problem(source, problem) => self.problem(source, problem, &mut actions),
            Event::Program(program) => self.program(program, &mut actions),
            Event::RulesChanged => {
                self.rescan = true;
                self.look(&mut actions);
            }
            Event::NextBootOutdated => self.check_next_boot(&mut actions),
            Event::NextBoot(found) => self.next_boot(&found, &mut actions),
            Event::Stop => self.stop(&mut actions),
        }
        if self.is_stopping() && !self.is_at_work() {
            actions.push(Action::Exit);
        }
        actions
    }

    /// What a transaction brought is needed by the next boot, which may come right now, as after an offline update: it is
    /// labelled, and the next boot checked, before the daemon ends. All else is done again after the next start.
    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.life = Life::Stopping;
        let (needed, rest) = std::mem::take(&mut self.queue).into_iter().partition(is_quick);
        self.queue = needed;
        actions.extend(rest.iter().map(|order| Action::Close(order.id, Closed::Canceled)));
        let rest = self.running.iter().filter(|order| !is_quick(order));
        actions.extend(rest.map(|order| Action::Cancel(order.id)));
        if self.known.is_some() {
            // A transaction may have ended a moment ago.
            self.look(actions);
        }
    }

    fn is_at_work(&self) -> bool {
        self.is_busy() || self.look != Turn::Free || self.checking != Turn::Free
    }

    /// Whether something is going on that the next boot needs.
    pub(super) fn owes_the_next_boot(&self) -> bool {
        self.checking != Turn::Free || self.queue.iter().chain(&self.running).any(is_quick)
    }

    /// Looks at the database, now or as soon as the look that is going on is over.
    fn look(&mut self, actions: &mut Vec<Action>) {
        if self.look.want() {
            actions.push(Action::LookAtLock);
        }
    }

    fn looked(&mut self, actions: &mut Vec<Action>) {
        if self.look.end() {
            self.look(actions);
        }
    }

    fn arm(&mut self, wanted: bool, actions: &mut Vec<Action>) {
        match (self.timer, wanted) {
            (false, true) => actions.push(Action::ArmTimer),
            (true, false) => actions.push(Action::DisarmTimer),
            _ => {}
        }
        self.timer = wanted;
    }

    fn surveyed(&mut self, result: Result<BTreeSet<i64>, Trouble>, now: u64, actions: &mut Vec<Action>) {
        let numbers = match result {
            Ok(numbers) => numbers,
            Err(trouble) => {
                // Whatever is there afterwards need not be what was there before.
                self.rescan = true;
                self.problem(Source::Database, Some(trouble.problem), actions);
                self.arm(trouble.silent, actions);
                return;
            }
        };
        self.problem(Source::Database, None, actions);
        if self.is_stopping() && (self.rescan || self.known.is_none()) {
            // The next start goes through all.
            return;
        }
        let old = self.known.replace(numbers.clone());
        if std::mem::take(&mut self.rescan) {
            let mut order = Order { selection: Selection::All, write: true, ..self.numbered(Kind::Catchup) };
            if old.is_none() && self.newest > 0 {
                order.added = numbers.range(self.newest + 1..).copied().collect();
            }
            if !self.queue.iter().any(|order| order.kind == Kind::Catchup) {
                self.enqueue(order, actions);
            }
            return;
        }
        let old = old.unwrap_or_default();
        let added: BTreeSet<i64> = numbers.difference(&old).copied().collect();
        let removed = old.difference(&numbers).count() as u64;
        if !added.is_empty() {
            let selection = Selection::Numbers(added.iter().copied().collect());
            let order = self.numbered(Kind::Transaction);
            self.enqueue(Order { selection, write: true, added, removed, since: self.since, ..order }, actions);
        } else if removed > 0 {
            self.tally.retain(&numbers);
            self.counted = self.counted.map(|(_, duration)| (now, duration));
            let order = Order { removed, since: self.since, ..self.order(0, Kind::Transaction) };
            self.finish(&order, &LabelReport::default(), &[], now, actions);
            actions.push(Action::Gather);
            self.idle(actions);
        }
    }

    fn order(&self, id: u32, kind: Kind) -> Order {
        let selection = Selection::Numbers(Vec::new());
        Order { id, kind, selection, write: false, full: false, added: BTreeSet::new(), removed: 0, since: self.since }
    }

    fn numbered(&mut self, kind: Kind) -> Order {
        self.next_id += 1;
        self.order(self.next_id, kind)
    }

    fn enqueue(&mut self, order: Order, actions: &mut Vec<Action>) {
        actions.push(Action::Show(order.id, order.kind));
        self.queue.push_back(order);
        self.begin(actions);
    }

    /// Begins what can be begun. Transactions do not wait for long work: what they bring is to run soon.
    fn begin(&mut self, actions: &mut Vec<Action>) {
        for quick in [true, false] {
            if (self.is_stopping() && !quick) || self.running.iter().any(|order| is_quick(order) == quick) {
                continue;
            }
            let place = self.queue.iter().position(|order| is_quick(order) == quick);
            if let Some(order) = place.and_then(|place| self.queue.remove(place)) {
                actions.push(Action::Begin(order.clone()));
                self.running.push(order);
            }
        }
    }

    fn cancel(&mut self, id: u32, actions: &mut Vec<Action>) {
        if let Some(place) = self.queue.iter().position(|order| order.id == id)
            && let Some(order) = self.queue.remove(place)
        {
            self.abandon(&order);
            actions.push(Action::Close(id, Closed::Canceled));
        } else if self.running.iter().any(|order| order.id == id) {
            actions.push(Action::Cancel(id));
        }
    }

    /// What was not done is to be done at the next occasion.
    fn abandon(&mut self, order: &Order) {
        match order.kind {
            Kind::Transaction => {
                if let Some(known) = &mut self.known {
                    known.retain(|number| !order.added.contains(number));
                }
            }
            Kind::Catchup => self.rescan = true,
            Kind::Relabel | Kind::Check => {}
        }
    }

    fn ended(&mut self, id: u32, outcome: Outcome, now: u64, actions: &mut Vec<Action>) {
        let Some(place) = self.running.iter().position(|order| order.id == id) else { return };
        let order = self.running.remove(place);
        match outcome {
            Ok((report, packages)) => {
                self.count(&order, &report, &packages, now, actions);
                self.finish(&order, &report, &packages, now, actions);
                self.program = true;
                actions.push(Action::Close(id, Closed::Done(report)));
            }
            Err(RunError::Cancelled) => {
                self.abandon(&order);
                actions.push(Action::Close(id, Closed::Canceled));
            }
            Err(error) => {
                self.abandon(&order);
                let problem = Problem::new(error.to_string(), error.next_step());
                let failure = match &error {
                    RunError::Database(database) => {
                        // Not at once again: it would fail again. The next event leads to another try.
                        self.rescan = true;
                        self.problem(Source::Packages, Some(problem.clone()), actions);
                        self.arm(database.is_busy(), actions);
                        RunFailure::Database(problem)
                    }
                    RunError::NoSpace { .. } => {
                        self.problem(Source::Space, Some(problem.clone()), actions);
                        RunFailure::NoSpace(problem)
                    }
                    RunError::NoSuchPackage(_) | RunError::Cancelled => RunFailure::NoSuchPackage(problem),
                };
                actions.push(Action::Close(id, Closed::Failed(failure)));
            }
        }
        if order.kind == Kind::Catchup && self.life == Life::Starting {
            self.life = Life::Running;
        }
        self.begin(actions);
        actions.push(Action::Gather);
        self.idle(actions);
    }

    /// Brings the tally up to date after a run.
    fn count(
        &mut self,
        order: &Order,
        report: &LabelReport,
        packages: &[PackageLabels],
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        if matches!(order.selection, Selection::Paths(_)) {
            let wrong: Vec<i64> =
                packages.iter().filter(|part| !self.tally.agrees(part)).map(|part| part.number).collect();
            if self.counted.is_some() && !wrong.is_empty() && !self.is_stopping() {
                let recount = Order { selection: Selection::Numbers(wrong), ..self.numbered(Kind::Check) };
                self.enqueue(recount, actions);
            }
            return;
        }
        self.tally.merge(packages, &report.files);
        if let Some(known) = &self.known {
            self.tally.retain(known);
        }
        self.written = report.counts.written;
        if order.selection == Selection::All || self.counted.is_some() {
            self.counted = Some((now, report.counts.duration_us));
        }
    }

    /// Says what a run did, and keeps what is to be kept.
    fn finish(
        &mut self,
        order: &Order,
        report: &LabelReport,
        packages: &[PackageLabels],
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        let added: Vec<&PackageLabels> =
            packages.iter().filter(|package| order.added.contains(&package.number)).collect();
        actions.extend(Line::of_run(order.kind, report, packages, &added).into_iter().map(Action::Say));
        // A run that wrote nothing did not try the journal.
        if report.counts.written > 0 || !report.of_journal.is_empty() {
            self.problem(Source::Journal, report.of_journal.first().cloned(), actions);
        }
        if report.counts.written > 0 || order.kind == Kind::Catchup {
            self.problem(Source::Space, None, actions);
        }
        if !matches!(order.kind, Kind::Transaction | Kind::Catchup) {
            return;
        }
        if order.kind == Kind::Catchup {
            let of_packages = report.problems.iter().find(|problem| !report.of_journal.contains(problem));
            self.problem(Source::Packages, of_packages.cloned(), actions);
        }
        if order.kind == Kind::Transaction || !added.is_empty() {
            let transaction = transaction(&added, order.removed, report, now, order.since);
            actions.push(Action::Announce(transaction.clone()));
            self.last_transaction = Some(transaction);
            self.check_next_boot(actions);
        }
        self.newest = self.known.as_ref().and_then(|known| known.last().copied()).unwrap_or(0);
        let saved = Saved { newest: self.newest, last_transaction: self.last_transaction.clone(), ..Saved::default() };
        actions.push(Action::Save(saved));
    }

    fn check_next_boot(&mut self, actions: &mut Vec<Action>) {
        if self.checking.want() {
            actions.push(Action::CheckNextBoot);
        }
    }

    /// Tells what the next boot comes to: while it is not as it should be at each change, and once when it is again.
    fn next_boot(&mut self, found: &NextBootState, actions: &mut Vec<Action>) {
        if self.checking.end() {
            // Packages came meanwhile: this is no answer any more.
            self.check_next_boot(actions);
            return;
        }
        let said = |found: &NextBootState| (found.ready, found.summary.clone(), found.packages.clone());
        let before = self.next_boot.replace(found.clone());
        let is_new = before.as_ref().map(said) != Some(said(found));
        if is_new && (!found.ready || before.is_some_and(|before| !before.ready)) {
            let brought = self.last_transaction.as_ref().map(|transaction| transaction.added.clone());
            actions.push(Action::Say(Line::of_next_boot(found, &brought.unwrap_or_default())));
        }
        let motd = (!found.ready).then(|| format!("imad: {}\nNext: imactl check --next-boot\n", found.summary));
        actions.extend([Action::Motd(motd), Action::Gather]);
    }

    /// A problem came or went. It is said once: the database and its packages fail together, with texts that change
    /// while they are touched, and so do the files in /var/lib/imad.
    fn problem(&mut self, source: Source, problem: Option<Problem>, actions: &mut Vec<Action>) {
        let family: &[Source] = match &source {
            Source::Database | Source::Packages => &[Source::Database, Source::Packages],
            Source::State | Source::Journal => &[Source::State, Source::Journal],
            alone => std::slice::from_ref(alone),
        };
        let is_bad = |problems: &BTreeMap<Source, Problem>| family.iter().any(|source| problems.contains_key(source));
        let was_bad = is_bad(&self.problems);
        let old = match &problem {
            Some(problem) => self.problems.insert(source, problem.clone()),
            None => self.problems.remove(&source),
        };
        let known = if family.len() == 1 { old == problem } else { was_bad == is_bad(&self.problems) };
        if !known {
            actions.extend(Line::of_problem(source, problem).map(Action::Say));
        }
    }

    /// With no job left, sees whether the program is still the one that runs.
    fn idle(&mut self, actions: &mut Vec<Action>) {
        if !self.is_busy() && !self.is_stopping() && std::mem::take(&mut self.program) {
            actions.push(Action::LookAtProgram);
        }
    }

    fn program(&mut self, program: Program, actions: &mut Vec<Action>) {
        match program {
            Program::Same => self.problem(Source::Program, None, actions),
            // A job came in between: look again after it.
            Program::Replaced if self.is_busy() => self.program = true,
            Program::Replaced if self.is_stopping() => {}
            Program::Replaced => actions.extend([Action::Say(Line::Reexec), Action::Execute]),
            Program::Denied(problem) => self.problem(Source::Program, Some(problem), actions),
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

//! The shell around the engine: one loop on one thread that takes inputs and carries actions out.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::event::{Action, Closed, Event, Lock, Source};
use super::jobs::Job;
use super::serve::Served;
use super::turn::Turn;
use super::{source, state, work};
use crate::bus::request::{Caller, Desk, Reply, Request};
use crate::model::config::Config;
use crate::model::report::{Loader, Problem, Status};
use crate::ops::configuration;
use crate::sys::process::Program;
use crate::sys::root::Root;
use crate::sys::{clock, motd, rpmdb};

/// What the command line says.
#[derive(Debug)]
pub(super) struct Options {
    /// The root.
    pub(super) root: PathBuf,
    /// The bus; the system bus where none is given.
    pub(super) bus: Option<String>,
}

/// What comes to the loop.
#[derive(Debug)]
pub(super) enum Input {
    /// Something for the engine.
    Event(Event),
    /// Somebody asks.
    Request(Request),
    /// Somebody may have what he asked for; the flag says whether it is root.
    Granted(Request, bool),
    /// The status was gathered.
    Gathered(Box<Status>),
    /// The state was written down, or not.
    Saved(Result<(), Problem>),
    /// Time to look at the running jobs' progress.
    Progress,
    /// Time to tell the service manager that we live.
    Watchdog,
    /// The bus is gone, or it is time to try it again.
    Connect,
    /// SIGHUP.
    Reload,
    /// The configuration and the keys were read again.
    Reloaded(Box<work::Reloaded>),
    /// SIGTERM.
    Terminate,
    /// Running jobs have had their time to end; with `true` what the next boot needs had its time too.
    Deadline(bool),
}

/// Where inputs are sent.
pub(super) type Inputs = mpsc::UnboundedSender<Input>;

/// A lock that is held is looked at again after so long, in case that its fall was no event.
const GUARD: Duration = Duration::from_secs(15);
/// Progress is told that often.
const PROGRESS: Duration = Duration::from_millis(250);
/// Running jobs have so long to end at SIGTERM; killing them loses nothing.
const GRACE: Duration = Duration::from_millis(1500);
/// What the next boot needs has so long (`TimeoutStopSec=` of the unit is longer).
const LAST: Duration = Duration::from_secs(80);
/// How long answers may take to leave when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(300);
/// The bus has so long to answer.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest pause between two tries to reach the bus.
const RECONNECT: Duration = Duration::from_secs(60);
/// Ended jobs whose objects can still be read.
const KEPT: usize = 4;
/// Watchdog periods that a job may be without any progress.
const STALLS: u32 = 8;

/// The shell.
pub(super) struct Shell {
    pub(super) root: Arc<Root>,
    pub(super) config: Arc<Config>,
    pub(super) engine: Engine,
    pub(super) desk: Desk,
    pub(super) inputs: Inputs,
    pub(super) jobs: BTreeMap<u32, Job>,
    bus: Option<String>,
    pub(super) served: Option<Served>,
    reconnect: Duration,
    program: Option<Program>,
    ended: VecDeque<u32>,
    /// Who asked for the job that is about to be shown.
    pub(super) owner: Option<Caller>,
    guard: Option<JoinHandle<()>>,
    ticking: Option<JoinHandle<()>>,
    pub(super) gathering: Turn,
    /// Problems that the gathering found; the daemon's own come to them.
    found: Vec<Problem>,
    /// Who waits for the status that is being gathered, and for the one after it.
    pub(super) waiting: [Vec<(Reply<String>, bool)>; 2],
    saving: u32,
    execute: bool,
    /// What a job had done at the last watchdog period, and for how many it has done nothing.
    stalled: (u64, u32),
    told: String,
    /// It ends as soon as all is saved.
    ending: bool,
    exit: bool,
}

/// Tells the service manager; outside of systemd nobody listens.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

/// Runs the daemon until it is told to end.
pub(super) async fn run(options: Options) -> Result<(), String> {
    let root = Root::open(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    let (inputs, mut received) = mpsc::unbounded_channel();
    let (desk, requests) = Desk::new();
    let (config, faults) = configuration::load(&root);
    let program = Program::running().inspect_err(|error| tracing::warn!("the program's own file: {error}")).ok();
    let mut shell = Shell {
        root: Arc::new(root),
        config: Arc::new(config),
        engine: Engine::new(),
        desk,
        inputs: inputs.clone(),
        jobs: BTreeMap::new(),
        bus: options.bus,
        served: None,
        reconnect: Duration::from_secs(1),
        program,
        ended: VecDeque::new(),
        owner: None,
        guard: None,
        ticking: None,
        gathering: Turn::Free,
        found: Vec::new(),
        waiting: Default::default(),
        saving: 0,
        execute: false,
        stalled: (0, 0),
        told: String::new(),
        ending: false,
        exit: false,
    };
    source::signals(&inputs).map_err(|error| format!("signals: {error}"))?;
    source::watch(shell.root.clone(), inputs.clone());
    source::requests(requests, inputs.clone());
    source::watchdog(&inputs);
    if std::env::var_os(REEXEC).is_some() {
        tracing::info!("version {} was executed by its predecessor", env!("CARGO_PKG_VERSION"));
    }
    let saved = state::load(&shell.root);
    let status = work::gather(&shell.root, None, saved.last_transaction.clone(), shell.engine.condition());
    shell.take_status(status());
    shell.event(Event::Problem(Source::Configuration, work::one(faults))).await;
    shell.connect().await;
    notify(&[NotifyState::Ready]);
    shell.event(Event::Started(saved)).await;
    if shell.desk.view().status.next_boot.as_ref().is_some_and(|found| found.outdated) {
        // Packages came while no daemon ran, or the one before this ended amid its check.
        shell.event(Event::NextBootOutdated).await;
    }
    while !shell.exit {
        let Some(input) = received.recv().await else { break };
        shell.input(input).await;
    }
    // Whoever still waits for an answer learns that the daemon is ending. The connection is not waited for any longer
    // than that: a graceful shutdown would await calls that nobody answers.
    drop(received);
    if let Some(served) = shell.served.take() {
        let shutdown = served.connection.graceful_shutdown();
        if tokio::time::timeout(FAREWELL, shutdown).await.is_err() {
            tracing::debug!("the bus connection is closed with calls unanswered");
        }
    }
    Ok(())
}

/// Tells the new program that it was not started, but executed by the old one.
const REEXEC: &str = "IMAD_REEXEC";

impl Shell {
    async fn input(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.event(event).await,
            Input::Request(request) => self.request(request),
            Input::Granted(request, root) => self.granted(request, root).await,
            Input::Gathered(status) => self.gathered(*status).await,
            Input::Saved(result) => {
                self.saving -= 1;
                self.event(Event::Problem(Source::State, result.err())).await;
                if self.ending && self.saving == 0 {
                    self.exit = true;
                } else if self.execute && self.saving == 0 {
                    self.execute().await;
                }
            }
            Input::Progress => self.progress().await,
            Input::Watchdog => self.watchdog(),
            Input::Connect => self.connect().await,
            Input::Reload => {
                let mut states = vec![NotifyState::Reloading];
                states.extend(NotifyState::monotonic_usec_now());
                notify(&states);
                let (root, inputs) = (self.root.clone(), self.inputs.clone());
                work::offload(inputs, move || Input::Reloaded(Box::new(work::reload(&root))));
            }
            Input::Reloaded(new) => self.reloaded(*new).await,
            Input::Terminate => {
                notify(&[NotifyState::Stopping]);
                source::later(&self.inputs, GRACE, || Input::Deadline(false));
                source::later(&self.inputs, LAST, || Input::Deadline(true));
                self.event(Event::Stop).await;
            }
            Input::Deadline(last) => self.exit |= last || !self.engine.owes_the_next_boot(),
        }
    }

    /// Lets the engine take an event, and carries out what it says.
    pub(super) async fn event(&mut self, event: Event) {
        let actions = self.engine.handle(event, clock::wall_us());
        for action in actions {
            self.carry_out(action).await;
        }
        self.show().await;
    }

    async fn carry_out(&mut self, action: Action) {
        match action {
            Action::LookAtLock => {
                let lock = match rpmdb::transaction_lock(&self.root) {
                    Ok(Some(_)) => Lock::Held,
                    Ok(None) => Lock::Free,
                    Err(error) => {
                        tracing::debug!("rpm's lock: {error}");
                        Lock::Free
                    }
                };
                self.send(Input::Event(Event::Lock(lock)));
            }
            Action::Survey => {
                let root = self.root.clone();
                work::offload(self.inputs.clone(), move || Input::Event(Event::Surveyed(work::survey(&root))));
            }
            Action::ArmTimer => {
                self.guard = Some(source::later(&self.inputs, GUARD, || Input::Event(Event::Timer)));
            }
            Action::DisarmTimer => {
                if let Some(guard) = self.guard.take() {
                    guard.abort();
                }
            }
            Action::Show(id, kind) => {
                let job = Job::new(id, kind, self.owner.take());
                let record = job.record.clone();
                self.jobs.insert(id, job);
                self.desk.view_mut().jobs.insert(id, record.clone());
                if let Some(served) = &self.served {
                    Self::told(served.show(&record).await);
                    Self::told(served.job_new(&record).await);
                }
            }
            Action::Begin(order) => {
                let Some(job) = self.jobs.get(&order.id) else { return };
                job.begin(order, &self.root, &self.config, &self.inputs);
                let record = job.record.clone();
                if let Some(served) = &self.served {
                    Self::told(served.job_changed(&record, true).await);
                }
                let inputs = &self.inputs;
                self.ticking.get_or_insert_with(|| source::every(inputs, PROGRESS, || Input::Progress));
            }
            Action::Cancel(id) => {
                if let Some(job) = self.jobs.get(&id) {
                    job.cancel();
                }
            }
            Action::Close(id, closed) => self.close(id, closed).await,
            Action::Save(saved) => {
                self.saving += 1;
                let root = self.root.clone();
                work::offload(self.inputs.clone(), move || Input::Saved(state::save(&root, &saved)));
            }
            Action::Announce(transaction) => {
                if let Some(served) = &self.served {
                    Self::told(served.transaction(&transaction).await);
                }
            }
            Action::Say(line) => line.write(self.enforced()),
            Action::CheckNextBoot => {
                let root = self.root.clone();
                work::offload(self.inputs.clone(), move || Input::Event(Event::NextBoot(work::next_boot(&root))));
            }
            Action::Motd(text) => {
                let root = self.root.clone();
                work::beside(move || {
                    if let Err(error) = motd::put(&root, text.as_deref()) {
                        tracing::warn!("{}: {error}", motd::FILE);
                    }
                });
            }
            Action::Gather => self.gather(),
            Action::LookAtProgram => {
                let Some(program) = self.program.clone() else { return };
                let (root, config) = (self.root.clone(), self.config.clone());
                let demanded = self.desk.view().status.policy.loaded_by != Loader::Nobody;
                work::offload(self.inputs.clone(), move || {
                    Input::Event(Event::Program(work::judge_program(&root, &config, &program, demanded)))
                });
            }
            Action::Execute if self.saving > 0 => self.execute = true,
            Action::Execute => Box::pin(self.execute()).await,
            Action::Exit if self.saving > 0 => self.ending = true,
            Action::Exit => self.exit = true,
        }
    }

    /// Becomes the new program. All descriptors close by themselves; the new one looks at everything again.
    async fn execute(&mut self) {
        self.execute = false;
        if self.engine.is_busy() {
            return;
        }
        let Some(program) = &self.program else { return };
        notify(&[NotifyState::Status("executing the new version")]);
        let error = program.execute(REEXEC, "1");
        let what = format!("{} cannot be executed: {error}", program.path().display());
        let next = format!("imactl explain {}", crate::model::explain::quote(&program.path().display().to_string()));
        Box::pin(self.event(Event::Problem(Source::Program, Some(Problem::new(what, next))))).await;
    }

    async fn close(&mut self, id: u32, closed: Closed) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let result = job.close(closed);
        let record = job.record.clone();
        self.ended.push_back(id);
        if let Some(served) = &self.served {
            Self::told(served.job_changed(&record, true).await);
            Self::told(served.job_removed(&record, result).await);
        }
        while self.ended.len() > KEPT {
            let Some(oldest) = self.ended.pop_front() else { break };
            self.desk.view_mut().jobs.remove(&oldest);
            if let (Some(job), Some(served)) = (self.jobs.remove(&oldest), &self.served) {
                Self::told(served.forget(&job.record).await);
            }
        }
        if self.running().next().is_none()
            && let Some(ticking) = self.ticking.take()
        {
            ticking.abort();
        }
    }

    fn running(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(|job| job.record.snapshot().state == crate::bus::job::JobState::Running)
    }

    async fn progress(&mut self) {
        let changed: Vec<_> = self.running().filter(|job| job.show_progress()).map(|job| job.record.clone()).collect();
        if let Some(served) = &self.served {
            for record in changed {
                Self::told(served.job_changed(&record, false).await);
            }
        }
    }

    /// The loop lives, or this would not run; a job must do something too.
    fn watchdog(&mut self) {
        let counters = |job: &Job| {
            let (done, total, bytes) = job.counters();
            done.wrapping_add(total).wrapping_add(bytes)
        };
        let done = self.running().map(counters).fold(0, u64::wrapping_add);
        let stalls = if done == self.stalled.0 && self.running().next().is_some() { self.stalled.1 + 1 } else { 0 };
        self.stalled = (done, stalls);
        match stalls.cmp(&STALLS) {
            std::cmp::Ordering::Less => notify(&[NotifyState::Watchdog]),
            std::cmp::Ordering::Equal => tracing::error!("a job makes no progress; the watchdog will end this process"),
            std::cmp::Ordering::Greater => {}
        }
    }

    /// Connects to the bus, or arranges for another try.
    async fn connect(&mut self) {
        self.served = None;
        let connecting = Served::connect(self.bus.as_deref(), &self.desk);
        let result = match tokio::time::timeout(CONNECT, connecting).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        };
        let problem = match result {
            Ok(served) => {
                source::closed(served.connection.clone(), self.inputs.clone());
                self.served = Some(served);
                self.reconnect = Duration::from_secs(1);
                None
            }
            Err(why) => {
                source::later(&self.inputs, self.reconnect, || Input::Connect);
                self.reconnect = (2 * self.reconnect).min(RECONNECT);
                let bus = self.bus.as_deref().unwrap_or("the system bus");
                Some(Problem::new(format!("{bus} cannot be used: {why}"), "systemctl status dbus.socket"))
            }
        };
        self.event(Event::Problem(Source::Bus, problem)).await;
    }

    /// Gathers the status, now or as soon as the gathering that is going on is over.
    pub(super) fn gather(&mut self) {
        if !self.gathering.want() {
            return;
        }
        let last_transaction = self.engine.last_transaction().cloned();
        let status = work::gather(&self.root, self.engine.counts(), last_transaction, self.engine.condition());
        work::offload(self.inputs.clone(), move || Input::Gathered(Box::new(status())));
    }

    async fn gathered(&mut self, status: Status) {
        let again = self.gathering.end();
        self.take_status(status);
        self.show().await;
        let [now, next] = std::mem::take(&mut self.waiting);
        self.waiting[0] = next;
        self.answer_status(now);
        if again || !self.waiting[0].is_empty() {
            self.gather();
        }
    }

    fn take_status(&mut self, status: Status) {
        self.found.clone_from(&status.problems);
        self.desk.view_mut().status = status;
    }

    async fn reloaded(&mut self, new: work::Reloaded) {
        let changed =
            new.config.labels != self.config.labels || new.certificates != self.desk.view().status.certificates;
        self.config = Arc::new(new.config);
        self.event(Event::Problem(Source::Configuration, work::one(new.faults))).await;
        if changed {
            self.event(Event::RulesChanged).await;
        }
        if self.desk.view().status.next_boot.is_some() {
            // By which keys and settings the answer came about is not recorded.
            self.event(Event::NextBootOutdated).await;
        }
        self.gather();
        tracing::info!("the configuration was read again");
        notify(&[NotifyState::Ready]);
    }

    /// Whether a policy is active.
    fn enforced(&self) -> bool {
        matches!(self.desk.view().status.policy.loaded_by, Loader::ImadBoot | Loader::Other)
    }

    /// Brings what the bus and the service manager see up to date.
    async fn show(&mut self) {
        let condition = self.engine.condition();
        let own = self.engine.problems();
        let text = match own.first() {
            Some(problem) => format!("{condition}: {}", problem.what),
            None => condition.to_string(),
        };
        {
            let mut view = self.desk.view_mut();
            view.condition = condition;
            let more = own.iter().filter(|own| !self.found.iter().any(|found| found.what == own.what));
            view.status.problems = self.found.iter().chain(more).cloned().collect();
            condition.name().clone_into(&mut view.status.daemon);
            view.status.labels = self.engine.counts();
            view.status.last_transaction = self.engine.last_transaction().cloned();
            view.files = self.engine.tally().files().clone();
        }
        if text != self.told {
            notify(&[NotifyState::Status(&text)]);
            self.told = text;
        }
        if let Some(served) = &mut self.served {
            Self::told(served.publish().await);
        }
    }

    /// Nobody may listen any more; that the bus is gone is an input of its own.
    fn told(result: zbus::Result<()>) {
        if let Err(error) = result {
            tracing::debug!("a signal: {error}");
        }
    }

    pub(super) fn send(&self, input: Input) {
        // The other end is this loop's own.
        self.inputs.send(input).unwrap_or_default();
    }
}

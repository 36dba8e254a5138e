//! A guest that runs: commands, files, reboots, power cuts.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::disk;
use super::folder::Folder;
use super::limit::{self, Permit};
use super::machine::{Begin, CONSOLE, LOG, Machine, Parts};
use super::qemu::VARIABLES;
use super::run::{Output, Run};
use super::setup::{Kind, Setup, Stage};
use super::state::State;
use super::wire::{self, Command, Hello, Reply, Request};

/// What the harness allows the agent beyond a command's own timeout.
const GRACE: Duration = Duration::from_secs(30);
/// How much of a file goes into one request.
const PART: usize = 32 * 1024;
/// A guest's own copy of the root image, where its setup changes it.
pub(super) const CHANGED: &str = "root.raw";
/// Lines of the console that a failure shows.
const SHOWN: usize = 80;

/// Something that the harness wanted of a guest and did not get, with the end of its console.
#[derive(Clone, Debug)]
pub(crate) struct Failure(pub(super) String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What must have gone well; the panic names the line of the test.
#[track_caller]
pub(super) fn must<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

/// A running guest on throw-away disks. Its end is the end of its processes and of everything it wrote.
///
/// What fails for reasons that are not the test's subject panics with the console's last lines; each such method has
/// a twin `try_…` that returns the [`Failure`].
pub(crate) struct Guest {
    pub(super) setup: Setup,
    /// What its disks are made for.
    kind: Kind,
    // Dropped in this order: the machine, its files, the right to run.
    machine: RefCell<Option<Machine>>,
    folder: Folder,
    /// What its disks read through to.
    images: Vec<PathBuf>,
    pub(super) origin: Option<State>,
    permit: Permit,
    booted: Cell<Duration>,
}

impl Guest {
    /// Boots a guest and waits until it has come as far as its setup says.
    #[track_caller]
    pub(crate) fn boot(setup: Setup) -> Self {
        must(Self::try_boot(setup))
    }

    /// Boots a guest, or says why it did not come as far as it should.
    pub(crate) fn try_boot(setup: Setup) -> Result<Self, Failure> {
        let guest = Self::prepare(setup)?;
        guest.try_start()?;
        Ok(guest)
    }

    /// A guest with its disks, not yet switched on.
    fn prepare(setup: Setup) -> Result<Self, Failure> {
        let mut guest = Self::new(setup, None)?;
        if !guest.setup.changes.is_empty() {
            disk::changed_copy(&guest.setup.root, &guest.setup.changes, &guest.path(CHANGED)).map_err(Failure)?;
            guest.images[0] = guest.path(CHANGED);
        }
        if guest.kind == Kind::Qemu {
            for (number, image) in guest.images.iter().enumerate() {
                // The changed root lies beside the overlay, wherever both are moved.
                let image = if *image == guest.path(CHANGED) { Path::new(CHANGED) } else { image };
                disk::overlay(image, "raw", &guest.path(&format!("disk{number}"))).map_err(Failure)?;
            }
        }
        if let Some(firmware) = &guest.setup.firmware {
            let copied = fs::copy(&firmware.variables, guest.path(VARIABLES));
            copied.map_err(|error| guest.failure(&format!("{}: {error}", firmware.variables.display())))?;
        }
        Ok(guest)
    }

    /// A guest that is off, with the disks that another one left.
    pub(super) fn with_disks_of(state: &State) -> Result<Self, Failure> {
        let mut guest = Self::new(state.setup().clone(), Some(state.clone()))?;
        if state.path(CHANGED).exists() {
            guest.images[0] = state.path(CHANGED);
        }
        for number in 0..guest.images.len() {
            let name = format!("disk{number}");
            disk::copy_sparse(&state.path(&name), &guest.path(&name)).map_err(Failure)?;
        }
        Ok(guest)
    }

    /// A guest that goes on where the saved one was.
    #[track_caller]
    pub(crate) fn restore(state: &State) -> Self {
        must(Self::try_restore(state))
    }

    fn try_restore(state: &State) -> Result<Self, Failure> {
        let guest = Self::new(state.setup().clone(), Some(state.clone()))?;
        let begun = Instant::now();
        for number in 0..guest.images.len() {
            let name = format!("disk{number}");
            disk::overlay(&state.path(&name), "qcow2", &guest.path(&name)).map_err(Failure)?;
        }
        for name in [CONSOLE, "ram"] {
            disk::copy_sparse(&state.path(name), &guest.path(name)).map_err(Failure)?;
        }
        let machine = guest.machine(Begin::Saved)?;
        *guest.machine.borrow_mut() = Some(machine);
        guest.with("restoring", |machine| {
            machine.qmp()?.restore(&state.path("state"))?;
            machine.agent.ping(GRACE)
        })?;
        guest.booted.set(begun.elapsed());
        Ok(guest)
    }

    fn new(setup: Setup, origin: Option<State>) -> Result<Self, Failure> {
        let permit = limit::permit();
        log_machine(setup.kind()).map_err(|error| Failure(format!("IMAD_MACHINE_LOG: {error}")))?;
        let folder = Folder::new().map_err(Failure)?;
        let (kind, machine, booted) = (setup.kind(), RefCell::new(None), Cell::default());
        let images = std::iter::once(&setup.root).chain(&setup.disks).cloned().collect();
        Ok(Self { setup, kind, machine, folder, images, origin, permit, booted })
    }

    fn machine(&self, begin: Begin) -> Result<Machine, Failure> {
        assert_eq!(self.setup.kind(), self.kind, "a guest keeps its kind of machine");
        let processor = self.permit.processor();
        let parts = Parts { setup: &self.setup, folder: self.folder(), images: &self.images, processor };
        Machine::start(&parts, begin).map_err(|error| self.failure(&error))
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The guest's folder on the host.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Switches a guest on again that was cut off or shut down, and waits as `boot` does.
    #[track_caller]
    pub(crate) fn start(&self) {
        must(self.try_start());
    }

    /// Switches a guest on, or says why it did not come as far as it should.
    pub(crate) fn try_start(&self) -> Result<(), Failure> {
        assert!(self.machine.borrow().is_none(), "the guest runs already");
        let begun = Instant::now();
        let machine = self.machine(Begin::Boot)?;
        *self.machine.borrow_mut() = Some(machine);
        self.reach(self.setup.until, None, self.setup.boot_timeout)?;
        self.booted.set(begun.elapsed());
        Ok(())
    }

    /// How long the last boot or restore took, until the guest answered as its setup wants.
    pub(crate) fn boot_time(&self) -> Duration {
        self.booted.get()
    }

    /// What the guest is made of, and how it starts next.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where a program of the host's ([`Network::command`]) finds a port of the guest.
    ///
    /// [`Network::command`]: super::Network::command
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        let link = self.setup.link.as_ref();
        link.unwrap_or_else(|| panic!("{}", self.failure("the guest has no network"))).address(port)
    }

    /// What runs the guest.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What a disk is called in the guest ([`Setup::device`]).
    pub(crate) fn device(&self, number: usize) -> String {
        self.setup.device(number)
    }

    /// Changes the setup (the command line, the kernel) for the next start.
    pub(crate) fn set_up(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(self.setup.clone());
    }

    /// Everything that the guest has written to its serial console, over all its boots.
    pub(crate) fn console(&self) -> String {
        fs::read(self.path(CONSOLE)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into())
    }

    /// Waits until the console has shown these words.
    #[track_caller]
    pub(crate) fn wait_for_console(&self, words: &str, timeout: Duration) {
        let begun = Instant::now();
        while !self.console().contains(words) {
            let over = begun.elapsed() > timeout;
            assert!(!over, "{}", self.failure(&format!("the console does not show {words:?} after {timeout:?}")));
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Prepares a command.
    pub(crate) fn command<S: AsRef<str>>(&self, argv: &[S]) -> Run<'_> {
        Run::new(self, argv.iter().map(|word| word.as_ref().to_owned()).collect())
    }

    /// Runs a command as root.
    #[track_caller]
    pub(crate) fn run<S: AsRef<str>>(&self, argv: &[S]) -> Output {
        self.command(argv).output()
    }

    /// Runs a line of shell as root.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> Output {
        self.run(&["/bin/sh", "-c", line])
    }

    /// Runs a command as another user of the guest.
    #[track_caller]
    pub(crate) fn run_as<S: AsRef<str>>(&self, user: &str, argv: &[S]) -> Output {
        self.command(argv).user(user).output()
    }

    pub(super) fn carry_out(&self, command: &Command) -> Result<Output, Failure> {
        let what = format!("running {:?}", command.argv);
        match self.ask(&what, &Request::Run(command.clone()), command.timeout + GRACE)? {
            Reply::Ran { status, stdout, stderr } => Ok(Output {
                argv: command.argv.clone(),
                status,
                stdout: String::from_utf8_lossy(&stdout).into_owned(),
                stderr: String::from_utf8_lossy(&stderr).into_owned(),
            }),
            other => Err(self.failure(&format!("{what}: {other:?}"))),
        }
    }

    /// Writes a file; an older one keeps its inode. It gets no label.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) {
        let (bytes, what) = (bytes.into(), format!("writing {path}"));
        let parts = if bytes.is_empty() { vec![&bytes[..]] } else { bytes.chunks(PART).collect() };
        for (number, part) in parts.into_iter().enumerate() {
            let (path, offset) = (path.to_owned(), (number * PART) as u64);
            let request = Request::Put { path, mode, offset, bytes: part.to_owned() };
            must(match self.ask(&what, &request, GRACE * 4) {
                Ok(Reply::Done) => Ok(()),
                Ok(other) => Err(self.failure(&format!("{what}: {other:?}"))),
                Err(failure) => Err(failure),
            });
        }
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        let what = format!("reading {path}");
        must(match self.ask(&what, &Request::Get { path: path.to_owned() }, GRACE * 4) {
            Ok(Reply::Content(bytes)) => Ok(bytes),
            Ok(other) => Err(self.failure(&format!("{what}: {other:?}"))),
            Err(failure) => Err(failure),
        })
    }

    /// Reads a file of text.
    #[track_caller]
    pub(crate) fn get_text(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.get(path)).into_owned()
    }

    /// What the agent says of itself now: boot id, initramfs or not, emergency shell or not.
    #[track_caller]
    pub(crate) fn hello(&self) -> Hello {
        must(self.try_hello())
    }

    /// What the agent says of itself now, or why there is none to say it.
    pub(crate) fn try_hello(&self) -> Result<Hello, Failure> {
        self.with("asking the agent", |machine| {
            machine.alive()?;
            machine.agent.ping(GRACE)?;
            machine.agent.hello().cloned().ok_or_else(|| "no agent has greeted".to_owned())
        })
    }

    /// Whether the guest's machine is on.
    pub(crate) fn is_on(&self) -> bool {
        self.machine.borrow().is_some()
    }

    /// Waits until the guest has come that far.
    #[track_caller]
    pub(crate) fn wait_for(&self, stage: Stage) {
        must(self.reach(stage, None, self.setup.boot_timeout));
    }

    /// Reboots from within, and waits until the new system has come as far as the setup says.
    #[track_caller]
    pub(crate) fn reboot(&self) {
        self.reboot_by("reboot");
    }

    /// The same by another verb of systemctl(1), such as `kexec`.
    #[track_caller]
    pub(crate) fn reboot_by(&self, verb: &str) {
        let old = self.hello().boot_id;
        let begun = Instant::now();
        // The agent may be gone before it can answer.
        let argv = ["systemctl", "--no-block", verb].map(str::to_owned).to_vec();
        drop(self.carry_out(&Command { argv, timeout: GRACE, ..Command::default() }));
        must(self.reach(self.setup.until, Some(&old), self.setup.boot_timeout));
        self.booted.set(begun.elapsed());
    }

    /// Takes the power away this instant. What the guest had not flushed may be lost; `start` boots it again.
    #[track_caller]
    pub(crate) fn cut_power(&self) {
        assert!(self.machine.borrow_mut().take().is_some(), "the guest does not run");
    }

    /// Shuts the system down in an orderly way and waits for the power to go; `start` boots it again.
    #[track_caller]
    pub(crate) fn shutdown(&self) {
        let argv = ["systemctl", "--no-block", "poweroff"].map(str::to_owned).to_vec();
        drop(self.carry_out(&Command { argv, timeout: GRACE, ..Command::default() }));
        let ended = self.with("shutting down", |machine| machine.ended(Duration::from_secs(180)));
        must(ended);
        self.machine.borrow_mut().take();
    }

    /// Saves the complete machine, memory and disks, as it is now; it runs on. [`Guest::restore`] makes as many
    /// copies of it as one likes.
    #[track_caller]
    pub(crate) fn save(&self) -> State {
        must(State::save(self))
    }

    fn ask(&self, what: &str, request: &Request, timeout: Duration) -> Result<Reply, Failure> {
        assert!(
            request.encode(0).len() <= wire::REQUEST,
            "{what}: put the bytes into a file, they are too many for one request"
        );
        self.with(what, |machine| machine.request(request, timeout))
    }

    pub(super) fn with<T>(
        &self,
        what: &str,
        action: impl FnOnce(&mut Machine) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let Ok(mut machine) = RefMut::filter_map(self.machine.borrow_mut(), Option::as_mut) else {
            return Err(self.failure(&format!("{what}: the guest does not run")));
        };
        action(&mut machine).map_err(|error| self.failure(&format!("{what}: {error}")))
    }

    /// Waits for a stage, in another boot than `old`.
    fn reach(&self, stage: Stage, old: Option<&str>, timeout: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let what = format!("waiting for {stage:?}");
        let mut last = "no agent has greeted".to_owned();
        loop {
            if stage == Stage::Started {
                return Ok(());
            }
            if begun.elapsed() > timeout {
                return Err(self.failure(&format!("{what}: not reached after {timeout:?}: {last}")));
            }
            let hello = self.with(&what, |machine| {
                machine.alive()?;
                // An agent that greeted and does not answer any more is one of a system that is gone; unless another
                // greeted meanwhile, which came too late for the question.
                if machine.agent.listen(Duration::from_millis(100))? {
                    let session = |machine: &Machine| machine.agent.hello().map(|hello| hello.session);
                    let asked = session(machine);
                    if machine.agent.ping(GRACE).is_err() && session(machine) == asked {
                        machine.agent.forget();
                    }
                }
                Ok(machine.agent.hello().cloned())
            })?;
            let Some(hello) = hello.filter(|hello| Some(hello.boot_id.as_str()) != old) else {
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            match self.arrived(stage, &hello, timeout.saturating_sub(begun.elapsed())) {
                Ok(Some(word)) => last = word,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.failure(&format!("{what}: {error}"))),
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Whether a guest whose agent said this has come that far; if not, what it still waits for.
    fn arrived(&self, stage: Stage, hello: &Hello, left: Duration) -> Result<Option<String>, String> {
        let not_yet = |word: &str| Ok(Some(word.to_owned()));
        match (stage, &hello.emergency) {
            (Stage::Emergency, Some(_)) | (Stage::Started, _) => Ok(None),
            (Stage::Emergency, None) => not_yet("no emergency or rescue shell runs"),
            (Stage::Initramfs, _) if hello.initramfs => Ok(None),
            (Stage::Initramfs, _) => Err("the guest has left the initramfs".to_owned()),
            (Stage::Root, _) if !hello.initramfs => Ok(None),
            (_, Some(unit)) => Err(format!("the guest is in {unit}")),
            (Stage::Root | Stage::MultiUser, _) if hello.initramfs => not_yet("still in the initramfs"),
            (Stage::Root | Stage::MultiUser, _) => {
                let argv = ["systemctl", "is-system-running", "--wait"].map(str::to_owned).to_vec();
                let timeout = left.min(GRACE);
                match self.carry_out(&Command { argv, timeout, ..Command::default() }) {
                    Ok(output) if ["running", "degraded"].contains(&output.stdout.trim_end()) => Ok(None),
                    Ok(output) => Ok(Some(output.to_string())),
                    Err(failure) => Ok(Some(failure.0)),
                }
            }
        }
    }

    /// A message with the end of the console and what the machine's process said.
    pub(super) fn failure(&self, message: &str) -> Failure {
        let console = self.console();
        let lines: Vec<_> = console.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        let said = fs::read_to_string(self.path(LOG)).unwrap_or_default();
        Failure(format!(
            "guest: {message}\n--- last lines of its console ---\n{shown}\n--- {:?} ---\n{said}---",
            self.kind
        ))
    }
}

/// Notes in the file that `IMAD_MACHINE_LOG` names, where it names one, which test has a guest and what runs it.
fn log_machine(kind: Kind) -> std::io::Result<()> {
    let Some(path) = std::env::var_os("IMAD_MACHINE_LOG") else { return Ok(()) };
    let line = format!("{}\t{kind:?}\n", thread::current().name().unwrap_or("?"));
    fs::File::options().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

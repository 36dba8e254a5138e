//! The process that a guest runs in: its start, its console, its end. What it is called and what it is given is the affair
//! of `uml` and `qemu`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::agent::Agent;
use super::qmp::Qmp;
use super::setup::{Kind, Setup};
use super::wire::{Reply, Request};
use super::{qemu, uml};

/// After these words on the console nothing more is to be expected of a guest.
const DEAD: [&str; 2] = ["Kernel panic - not syncing", "Freezing execution."];
/// How long the processes of a guest may take to be gone once the first was killed.
const GONE: Duration = Duration::from_secs(30);

/// The file of a guest's folder that its console is written to.
pub(super) const CONSOLE: &str = "console";
/// The file of a guest's folder with what its process says.
pub(super) const LOG: &str = "log";

/// Where a machine begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the firmware and a kernel.
    Boot,
    /// Where a saved machine was; `Qmp::restore` has to follow.
    Saved,
}

/// What a machine is started with: `diskN` in the folder holds what was written to the N-th of the images.
pub(super) struct Parts<'a> {
    pub(super) setup: &'a Setup,
    pub(super) folder: &'a Path,
    /// The root, then the other disks.
    pub(super) images: &'a [PathBuf],
    /// The processor that it has for itself.
    pub(super) processor: usize,
}

pub(super) struct Machine {
    name: &'static str,
    process: Child,
    qmp: Option<Qmp>,
    pub(super) agent: Agent,
    console: Console,
}

impl Machine {
    pub(super) fn start(parts: &Parts, begin: Begin) -> Result<Self, String> {
        // What an earlier machine of this guest left on the console says nothing of this one.
        let file = parts.folder.join(CONSOLE);
        let read = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let console = Console { file, read, tail: Vec::new() };
        let (name, (process, agent, qmp)) = match parts.setup.kind() {
            Kind::Uml => ("user-mode Linux", uml::start(parts)?),
            Kind::Qemu => ("QEMU", qemu::start(parts, begin)?),
        };
        Ok(Self { name, process, qmp, agent: Agent::new(agent)?, console })
    }

    /// QEMU's monitor.
    pub(super) fn qmp(&mut self) -> Result<&mut Qmp, String> {
        self.qmp.as_mut().ok_or_else(|| format!("{} has no monitor that saves a machine", self.name))
    }

    /// An error when the process has ended or the console shows that the system is dead.
    pub(super) fn alive(&mut self) -> Result<(), String> {
        let Self { name, process, console, .. } = self;
        alive(name, process, console)
    }

    /// Sends a request to the agent, as long as the machine is alive.
    pub(super) fn request(&mut self, request: &Request, timeout: Duration) -> Result<Reply, String> {
        let Self { name, process, agent, console, .. } = self;
        agent.request(request, timeout, &mut || alive(name, process, console))
    }

    /// Waits for the process to end by itself.
    pub(super) fn ended(&mut self, timeout: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while self.process.try_wait().map_err(|error| error.to_string())?.is_none() {
            if begun.elapsed() > timeout {
                return Err(format!("the guest has not powered off after {timeout:?}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn alive(name: &str, process: &mut Child, console: &mut Console) -> Result<(), String> {
    // A kernel that panics may take its process with it: its own words say more.
    let ended = process.try_wait().map_err(|error| error.to_string())?;
    console.alive()?;
    ended.map_or(Ok(()), |status| Err(format!("{name} has ended: {status}")))
}

impl Drop for Machine {
    fn drop(&mut self) {
        kill(&mut self.process);
        // The last process that held the agent's line may still have been writing to a disk.
        self.agent.closed(GONE);
    }
}

pub(super) fn kill(process: &mut Child) {
    // It may have ended by itself; then both fail, as they should.
    drop(process.kill());
    drop(process.wait());
}

/// Starts a process that dies with this one, whatever kills it, from a thread that lives as long as this process:
/// PR_SET_PDEATHSIG means the death of the thread that forked, and a test's thread ends with its test.
pub(super) fn spawn(command: Command) -> Result<Child, String> {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static NURSERY: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                drop(answer.send(command.spawn()));
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = channel();
    let sent = nursery.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer));
    sent.map_err(|error| error.to_string())?;
    child.recv().map_err(|error| error.to_string())?.map_err(|error| format!("setpriv: {error}"))
}

/// A program of the host's under `setpriv`, for [`spawn`].
pub(super) fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// A file of the guest's folder that is written to at its end.
pub(super) fn appended(folder: &Path, name: &str) -> Result<File, String> {
    let file = File::options().create(true).append(true).open(folder.join(name));
    file.map_err(|error| format!("{}: {error}", folder.join(name).display()))
}

/// A path as a word of a command line.
pub(super) fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{}: not UTF-8", path.display()))
}

/// Reads on in the console's file and looks for a dead system.
struct Console {
    file: PathBuf,
    read: u64,
    tail: Vec<u8>,
}

impl Console {
    fn alive(&mut self) -> Result<(), String> {
        let mut bytes = Vec::new();
        let read = File::open(&self.file).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        self.read += read.map_err(|error| format!("{}: {error}", self.file.display()))? as u64;
        self.tail.extend_from_slice(&bytes);
        let text = String::from_utf8_lossy(&self.tail);
        if let Some(words) = DEAD.iter().find(|words| text.contains(*words)) {
            return Err(format!("the guest is dead: {words}"));
        }
        self.tail.drain(..self.tail.len().saturating_sub(64));
        Ok(())
    }
}

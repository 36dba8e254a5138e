//! One QEMU process: its command line, its console, its end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::agent::Agent;
use super::qmp::Qmp;
use super::setup::Setup;

/// After these words on the console nothing more is to be expected of a guest.
const DEAD: [&str; 2] = ["Kernel panic - not syncing", "Freezing execution."];

/// The file of a guest's folder with its firmware's variables.
pub(super) const VARIABLES: &str = "variables";

/// Where a machine begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the firmware and a kernel.
    Boot,
    /// Where a saved machine was; `Qmp::restore` has to follow.
    Saved,
}

pub(super) struct Machine {
    qemu: Child,
    pub(super) qmp: Qmp,
    pub(super) agent: Agent,
    console: Console,
}

impl Machine {
    /// Starts QEMU on the disks `disk0`, `disk1`, … and the memory `ram` of a guest's folder.
    pub(super) fn start(setup: &Setup, folder: &Path, begin: Begin) -> Result<Self, String> {
        let listener = |name: &str| {
            let path = folder.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(|error| error.to_string())?;
            }
            let listener = UnixListener::bind(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            listener.set_nonblocking(true).map_err(|error| error.to_string())?;
            Ok::<_, String>(listener)
        };
        let (monitor, port) = (listener("qmp")?, listener("agent")?);
        let log = File::options().create(true).append(true).open(folder.join("qemu.log"));
        let log = log.map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        // What an earlier machine of this guest left on the console says nothing of this one.
        let file = folder.join("console");
        let read = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]).args(arguments(setup, folder, begin)?);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut qemu = Unconnected(Some(spawn(command)?));
        let port = qemu.accept(&port, folder)?;
        let monitor = qemu.accept(&monitor, folder)?;
        let (agent, qmp) = (Agent::new(port)?, Qmp::new(monitor)?);
        let console = Console { file, read, tail: Vec::new() };
        let qemu = qemu.0.take().ok_or("QEMU is gone")?;
        Ok(Self { qemu, qmp, agent, console })
    }

    /// An error when QEMU has ended or the console shows that the system is dead.
    pub(super) fn alive(&mut self) -> Result<(), String> {
        if let Some(status) = self.qemu.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("QEMU has ended: {status}"));
        }
        self.console.alive()
    }

    /// Sends a request to the agent, as long as the machine is alive.
    pub(super) fn request(
        &mut self,
        request: &super::wire::Request,
        timeout: Duration,
    ) -> Result<super::wire::Reply, String> {
        let Self { qemu, agent, console, .. } = self;
        agent.request(request, timeout, &mut || {
            if let Some(status) = qemu.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("QEMU has ended: {status}"));
            }
            console.alive()
        })
    }

    /// Waits for QEMU to end by itself.
    pub(super) fn ended(&mut self, timeout: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while self.qemu.try_wait().map_err(|error| error.to_string())?.is_none() {
            if begun.elapsed() > timeout {
                return Err(format!("the guest has not powered off after {timeout:?}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        kill(&mut self.qemu);
    }
}

fn kill(qemu: &mut Child) {
    // It may have ended by itself; then both fail, as they should.
    drop(qemu.kill());
    drop(qemu.wait());
}

/// QEMU while it has not connected yet.
struct Unconnected(Option<Child>);

impl Unconnected {
    fn accept(&mut self, listener: &UnixListener, folder: &Path) -> Result<UnixStream, String> {
        let begun = Instant::now();
        loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            let ended = self.0.as_mut().map_or(Ok(None), Child::try_wait).map_err(|error| error.to_string())?;
            if ended.is_some() || begun.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
                return Err(format!("QEMU does not start ({ended:?}):\n{log}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Unconnected {
    fn drop(&mut self) {
        if let Some(qemu) = &mut self.0 {
            kill(qemu);
        }
    }
}

fn arguments(setup: &Setup, folder: &Path, begin: Begin) -> Result<Vec<OsString>, String> {
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| list.extend(words.iter().map(OsString::from));
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| format!("{}: not UTF-8", path.display()));
    // Page tables of four levels, as most machines have: walks of a fifth cost an emulated one time.
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]);
    add(&["-machine", "pc,memory-backend=ram", "-smp", &setup.cpus.to_string(), "-m", &setup.memory.to_string()]);
    // A file, so that a saved machine's memory is a copy of it and nothing that QEMU has to write and read.
    let ram = text(&folder.join("ram"))?;
    add(&["-object", &format!("memory-backend-file,id=ram,size={}M,share=on,mem-path={ram}", setup.memory)]);
    add(&["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
    // QEMU calls us: there is no moment at which it listens and we do not know.
    add(&["-chardev", &format!("socket,id=agent,path={}", text(&folder.join("agent"))?)]);
    add(&["-device", "virtserialport,chardev=agent,name=imad.agent"]);
    add(&["-chardev", &format!("socket,id=qmp,path={}", text(&folder.join("qmp"))?), "-mon", "qmp,mode=control"]);
    add(&["-chardev", &format!("file,id=console,append=on,path={}", text(&folder.join("console"))?)]);
    add(&["-serial", "chardev:console"]);
    for number in 0..=setup.disks.len() {
        let disk = text(&folder.join(format!("disk{number}")))?;
        // `unsafe` leaves out the host's fsync alone: what the guest has flushed survives the end of QEMU.
        add(&["-drive", &format!("if=virtio,format=qcow2,cache=unsafe,file={disk}")]);
    }
    if let Some(firmware) = &setup.firmware {
        let (code, variables) = (text(&firmware.code)?, text(&folder.join(VARIABLES))?);
        add(&["-drive", &format!("if=pflash,format=raw,readonly=on,file={code}")]);
        add(&["-drive", &format!("if=pflash,format=raw,cache=unsafe,file={variables}")]);
    } else {
        add(&["-kernel", &text(&setup.kernel)?, "-append", &setup.command_line.join(" ")]);
        if let Some(initrd) = &setup.initrd {
            add(&["-initrd", &text(initrd)?]);
        }
    }
    if let Some(time) = &setup.clock {
        add(&["-rtc", &format!("base={time}")]);
    }
    if begin == Begin::Saved {
        add(&["-incoming", "defer"]);
    }
    Ok(list)
}

/// Starts a process from a thread that lives as long as this process: PR_SET_PDEATHSIG means the death of the thread
/// that forked, and a test's thread ends with its test.
fn spawn(command: Command) -> Result<Child, String> {
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

//! The agent inside a test guest: carries out the requests that come through the virtio-serial port `imad.agent`, or the
//! serial line that the kernel's command line names (`guest.agent=ttyS1`).
//!
//! It runs in the initramfs, in emergency shells and in the real root, under an enforcing policy too, so it starts
//! nothing of itself: it runs what it is asked to run, and reads everything else (its port, the boot id, the users)
//! from files. Requests are carried out one after the other.
#![forbid(unsafe_code)]

#[path = "../harness/wire.rs"]
#[allow(dead_code, reason = "the host's half of the protocol is not used here")]
mod wire;

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use wire::{Command, Deframer, Hello, Reply, Request, Status};

/// The port's name, as QEMU's command line gives it.
const PORT: &str = "imad.agent";
/// open(2)
const O_NOCTTY: i32 = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
/// A command's output is taken up to this size.
const OUTPUT: u64 = 64 << 20;
/// How long output is waited for when the command is gone and something it left running still holds the pipe.
const LINGER: Duration = Duration::from_millis(300);

fn main() {
    loop {
        let ended = find_port().and_then(|port| serve(&port));
        if let Err(error) = ended {
            // The port is not there yet, or another agent still holds it, or the host went away.
            eprintln!("imad-guest-agent: {error}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The port's device, found without udev, which may not have run.
fn find_port() -> io::Result<PathBuf> {
    let command_line = fs::read_to_string("/proc/cmdline")?;
    loop {
        let line = command_line.split_whitespace().find_map(|word| word.strip_prefix("guest.agent="));
        if let Some(device) = line.map(|name| Path::new("/dev").join(name))
            && device.try_exists()?
        {
            return Ok(device);
        }
        let ports = fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten();
        for port in ports {
            let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
            let device = Path::new("/dev").join(port.file_name());
            if name.trim_end() == PORT && device.try_exists()? {
                return Ok(device);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// One session: says hello and answers until the port fails.
fn serve(device: &Path) -> io::Result<()> {
    // A serial line is no terminal of this process's.
    let mut port = fs::OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(device)?;
    if port.is_terminal() {
        let mut raw = tcgetattr(&port)?;
        raw.make_raw();
        tcsetattr(&port, OptionalActions::Now, &raw)?;
    }
    let session = new_session()?;
    port.write_all(&wire::frames(0, &Reply::Hello(hello(session)?).encode()))?;
    let mut deframer = Deframer::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = port.read(&mut buffer)?;
        if count == 0 {
            // The host's end is closed; it may be opened again.
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        deframer.push(&buffer[..count]);
        while let Some((number, body)) = deframer.next() {
            let reply = match Request::decode(&body) {
                Some((wanted, _)) if wanted != 0 && wanted != session => continue,
                Some((_, request)) => carry_out(request, session).unwrap_or_else(|error| failed(&error)),
                None => Reply::Failed { errno: 0, message: "the request cannot be read".to_owned() },
            };
            port.write_all(&wire::frames(number, &reply.encode()))?;
        }
    }
}

fn failed(error: &io::Error) -> Reply {
    Reply::Failed { errno: error.raw_os_error().unwrap_or(0), message: error.to_string() }
}

fn new_session() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes) | 1)
}

fn hello(session: u64) -> io::Result<Hello> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned();
    let initramfs = Path::new("/etc/initrd-release").exists();
    // A service that runs has a control group.
    let emergency = ["dracut-emergency.service", "emergency.service", "rescue.service"]
        .into_iter()
        .find(|unit| Path::new("/sys/fs/cgroup/system.slice").join(unit).exists())
        .map(str::to_owned);
    Ok(Hello { session, boot_id, initramfs, emergency })
}

fn carry_out(request: Request, session: u64) -> io::Result<Reply> {
    match request {
        Request::Ping => Ok(Reply::Hello(hello(session)?)),
        Request::Run(command) => run(command),
        Request::Put { path, mode, offset, bytes } => {
            let first = offset == 0;
            let mut file = fs::OpenOptions::new().write(true).create(first).truncate(first).mode(mode).open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&bytes)?;
            // The mode given at creation passed the umask, and an old file keeps its own.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            Ok(Reply::Done)
        }
        Request::Get { path } => fs::read(path).map(Reply::Content),
    }
}

fn run(request: Command) -> io::Result<Reply> {
    let Some((program, arguments)) = request.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
    };
    let mut command = std::process::Command::new(program);
    command.args(arguments).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let user = User::find(request.user.as_deref().unwrap_or("root"))?;
    command.envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8"), ("TERM", "dumb")]);
    command.envs([("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name)]);
    command.envs(request.env);
    if request.user.is_some() {
        command.gid(user.gid).uid(user.uid);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let status = Status::NotStarted(error.raw_os_error().unwrap_or_default());
            return Ok(Reply::Ran { status, stdout: Vec::new(), stderr: format!("{program}: {error}\n").into_bytes() });
        }
    };

    // Reading and writing by threads: neither side can block the other.
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || stdin.write_all(&request.stdin));
    }
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let ended = wait(&mut child, request.timeout)?;
    let status = match ended {
        None => Status::TimedOut,
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Status::Exited(code),
            (None, signal) => Status::Killed(signal.unwrap_or_default()),
        },
    };
    let until = Instant::now() + LINGER;
    let take = |pipe: Option<Receiver<Vec<u8>>>| pipe.map(|pipe| everything(&pipe, until)).unwrap_or_default();
    Ok(Reply::Ran { status, stdout: take(stdout), stderr: take(stderr) })
}

/// Waits for the end of a command, or kills it and its process group when its time is over.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= timeout {
            let group = rustix::process::Pid::from_child(child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        // Short commands are answered at once, long ones are not disturbed.
        pause = (pause * 5 / 4).min(Duration::from_millis(50));
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut pipe = pipe.take(OUTPUT);
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What came through a pipe until its end, or until that moment.
fn everything(pipe: &Receiver<Vec<u8>>, until: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match pipe.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(bytes) => all.extend_from_slice(&bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return all,
        }
    }
}

/// A line of `/etc/passwd`.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

impl User {
    fn find(name: &str) -> io::Result<Self> {
        // An initramfs may have no users at all.
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        for line in passwd.lines() {
            let fields: Vec<_> = line.split(':').collect();
            if let [user, _, uid, gid, _, home, _] = fields[..]
                && user == name
                && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
            {
                return Ok(Self { name: name.to_owned(), uid, gid, home: home.to_owned() });
            }
        }
        if name == "root" {
            return Ok(Self { name: name.to_owned(), uid: 0, gid: 0, home: "/root".to_owned() });
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("the guest has no user {name}")))
    }
}

//! A daemon on a private bus, with a journal and a service manager that the test reads.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use imad::bus::labels::LabelsProxy;
use imad::bus::manager::ManagerProxy;
use zbus::proxy::CacheProperties;

use super::fixture::PrivateRoot;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until something is there.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A private bus with the rules of the system bus and our own.
#[derive(Debug)]
pub(crate) struct Bus {
    daemon: Child,
    folder: tempfile::TempDir,
}

impl Bus {
    pub(crate) fn new() -> Self {
        // Everybody must be able to reach the socket, and its path must be short.
        let folder = tempfile::Builder::new().prefix("imad-bus").tempdir_in("/tmp").unwrap();
        run("chmod", &["0755", folder.path().to_str().unwrap()]);
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/dbus/org.imad1.conf");
        let config = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "https://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={}/socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="root"><allow own="org.freedesktop.PolicyKit1"/></policy>
  <policy context="default"><allow send_destination="org.freedesktop.PolicyKit1"/></policy>
  <include>{}</include>
</busconfig>
"#,
            folder.path().display(),
            ours.display()
        );
        let path = folder.path().join("bus.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg(format!("--config-file={}", path.display())).args(["--nofork", "--nopidfile"]);
        let daemon = command.spawn().unwrap_or_else(|error| panic!("dbus-daemon: {error}; install dbus"));
        let bus = Self { daemon, folder };
        wait("the bus", || bus.folder.path().join("socket").exists().then_some(()));
        bus
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}/socket", self.folder.path().display())
    }

    /// busctl's exit status and output, as root or as nobody.
    pub(crate) fn busctl(&self, as_nobody: bool, arguments: &[&str]) -> (bool, String) {
        let nobody: &[&str] = if as_nobody { &["--reuid=65534", "--regid=65534", "--clear-groups"] } else { &[] };
        let address = format!("--address={}", self.address());
        let mut command = Command::new("setpriv");
        command.args(nobody).arg("busctl").arg(address).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) {
    super::fixture::run(program, &arguments.iter().map(OsStr::new).collect::<Vec<_>>());
}

/// A datagram socket that keeps what it was sent.
#[derive(Debug)]
pub(crate) struct Received {
    socket: UnixDatagram,
    kept: Vec<Vec<u8>>,
}

impl Received {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, kept: Vec::new() }
    }

    fn all(&mut self) -> &[Vec<u8>] {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.kept.push(buffer[..length].to_vec());
        }
        &self.kept
    }
}

/// An entry in the journal's native protocol.
fn entry(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
            fields.insert(text(&line[..equals]), text(&line[equals + 1..]));
            bytes = rest;
        } else {
            let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
            fields.insert(text(line), text(&rest[8..8 + length]));
            bytes = &rest[8 + length + 1..];
        }
    }
    fields
}

/// The daemon.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    folder: tempfile::TempDir,
    address: String,
    journal: Received,
    manager: Received,
}

/// How a daemon is started.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// The program, where it is not the one that was built.
    pub(crate) program: Option<PathBuf>,
    /// Mounted read-only before it starts.
    pub(crate) read_only: Option<PathBuf>,
    /// The service manager's watchdog period.
    pub(crate) watchdog: Option<Duration>,
}

impl Service {
    /// Starts a daemon on a root and waits until it is ready.
    pub(crate) fn start(bus: &Bus, root: &PrivateRoot) -> Self {
        Self::start_with(bus, root, &Start::default())
    }

    pub(crate) fn start_with(bus: &Bus, root: &PrivateRoot, start: &Start) -> Self {
        let folder = super::fixture::folder();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("journal")).unwrap();
        let (journal, manager) = (Received::at(&at("journal/socket")), Received::at(&at("notify")));
        let program = start.program.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_imad").into());
        // A /run of its own, in which the journal's socket is ours.
        let script = r#"set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal
mount --bind "$JOURNAL" /run/systemd/journal
[ -z "$READ_ONLY" ] || mount -t tmpfs -o ro tmpfs "$READ_ONLY"
unset JOURNAL READ_ONLY
exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(program);
        command.arg("--bus").arg(bus.address()).arg("--root").arg(root.path());
        command.env("JOURNAL", at("journal")).env("READ_ONLY", start.read_only.clone().unwrap_or_default());
        command.env("NOTIFY_SOCKET", at("notify")).stdin(Stdio::null());
        if let Some(period) = start.watchdog {
            command.env("WATCHDOG_USEC", period.as_micros().to_string());
        }
        let child = command.spawn().unwrap();
        let mut service = Self { child, folder, address: bus.address(), journal, manager };
        wait("READY=1", || {
            if let Some(status) = service.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}");
            }
            service.notified("READY=1").then_some(())
        });
        service
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        run("kill", &[signal, &self.pid().to_string()]);
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        wait("the daemon's end", || self.child.try_wait().unwrap())
    }

    /// Whether the service manager was told this.
    pub(crate) fn notified(&mut self, line: &str) -> bool {
        self.manager.all().iter().any(|message| String::from_utf8_lossy(message).lines().any(|told| told == line))
    }

    /// All that the service manager was told.
    pub(crate) fn notifications(&mut self) -> Vec<String> {
        self.manager.all().iter().map(|message| String::from_utf8_lossy(message).trim().to_owned()).collect()
    }

    /// The journal's entries with this message id.
    pub(crate) fn journal(&mut self, message_id: &str) -> Vec<BTreeMap<String, String>> {
        let entries = self.journal.all().iter().map(|bytes| entry(bytes));
        entries.filter(|entry| entry.get("MESSAGE_ID").is_some_and(|id| id == message_id)).collect()
    }

    /// The journal, for people.
    pub(crate) fn said(&mut self) -> String {
        let entries = self.journal.all().iter().map(|bytes| entry(bytes));
        entries.filter_map(|mut entry| entry.remove("MESSAGE")).collect::<Vec<_>>().join("\n")
    }

    /// Asks the daemon something.
    pub(crate) fn ask<T>(&self, ask: impl AsyncFnOnce(&zbus::Connection) -> zbus::Result<T>) -> T {
        self.try_ask(ask).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_ask<T, E: From<zbus::Error>>(
        &self,
        ask: impl AsyncFnOnce(&zbus::Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        zbus::block_on(async {
            let connection = zbus::connection::Builder::address(self.address.as_str()).build().await?;
            ask(&connection).await
        })
    }

    /// Label counts by state.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.ask(async |connection| {
            let builder = LabelsProxy::builder(connection).cache_properties(CacheProperties::No);
            builder.build().await?.counts().await
        })
    }

    /// The daemon's state, and what is wrong.
    pub(crate) fn state(&self) -> (String, Vec<(String, String)>) {
        self.ask(async |connection| {
            let manager = ManagerProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
            Ok((manager.state().await?, manager.problems().await?))
        })
    }

    /// Waits for a state, and says what is wrong then.
    pub(crate) fn wait_for(&self, state: &str) -> Vec<(String, String)> {
        wait(&format!("state {state}, which is {:?}", self.state()), || {
            let (now, problems) = self.state();
            (now == state).then_some(problems)
        })
    }

    /// A line of /proc/PID/status.
    pub(crate) fn proc_status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// A folder for the test's own files, gone with the daemon.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon's journal:\n{}", self.said());
        }
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

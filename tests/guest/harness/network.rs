//! Networks of guests, which nothing leaves.
//!
//! Under user-mode Linux a network is a bridge in a network name space that a process of the harness holds; a guest has a
//! tap device of it. Under QEMU it is QEMU's own, which forwards ports of this machine's loopback interface to its guest.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::machine::{bound, kill, spawn};
use super::setup::Kind;

/// Ports of a guest that are reached under QEMU.
const FORWARDED: [u16; 2] = [22, 9090];
/// The bridge, and with a number the devices of guests.
const SUBNET: [u8; 3] = [10, 77, 0];

/// Makes the bridge in the new name space, says so, and stays until its input ends.
const HOLD: &str = "ip link set lo up && ip link add bridge type bridge && ip address add 10.77.0.1/24 dev bridge && \
                    ip link set bridge up && echo ready && read -r _";

/// A network, until the last guest and the last copy of this value are gone.
#[derive(Clone, Debug)]
pub(crate) struct Network(Arc<Held>);

#[derive(Debug)]
struct Held {
    holder: Mutex<std::process::Child>,
    guests: AtomicU8,
}

impl Drop for Held {
    fn drop(&mut self) {
        kill(self.holder.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Network {
    /// A new network without guests.
    pub(crate) fn new() -> Self {
        let mut command = bound("unshare");
        command.args(["--net", "sh", "-c", HOLD]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = spawn(command).unwrap_or_else(|error| panic!("{error}"));
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
        assert_eq!(
            line, "ready\n",
            "no network name space with a bridge can be made here; that needs root and iproute2"
        );
        Self(Arc::new(Held { holder: Mutex::new(holder), guests: AtomicU8::new(0) }))
    }

    /// The name space, as nsenter(1) takes it.
    fn name_space(&self) -> String {
        let holder = self.0.holder.lock().unwrap_or_else(PoisonError::into_inner);
        format!("/proc/{}/ns/net", holder.id())
    }

    /// A program of the host's that runs where the guests can be reached.
    pub(crate) fn command(&self, kind: Kind, program: &str) -> Command {
        match kind {
            Kind::Uml => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", self.name_space())).args(["--", program]);
                command
            }
            Kind::Qemu => Command::new(program),
        }
    }

    /// A guest's end of it.
    pub(super) fn link(&self, kind: Kind) -> Link {
        // The bridge is number 1.
        let number = self.0.guests.fetch_add(1, Ordering::Relaxed) + 2;
        let mut forwarded = Vec::new();
        match kind {
            Kind::Uml => {
                let interface = format!("guest{number}");
                let line = format!(
                    "ip tuntap add {interface} mode tap && ip link set {interface} master bridge && ip link set {interface} up"
                );
                let made = self.command(kind, "sh").args(["-c", &line]).output().expect("sh runs");
                assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
            }
            Kind::Qemu => {
                for port in FORWARDED {
                    // Free now; whoever takes it before QEMU does makes that say so.
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
                    forwarded.push((port, listener.local_addr().expect("it is bound").port()));
                }
            }
        }
        Link { network: self.clone(), number, forwarded }
    }
}

/// What connects a guest to its network.
#[derive(Clone, Debug)]
pub(super) struct Link {
    network: Network,
    number: u8,
    /// Ports of the guest, and those of this machine that lead to them.
    forwarded: Vec<(u16, u16)>,
}

impl Link {
    pub(super) fn name_space(&self) -> String {
        self.network.name_space()
    }

    pub(super) fn interface(&self) -> String {
        format!("guest{}", self.number)
    }

    pub(super) fn mac(&self) -> String {
        format!("02:1a:3d:00:00:{:02x}", self.number)
    }

    pub(super) fn forwarded(&self) -> &[(u16, u16)] {
        &self.forwarded
    }

    /// Where a program of the host's ([`Network::command`]) finds a port of the guest.
    pub(super) fn address(&self, port: u16) -> SocketAddr {
        let [a, b, c] = SUBNET;
        match self.forwarded.iter().find(|(guest, _)| *guest == port) {
            Some((_, host)) => (Ipv4Addr::LOCALHOST, *host).into(),
            None => (IpAddr::from([a, b, c, self.number]), port).into(),
        }
    }

    /// What the guest needs to know of it, by path.
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        let [a, b, c] = SUBNET;
        let number = self.number;
        // QEMU's own network has this address for its guest.
        let address = if self.forwarded.is_empty() {
            format!("Address={a}.{b}.{c}.{number}/24\nGateway={a}.{b}.{c}.1")
        } else {
            "Address=10.0.2.15/24\nGateway=10.0.2.2".to_owned()
        };
        let network = format!("[Match]\nName=e* vec*\n\n[Network]\n{address}\nLinkLocalAddressing=no\n");
        vec![("/etc/systemd/network/10-guest.network", network)]
    }
}

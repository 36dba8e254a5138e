//! Guests in a network of their own: a person's way in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Guest, Kind, Need, Network, Setup};
use crate::machine::run;

/// A guest with an ssh server, and what a program of the host's needs to log in to it.
struct Reachable {
    guest: Guest,
    door: Door,
}

#[derive(Clone)]
struct Door {
    network: Network,
    kind: Kind,
    address: SocketAddr,
    key: PathBuf,
}

impl Reachable {
    fn boot(setup: Setup, network: &Network, key: &Path) -> Self {
        let public = std::fs::read(key.with_extension("pub")).unwrap();
        let setup = setup.directory("/root/.ssh", 0o700).file("/root/.ssh/authorized_keys", public, 0o600);
        let guest = Guest::boot(setup.memory(512).network(network));
        guest.run(&["systemctl", "start", "ssh"]).ok();
        let (network, address, key) = (network.clone(), guest.address(22), key.to_owned());
        let door = Door { network, kind: guest.kind(), address, key };
        Self { guest, door }
    }
}

impl Door {
    /// What a line of shell says in a session of ssh.
    fn log_in(&self, line: &str) -> String {
        let mut ssh = self.network.command(self.kind, "ssh");
        ssh.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", "-o", "IdentitiesOnly=yes", "-i"]).arg(&self.key);
        ssh.args(["-p", &self.address.port().to_string(), &format!("root@{}", self.address.ip()), line]);
        let output = run(ssh);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

fn key(folder: &Path) -> PathBuf {
    let key = folder.join("key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
    run(keygen);
    key
}

/// A session that lasts until both are there, and tells what the other machine's port says.
fn meet(other: SocketAddr) -> String {
    let (address, port) = (other.ip(), other.port());
    format!("bash -c 'echo $(hostname) sees $(exec 3<>/dev/tcp/{address}/{port}; head -c 7 <&3); sleep 2; date +%s%N'")
}

#[test]
fn two_guests_are_logged_in_to_at_once_and_see_each_other() {
    let (network, folder) = (Network::new(), tempfile::tempdir().unwrap());
    let key = key(folder.path());
    let named = |name: &str| Setup::base().file("/etc/hostname", format!("{name}\n"), 0o644);
    let one = Reachable::boot(named("one"), &network, &key);
    let two = Reachable::boot(named("two"), &network, &key);
    let (to_one, to_two) = (one.door.clone(), two.door.clone());
    let (one_sees, two_sees) = std::thread::scope(|scope| {
        let first = scope.spawn(|| to_one.log_in(&meet(to_two.address)));
        let second = to_two.log_in(&meet(to_one.address));
        (first.join().unwrap(), second)
    });
    println!("{one_sees}\n{two_sees}");
    assert!(one_sees.starts_with("one sees SSH-2.0") && two_sees.starts_with("two sees SSH-2.0"));
    // Nothing leaves the network: it has no other end.
    let mut links = network.command(one.guest.kind(), "ip");
    links.args(["-brief", "link"]);
    if one.guest.kind() == Kind::Uml {
        let links = String::from_utf8(run(links).stdout).unwrap();
        let found: Vec<_> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(found, ["lo", "bridge", "guest2", "guest3"]);
    }
}

#[test]
fn a_guest_of_qemu_is_logged_in_to_by_a_port_of_this_machine() {
    let (network, folder) = (Network::new(), tempfile::tempdir().unwrap());
    let reachable = Reachable::boot(Setup::base().needs(Need::Qemu), &network, &key(folder.path()));
    assert!(reachable.door.address.ip().is_loopback());
    assert_eq!(reachable.door.log_in("hostname"), "guest");
}

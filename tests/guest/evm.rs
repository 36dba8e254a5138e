//! Labels that EVM lets nobody write are not tried, and each such answer is the kernel's own.

use imad::model::plan::State;
use imad::model::report::LabelReport;

use crate::harness::{Guest, Setup, Shared};
use crate::system::{POLICY, kernel_messages, settled};

/// A packaged file that nothing runs, and one that will have a hash label.
const BARE: &str = "/usr/share/perl5/Debconf/Log.pm";
const HASHED: &str = "/usr/share/perl5/Debconf/Db.pm";
const SWITCH: &str = "/sys/kernel/security/integrity/evm/evm";

/// Makes a key for HMACs in the session's keyring, and hands it to EVM (add_key(2), `KEY_SPEC_SESSION_KEYRING`).
const HMAC_KEY: &str = "\
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def add(kind, name, payload):
    if libc.syscall(248, kind, name, payload, len(payload), -3) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
add(b'user', b'kmk', bytes(range(32)))
add(b'encrypted', b'evm-key', b'new default user:kmk 32')
with open('/sys/kernel/security/integrity/evm/evm', 'w') as switch:
    switch.write('1')
";

fn relabel(guest: &Guest, path: &str) -> (State, String, bool, LabelReport) {
    let text = guest.run(&["imactl", "--json", "relabel", path]).stdout;
    let report: LabelReport = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let file = report.files.first().unwrap_or_else(|| panic!("{text}"));
    (file.state, file.reason.clone(), file.written, report.clone())
}

/// Neither imad writes a label there nor would the kernel let it, and imad has not tried.
fn assert_refused(guest: &Guest, path: &str, state: State, words: &str, next: &str) {
    let records = || kernel_messages(guest, "_metadata").len();
    let before = records();
    let (found, reason, written, report) = relabel(guest, path);
    assert!(found == state && reason.contains(words) && !written, "{path}: {found}: {reason}");
    let said: Vec<_> = report.problems.iter().filter(|problem| problem.what.contains(words)).collect();
    assert!(said.len() == 1 && said[0].next.contains(next), "{:?}", report.problems);
    assert_eq!(records(), before, "{path}: it was tried");
    let output = guest.sh(&format!("setfattr -n security.ima -v 0x0404aa {path}"));
    assert!(!output.success() && output.stderr.contains("Operation not permitted"), "{path}: {output}");
    assert!(records() > before, "{path}: the kernel records what it refuses");
}

/// Without a policy: a file without security.evm could not even be executed. One file has no label, another a hash.
static MACHINE: Shared = Shared::new(|| {
    let elsewhere = "[labels]\nexclude = [\"/usr/bin\", \"/usr/lib\"]\n";
    Setup::trusted().remove(POLICY).file("/etc/imad/imad.toml.d/50-haste.toml", elsewhere, 0o644)
})
.once("a file without a label and one with a hash", |guest| {
    settled(guest);
    // The daemon would label them at its next start.
    guest.run(&["systemctl", "mask", "--now", "imad"]).ok();
    guest.sh(&format!("setfattr -x security.ima {BARE} && evmctl ima_hash -a sha256 {HASHED}")).ok();
    // What is in memory may be new to EVM, and new files are let through.
    guest.sh("sync && echo 2 >/proc/sys/vm/drop_caches").ok();
});

#[test]
fn what_evm_refuses_is_known_before() {
    let guest = MACHINE.guest();
    guest.sh(&format!("echo 2 >{SWITCH}")).ok();
    let words = "EVM lets nobody label a file without security.evm until its setup is locked";
    assert_refused(&guest, BARE, State::Missing, words, "echo 0x80000002");
    assert_refused(&guest, HASHED, State::Hash, words, "echo 0x80000002");
    guest.sh(&format!("echo 0x80000002 >{SWITCH}")).ok();
    for path in [BARE, HASHED] {
        let (state, reason, written, report) = relabel(&guest, path);
        assert!(state == State::Good && written, "{path}: {state}: {reason}");
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    let guest = MACHINE.guest();
    guest.run(&["python3", "-c", HMAC_KEY]).ok();
    let words = "EVM wants an HMAC where a label changes";
    assert_refused(&guest, BARE, State::Missing, words, "evm=fix");
    assert_refused(&guest, HASHED, State::Hash, words, "evm=fix");
}

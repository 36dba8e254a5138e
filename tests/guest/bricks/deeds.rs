//! What saboteurs do: to the policy's file, to labels, to packages, to the initramfs.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::time::Duration;

use super::run::pace;
use crate::harness::Guest;
use crate::system::{POLICY, label};

/// Emulated, rpm needs its time.
const LONG: Duration = Duration::from_secs(300);

/// Runs a line of shell as root that must succeed, and has the disk hold its work.
pub(super) fn root(guest: &Guest, line: &str) {
    guest.command(&["sh", "-euc", &format!("{line}\nsync")]).timeout(LONG).output().ok();
}

/// Runs a Python program as root: one process from the beginning to the disk's being up to date, since after it nothing
/// may start any more.
pub(super) fn python(guest: &Guest, program: &str, arguments: &[&str]) {
    let program = format!("import os, sys\n{program}\nos.sync()\n");
    let words = [&["python3", "-c", program.as_str()], arguments].concat();
    guest.command(&words).timeout(LONG).output().ok();
}

/// Another policy in the place of the old one, signed or not.
pub(super) fn policy(guest: &Guest, text: impl AsRef<[u8]>, signer: Option<&str>) {
    // A new file: the old one's label is the old one's.
    root(guest, &format!("rm -rf {POLICY}"));
    guest.put(POLICY, text.as_ref(), 0o644);
    let label = signer.map(|signer| hex(&label(text.as_ref(), signer)));
    root(guest, &label.map_or_else(|| ":".to_owned(), |label| format!("setfattr -n security.ima -v {label} {POLICY}")));
}

/// Takes labels away.
pub(super) fn strip(guest: &Guest, paths: &[&str]) {
    python(guest, "for path in sys.argv[1:]: os.removexattr(path, 'security.ima')", paths);
}

/// Takes every label below a folder of the root's file system away.
pub(super) fn strip_all(guest: &Guest, folder: &str) {
    let program = "
device = os.stat('/').st_dev
for folder, folders, names in os.walk(sys.argv[1]):
    folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device]
    for path in (os.path.join(folder, name) for name in names):
        try: os.removexattr(path, 'security.ima', follow_symlinks=False)
        except OSError: pass";
    python(guest, program, &[folder]);
}

/// Gives a file this label.
pub(super) fn relabel(guest: &Guest, path: &str, label: &[u8]) {
    let program = "os.setxattr(sys.argv[1], 'security.ima', bytes.fromhex(sys.argv[2][2:]))";
    python(guest, program, &[path, &hex(label)]);
}

/// Gives a file a good signature of somebody else.
pub(super) fn sign_as(guest: &Guest, path: &str, signer: &str) {
    relabel(guest, path, &label(&guest.get(path), signer));
}

/// Puts other bytes under an old label: a copy of the file with its label, owner, mode and times, changed by a Python
/// expression over `data`, takes its place.
pub(super) fn alter(guest: &Guest, path: &str, expression: &str) {
    let program = format!(
        "
path = os.path.realpath(sys.argv[1])
data, stat, label = open(path, 'rb').read(), os.stat(path), os.getxattr(path, 'security.ima')
changed = {expression}
assert changed != data
with open(path + '.new', 'wb') as file: file.write(changed)
os.chmod(path + '.new', stat.st_mode)
os.setxattr(path + '.new', 'security.ima', label)
os.utime(path + '.new', ns=(stat.st_atime_ns, stat.st_mtime_ns))
os.rename(path + '.new', path)"
    );
    python(guest, &program, &[path]);
}

/// Installs a base package again, with its file signatures or stripped of them, as an update does.
///
/// Without them the numbers of the tags 274 and 275 in the signature header (`rpmtag.h`) are ones that rpm does not know.
pub(super) fn install(guest: &Guest, package: &str, signed: bool) {
    let program = "
import struct, subprocess
data = bytearray(open('/srv/repo/base/%s.rpm' % sys.argv[1], 'rb').read())
assert data[96:100] == b'\\x8e\\xad\\xe8\\x01'
if sys.argv[2] == 'unsigned':
    found = 0
    for number in range(struct.unpack('>I', data[104:108])[0]):
        at = 112 + 16 * number
        tag = struct.unpack('>I', data[at:at + 4])[0]
        if tag in (274, 275):
            data[at:at + 4] = struct.pack('>I', tag + 25)
            found += 1
    assert found == 2, found
open('/var/tmp/update.rpm', 'wb').write(data)
subprocess.run(['rpm', '-U', '--replacepkgs', '--oldpackage', '--nodeps', '--noscripts', '--nosignature', '--nodigest',
    '/var/tmp/update.rpm'], check=True)";
    python(guest, program, &[package, if signed { "signed" } else { "unsigned" }]);
}

/// Starts work of root's that the power's end will meet, and lets it go on for a while that the seed gives; `longest` is
/// meant for an emulated machine.
pub(super) fn meanwhile(guest: &Guest, seed: u64, longest: Duration, line: &str) {
    // ext4 by itself writes its journal every five seconds: have something on the disk at every instant.
    let line = format!("(while sync; do :; done) & {line}");
    guest.run(&["systemd-run", "--quiet", "--no-block", "sh", "-c", &line]).ok();
    std::thread::sleep(pace(guest, longest).mul_f64(fraction(seed)));
}

/// A fraction of one, by a seed (the finalizer of splitmix64).
pub(super) fn fraction(seed: u64) -> f64 {
    let mut word = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((word ^ (word >> 31)) >> 32).unwrap()) / 4_294_967_296.0
}

/// Bytes as setfattr(1) takes them.
fn hex(bytes: &[u8]) -> String {
    format!("0x{}", digits(bytes))
}

/// Bytes as hexadecimal digits.
pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn a_seed_gives_the_same_instant_every_time_and_another_seed_another() {
    let all: Vec<_> = (0..64).map(fraction).collect();
    assert_eq!(all, (0..64).map(fraction).collect::<Vec<_>>());
    assert!(all.iter().all(|share| (0.0..1.0).contains(share)));
    for quarter in 0..4 {
        let low = f64::from(quarter) / 4.0;
        let count = all.iter().filter(|&&share| (low..low + 0.25).contains(&share)).count();
        assert!((8..=24).contains(&count), "{count} of 64 between {low} and {}", low + 0.25);
    }
}

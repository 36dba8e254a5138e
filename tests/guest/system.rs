//! What the tests ask of a guest with imad installed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use imad::model::report::{BootReport, Status};

use crate::harness::{Guest, Images, Setup, Shared};

/// The trusted kernel, imad installed, the strict policy loaded, the labels counted.
pub(crate) static TRUSTED: Shared = Shared::new(Setup::trusted).once("labels counted", |guest| drop(settled(guest)));

/// The distribution's kernel and the same system, the labels counted.
pub(crate) static STOCK: Shared = Shared::new(Setup::stock).once("labels counted", |guest| drop(settled(guest)));

/// The policy that imad ships and the image uses.
pub(crate) const STRICT: &str = include_str!("../../conf/policies/01-appraise-executable-and-lib-signatures");
/// Where it lies in the guest.
pub(crate) const POLICY: &str = "/etc/ima/ima-policy";

/// What imad-boot wrote down.
pub(crate) fn boot_report(guest: &Guest) -> BootReport {
    let text = guest.get_text("/run/imad/boot.json");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// `imactl --json status`
pub(crate) fn status(guest: &Guest) -> Status {
    let text = guest.run(&["imactl", "--json", "status"]).text();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The status once the daemon has counted the labels.
pub(crate) fn settled(guest: &Guest) -> Status {
    wait(guest, Duration::from_secs(300), "the daemon to have counted the labels", || {
        Some(status(guest)).filter(|status| status.labels.is_some())
    })
}

/// Waits for something to come true, and shows the daemon's journal where it does not.
#[track_caller]
pub(crate) fn wait<T>(guest: &Guest, limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if begin.elapsed() > limit {
            let journal = guest.sh("journalctl -b --no-pager -n 60 -u imad -u imad-boot; imactl status").stdout;
            panic!("waited {limit:?} in vain for {what}\n{journal}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Lines of the kernel's messages with these words.
pub(crate) fn kernel_messages(guest: &Guest, words: &str) -> Vec<String> {
    let text = guest.sh("dmesg").text();
    text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

/// The journal of a unit in this boot, initramfs included.
pub(crate) fn journal(guest: &Guest, unit: &str) -> String {
    guest.run(&["journalctl", "-b", "--no-pager", "-o", "cat", "-u", unit]).text()
}

/// A label for these bytes, made by evmctl with one of the test keys.
pub(crate) fn label(bytes: &[u8], signer: &str) -> Vec<u8> {
    let keys = Images::load().keys().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, bytes).unwrap();
    let mut evmctl = Command::new("evmctl");
    evmctl.args(["ima_sign", "--sigfile", "--hashalgo", "sha256", "--key"]).arg(keys.join(format!("{signer}.key")));
    evmctl.arg("--keyid-from-cert").arg(keys.join(format!("{signer}.pem"))).arg(&file);
    let output = evmctl.output().unwrap_or_else(|error| panic!("{evmctl:?}: {error}"));
    assert!(output.status.success(), "{evmctl:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(file.with_extension("sig")).unwrap()
}

/// The guest whose daemon leaves the labels below /usr alone: emulated, looking at them all takes longer than the boot,
/// and most tests of a boot have no question about them.
pub(crate) fn in_haste(setup: Setup) -> Setup {
    setup.file("/etc/imad/imad.toml.d/50-haste.toml", "[labels]\nexclude = [\"/usr\"]\n", 0o644)
}

/// The guest with another policy, signed or not.
pub(crate) fn with_policy(setup: Setup, policy: &str, signer: Option<&str>) -> Setup {
    let setup = setup.file(POLICY, policy, 0o644);
    match signer {
        Some(signer) => setup.xattr(POLICY, "security.ima", label(policy.as_bytes(), signer)),
        None => setup,
    }
}

/// A file of the test keys' folder.
pub(crate) fn key_file(name: impl AsRef<Path>) -> Vec<u8> {
    let path = Images::load().keys().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

//! Signatures over a file's fs-verity digest: what imactl calls good the kernel accepts, what it does not the kernel denies.

use std::process::Command;

use imad::model::plan::State;
use imad::model::report::LabelReport;

use crate::harness::{Guest, Images};
use crate::system::{TRUSTED, label};

/// The rule under which such signatures count, for the files of a user that does not exist.
const RULE: &str = "appraise func=FILE_CHECK digest_type=verity appraise_type=sigv3 fowner=4711\n";

/// Switches fs-verity on for a file and prints the digest that the kernel then has: algorithm number, path
/// (`FS_IOC_ENABLE_VERITY`, `FS_IOC_MEASURE_VERITY`).
const ENABLE: &str = "\
import fcntl, struct, sys
with open(sys.argv[2], 'rb') as file:
    fcntl.ioctl(file, 0x40806685, struct.pack('=IIII', 1, int(sys.argv[1]), 4096, 0) + bytes(112))
    found = fcntl.ioctl(file, 0xc0046686, struct.pack('=HH', 0, 64) + bytes(64))
    algorithm, size = struct.unpack('=HH', found[:4])
    assert algorithm == int(sys.argv[1])
    print(found[4:4 + size].hex())
";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256 = 4,
    Sha512 = 6,
}

impl Hash {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// A label of type 06 by a test key over this fs-verity digest; it names `named`. evmctl signs.
fn verity_label(signer: &str, named: Hash, over: Hash, digest: &[u8]) -> String {
    let file_id = [&[6, over as u8], digest].concat();
    let hash = match over {
        Hash::Sha256 => openssl::sha::sha256(&file_id).to_vec(),
        Hash::Sha512 => openssl::sha::sha512(&file_id).to_vec(),
    };
    let (keys, folder) = (Images::load().keys().to_owned(), tempfile::tempdir().unwrap());
    let list = folder.path().join("hash");
    std::fs::write(&list, format!("{}  file\n", imad::model::cert::hex(&hash))).unwrap();
    let mut evmctl = Command::new("evmctl");
    evmctl.args(["sign_hash", "--hashalgo", over.name(), "--key"]).arg(keys.join(format!("{signer}.key")));
    evmctl.arg("--keyid-from-cert").arg(keys.join(format!("{signer}.pem"))).stdin(std::fs::File::open(&list).unwrap());
    let output = evmctl.output().unwrap_or_else(|error| panic!("{evmctl:?}: {error}"));
    assert!(output.status.success(), "{evmctl:?}: {}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).unwrap();
    let made = line.split_whitespace().last().unwrap();
    let after = made.strip_prefix(&format!("0302{:02x}", over as u8)).unwrap();
    format!("0x0603{:02x}{after}", named as u8)
}

fn enable(guest: &Guest, hash: Hash, path: &str) -> Vec<u8> {
    let number = if hash == Hash::Sha256 { "1" } else { "2" };
    let text = guest.run(&["python3", "-c", ENABLE, number, path]).text();
    imad::model::hex::decode(text.trim().as_bytes()).unwrap()
}

fn set(guest: &Guest, path: &str, label: &str) {
    guest.run(&["setfattr", "-n", "security.ima", "-v", label, path]).ok();
}

fn state_of(guest: &Guest, path: &str) -> (State, String) {
    let text = guest.run(&["imactl", "--json", "check", path]).stdout;
    let report: LabelReport = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let file = report.files.into_iter().next().unwrap_or_else(|| panic!("{path} is not listed: {text}"));
    (file.state, file.reason)
}

/// Whether `imactl explain` says that the file may be used, by another policy where one is named.
fn explained(guest: &Guest, arguments: &[&str]) -> bool {
    let output = guest.run(&[&["imactl", "--json", "explain"], arguments].concat());
    let document: serde_json::Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    document["prediction"]["allowed"].as_bool().unwrap_or_else(|| panic!("{output}"))
}

#[test]
fn signatures_over_fs_verity_fare_as_with_the_kernel() {
    use Hash::{Sha256, Sha512};
    let guest = TRUSTED.guest();
    guest.put("/root/rule", RULE, 0o600);
    let signature = imad::model::cert::hex(&label(RULE.as_bytes(), "ima"));
    set(&guest, "/root/rule", &format!("0x{signature}"));

    // Name, fs-verity's algorithm, the label's, the signer, what is flipped of the digest that is signed, the answer.
    let table = [
        ("good", Some(Sha256), Sha256, "ima", 0, true),
        ("sha512", Some(Sha512), Sha512, "ima", 0, true),
        // ECDSA: nothing tells the kernel that the algorithm is another.
        ("other-algorithm", Some(Sha512), Sha256, "ima", 0, true),
        ("other-digest", Some(Sha256), Sha256, "ima", 1, false),
        ("foreign", Some(Sha256), Sha256, "foreign", 0, false),
        ("no-verity", None, Sha256, "ima", 0, false),
    ];
    for (name, verity, named, signer, flip, good) in table {
        let path = format!("/root/{name}");
        guest.sh(&format!("echo 'content of {name}' >{path} && chown 4711 {path}")).ok();
        let mut digest = verity.map_or_else(|| vec![7; 32], |hash| enable(&guest, hash, &path));
        digest[0] ^= flip;
        set(&guest, &path, &verity_label(signer, named, verity.unwrap_or(named), &digest));
        let (state, reason) = state_of(&guest, &path);
        assert_eq!(state, if good { State::Good } else { State::Foreign }, "{name}: {reason}");
        let word = match (good, verity) {
            (true, _) => "digest_type=verity",
            (false, None) => "no fs-verity",
            (false, Some(_)) if signer == "foreign" => "not trusted here",
            (false, Some(_)) => "fs-verity signature by key",
        };
        assert!(reason.contains(word), "{name}: {reason}");
        assert_eq!(explained(&guest, &["--as", "read", "--policy", "/root/rule", &path]), good, "{name}");
        assert!(guest.run(&["cat", &path]).success(), "{name}, before the rule");
    }
    guest.sh("echo /root/rule >/sys/kernel/security/ima/policy").ok();
    for (name, _, _, _, _, good) in table {
        let read = guest.run(&["cat", &format!("/root/{name}")]);
        assert_eq!(read.success(), good, "{name}: {read}");
    }
}

/// A rule with `appraise_type=imasig` takes no such signature, however good it is.
#[test]
fn other_rules_do_not_accept_them() {
    let guest = TRUSTED.guest();
    guest.run(&["cp", "/usr/bin/true", "/root/program"]).ok();
    let digest = enable(&guest, Hash::Sha256, "/root/program");
    set(&guest, "/root/program", &verity_label("ima", Hash::Sha256, Hash::Sha256, &digest));
    assert_eq!(state_of(&guest, "/root/program").0, State::Good);
    assert!(!explained(&guest, &["/root/program"]));
    assert!(guest.sh("/root/program").stderr.contains("Permission denied"));
    // With a plain signature it runs, fs-verity or not.
    let plain = imad::model::cert::hex(&label(&guest.get("/root/program"), "ima"));
    set(&guest, "/root/program", &format!("0x{plain}"));
    assert!(explained(&guest, &["/root/program"]));
    guest.run(&["/root/program"]).ok();
}

//! Labels and certificates, judged as evmctl and openssl judge them.

use std::path::Path;
use std::process::Command;

use imad::model::algo::HashAlgo;
use imad::model::cert::{Certificate, hex};
use imad::model::config::Labels;
use imad::model::label::Label;
use imad::model::plan::State;
use imad::model::verify::{Trust, Verdict};
use imad::ops::labels::{Request, Selection, judge_file};
use imad::sys::root::Root;

use crate::machine::{folder, keys, output, run};

fn evmctl(arguments: &[&str], file: &Path) -> bool {
    let mut command = Command::new("evmctl");
    command.args(arguments).arg(file);
    output(command).status.success()
}

#[test]
fn labels_fare_as_with_evmctl() {
    let (keys, folder) = (keys(), folder());
    let key = |name: &str, kind: &str| keys.join(format!("{name}.{kind}")).to_str().unwrap().to_owned();
    let certificate = |name: &str| Certificate::parse(&std::fs::read(key(name, "der")).unwrap()).unwrap();
    let root = Root::open(folder.path()).unwrap();
    let sign = |name: &str, algo: &str, file: &Path| {
        let (private, public) = (key(name, "key"), key(name, "pem"));
        assert!(evmctl(&["ima_sign", "--key", &private, "--keyid-from-cert", &public, "--hashalgo", algo], file));
    };
    // Every key kind and hash that both know, then what goes wrong.
    let mut seen = 0;
    for name in ["ima", "accepted/rsa", "accepted/p384"] {
        for algo in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
            for spoil in [None, Some("content"), Some("key")] {
                let file = folder.path().join(format!("file{seen}"));
                std::fs::write(&file, format!("content of {name} {algo}")).unwrap();
                sign(name, algo, &file);
                if spoil == Some("content") {
                    std::fs::write(&file, "changed").unwrap();
                }
                let trusted = if spoil == Some("key") { "foreign" } else { name };
                let trust = Trust::new([certificate(trusted)]);
                let request = Request {
                    root: &root,
                    rules: &Labels::default(),
                    trust: &trust,
                    selection: &Selection::All,
                    write: None,
                    full: true,
                };
                let ours = judge_file(&request, format!("/file{seen}").as_bytes()).judged;
                let theirs = evmctl(&["ima_verify", "--key", &key(trusted, "der")], &file);
                assert_eq!(ours.state == State::Good, theirs, "{name} {algo} {spoil:?}: {ours:?}");
                assert_eq!(theirs, spoil.is_none(), "{name} {algo} {spoil:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 45);
}

/// Debian's evmctl (1.4) makes no labels of type 06: what its `--veritysig` would hash (libimaevm.c: calc_hash_sigv3())
/// is hashed by coreutils here, and evmctl signs that.
#[test]
fn evmctls_signatures_over_a_file_id_verify() {
    let (keys, folder) = (keys(), folder());
    let (file_id, list) = (folder.path().join("file-id"), folder.path().join("list"));
    let file = |name: &str, kind: &str| keys.join(format!("{name}.{kind}"));
    let certificate = |name: &str| Certificate::parse(&std::fs::read(file(name, "der")).unwrap()).unwrap();
    let mut seen = 0;
    for name in ["ima", "accepted/rsa", "accepted/p384"] {
        for (algo, size) in [(HashAlgo::Sha256, 32), (HashAlgo::Sha512, 64)] {
            let verity: Vec<u8> = (1..=size).collect();
            std::fs::write(&file_id, [&[6, algo.kernel_id()], &verity[..]].concat()).unwrap();
            let mut sum = Command::new(format!("{algo}sum"));
            sum.arg(&file_id);
            std::fs::write(&list, run(sum).stdout).unwrap();
            let mut evmctl = Command::new("evmctl");
            evmctl.args(["sign_hash", "--hashalgo", algo.name(), "--key"]).arg(file(name, "key"));
            evmctl.arg("--keyid-from-cert").arg(file(name, "pem")).stdin(std::fs::File::open(&list).unwrap());
            let signed = String::from_utf8(run(evmctl).stdout).unwrap();
            let mut label = imad::model::hex::decode(signed.split_whitespace().last().unwrap().as_bytes()).unwrap();
            label[..2].copy_from_slice(&[6, 3]);
            let Ok(Label::VeritySignature(signature)) = Label::parse(&label) else { panic!("{}", hex(&label)) };
            let by = |trusted: &str, verity: &[u8]| {
                Trust::new([certificate(trusted)]).verifier().verify_verity(&signature, algo, verity)
            };
            assert_eq!(by(name, &verity), Verdict::Good, "{name} {algo}");
            let other: Vec<u8> = (2..=size + 1).collect();
            assert_eq!(by(name, &other), Verdict::Bad, "{name} {algo}");
            assert!(matches!(by("foreign", &verity), Verdict::UnknownKey(_)), "{name} {algo}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn a_hash_label_of_evmctl_is_a_hash() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    assert!(evmctl(&["ima_hash", "--hashalgo", "sha512"], &file));
    let root = Root::open(folder.path()).unwrap();
    let (rules, trust) = (Labels::default(), Trust::default());
    let request =
        Request { root: &root, rules: &rules, trust: &trust, selection: &Selection::All, write: None, full: true };
    let judged = judge_file(&request, b"/file").judged;
    assert_eq!(judged.state, State::Foreign);
    assert!(judged.reason.contains("its label is a hash, not a signature"), "{judged:?}");
    std::fs::write(&file, "changed").unwrap();
    let judged = judge_file(&request, b"/file").judged;
    assert!(judged.reason.contains("a hash that the content does not have"), "{judged:?}");
}

#[test]
fn evmctls_portable_signatures_vouch_for_hashes() {
    use std::os::unix::fs::PermissionsExt;
    let (keys, folder) = (keys(), folder());
    let root = Root::open(folder.path()).unwrap();
    let rules = Labels::default();
    for name in ["ima", "accepted/rsa", "accepted/p384"] {
        let key = |kind: &str| keys.join(format!("{name}.{kind}")).to_str().unwrap().to_owned();
        let certificate = || Certificate::parse(&std::fs::read(key("der")).unwrap()).unwrap();
        let file = folder.path().join(name.replace('/', "-"));
        std::fs::write(&file, "content").unwrap();
        std::os::unix::fs::chown(&file, Some(3), Some(7)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4755)).unwrap();
        rustix::fs::setxattr(
            &file,
            "security.capability",
            &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let (private, public) = (key("key"), key("pem"));
        let sign = [
            "sign",
            "--portable",
            "--imahash",
            "--hashalgo",
            "sha256",
            "--key",
            &private,
            "--keyid-from-cert",
            &public,
        ];
        assert!(evmctl(&sign, &file));
        let state = |trust: &Trust| {
            let request =
                Request { root: &root, rules: &rules, trust, selection: &Selection::All, write: None, full: true };
            let path = [b"/", file.file_name().unwrap().as_encoded_bytes()].concat();
            judge_file(&request, &path).judged
        };
        let trust = Trust::default().with_evm([certificate()]);
        assert_eq!(state(&trust).state, State::Good, "{name}: {:?}", state(&trust));
        // A key for labels is none for security.evm.
        assert_eq!(state(&Trust::new([certificate()])).state, State::Unsupported);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(state(&trust).state, State::Foreign, "{name}: {:?}", state(&trust));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(state(&trust).state, State::Good);
        std::fs::write(&file, "CONTENT").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(state(&trust).state, State::Foreign, "{name}: {:?}", state(&trust));
    }
}

#[test]
fn subject_key_ids_are_those_of_openssl() {
    let keys = keys();
    let mut seen = 0;
    for folder in ["", "accepted", "refused"] {
        for entry in std::fs::read_dir(keys.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(certificate) = std::fs::read(&path).map_err(drop).and_then(|b| Certificate::parse(&b).map_err(drop))
            else {
                continue;
            };
            let mut command = Command::new("openssl");
            let form = if path.extension().is_some_and(|e| e == "pem") { "PEM" } else { "DER" };
            command.args(["x509", "-noout", "-ext", "subjectKeyIdentifier", "-inform", form, "-in"]).arg(&path);
            let text = String::from_utf8(run(command).stdout).unwrap();
            let theirs = text.lines().nth(1).map(|line| line.trim().replace(':', "").to_lowercase());
            assert_eq!(certificate.skid(), theirs, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} certificates were compared");
}

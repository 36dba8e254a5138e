//! Labels and certificates, judged as evmctl and openssl judge them.

use std::path::Path;
use std::process::Command;

use imad::model::cert::Certificate;
use imad::model::config::Labels;
use imad::model::plan::State;
use imad::model::verify::Trust;
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

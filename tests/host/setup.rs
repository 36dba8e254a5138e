//! `imactl setup` and `imactl teardown` on a private root.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use imad::model::setup::{SetupReport, StepOutcome};

use crate::fixture::{PrivateRoot, Signed, output};
use crate::next_boot::{NEW, OLD, root, sign, write};

const POLICY: &str = "etc/ima/ima-policy";

/// A root that is ready for the policy `first`, which is signed and waits in /etc/imad/policies, but for one label.
fn ready() -> PrivateRoot {
    let root = root();
    // dracut builds no image of a private root.
    for path in [format!("boot/loader/entries/3a6b-{OLD}.conf"), format!("boot/vmlinuz-{OLD}")] {
        std::fs::remove_file(root.join(&path)).unwrap();
    }
    std::fs::create_dir_all(root.join("etc/imad/policies")).unwrap();
    // As the package brings them.
    for folder in ["etc/imad/state", "var/lib/imad"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::rename(root.join(POLICY), root.join("etc/imad/policies/first")).unwrap();
    root.install(&[root.build("tool", "1.0", &[("/usr/bin/tool", "#!/bin/sh\n", "0755")], Signed::Good)]);
    root
}

fn ask(root: &PrivateRoot, arguments: &[&str]) -> (i32, SetupReport) {
    let (code, text) = root.imactl(&[&["--json"], arguments].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn outcome(report: &SetupReport, name: &str) -> StepOutcome {
    let step = report.steps.iter().find(|step| step.name == name);
    step.unwrap_or_else(|| panic!("no step {name}: {report:?}")).outcome
}

/// Every file with its content, inode, owner, mode, time and extended attributes; imad's own memory apart.
fn everything(root: &PrivateRoot) -> BTreeMap<String, String> {
    fn walk(top: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().display().to_string();
            // And what SQLite's readers share.
            if name == "var/lib/imad" || name.ends_with("-shm") {
                continue;
            }
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            // A folder's time tells of what came and went in it.
            let time = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
            let xattrs = output("getfattr", &["-h".as_ref(), "-d".as_ref(), "-m-".as_ref(), path.as_os_str()]).stdout;
            let state = format!(
                "{} {} {:o} {}:{} {time:?} {}",
                imad::model::cert::hex(
                    &imad::model::verify::digest(imad::model::algo::HashAlgo::Sha256, &content).unwrap()
                ),
                meta.ino(),
                meta.mode(),
                meta.uid(),
                meta.gid(),
                String::from_utf8_lossy(&xattrs),
            );
            found.insert(name, state);
            if meta.is_dir() {
                walk(top, &path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root.path(), root.path(), &mut found);
    found
}

#[track_caller]
fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for name in before.keys().chain(after.keys()) {
        assert_eq!(before.get(name), after.get(name), "{name}");
    }
}

#[test]
fn setup_arms_once_and_teardown_leaves_no_difference() {
    let root = ready();
    let plain = everything(&root);

    let (code, report) = ask(&root, &["setup", "--policy", "first", "--dry-run"]);
    assert_eq!(code, 0, "{report:?}");
    assert!(report.dry_run && !report.complete, "{report:?}");
    assert_eq!((outcome(&report, "labels"), outcome(&report, "arm")), (StepOutcome::Would, StepOutcome::Would));
    assert_same(&plain, &everything(&root));

    let (code, report) = ask(&root, &["setup", "--policy", "first"]);
    assert_eq!(code, 0, "{report:?}");
    assert!(
        report.complete && report.next_reboot.starts_with("The next boot loads first (2 rules) on trial"),
        "{report:?}"
    );
    assert_eq!((outcome(&report, "labels"), outcome(&report, "arm")), (StepOutcome::Done, StepOutcome::Done));
    assert!(root.label("usr/bin/tool").is_some());
    assert_eq!(root.label(POLICY), root.label("etc/imad/policies/first"));
    let armed = everything(&root);

    let (code, report) = ask(&root, &["setup", "--policy", "first"]);
    assert!(code == 0 && report.complete, "{report:?}");
    assert!(report.steps.iter().all(|step| step.outcome == StepOutcome::Already), "{report:?}");
    assert_same(&armed, &everything(&root));

    let (code, report) = ask(&root, &["teardown", "--dry-run"]);
    assert!(code == 0 && report.steps.iter().all(|step| step.outcome == StepOutcome::Would), "{report:?}");
    assert_same(&armed, &everything(&root));
    let (code, report) = ask(&root, &["teardown"]);
    assert!(code == 0 && report.complete, "{report:?}");
    assert_eq!(report.next_reboot, "The next boot loads no policy.");
    assert_same(&plain, &everything(&root));
    assert!(root.label("usr/bin/tool").is_none());

    let (code, report) = ask(&root, &["teardown"]);
    assert!(code == 0 && report.complete && report.steps[0].outcome == StepOutcome::Already, "{report:?}");
}

#[test]
fn the_policy_that_was_there_comes_back_however_often_setup_ran() {
    let root = ready();
    write(&root, POLICY, "measure func=BPRM_CHECK\n");
    write(&root, "etc/imad/policies/second", "dont_appraise fsname=rootfs\nappraise func=MODULE_CHECK fowner=4711\n");
    sign(&root.join("etc/imad/policies/second"));
    let plain = everything(&root);
    for policy in ["first", "second", "first"] {
        let (code, report) = ask(&root, &["setup", "--policy", policy]);
        assert!(code == 0 && report.complete, "{policy}: {report:?}");
        let source = root.join(&format!("etc/imad/policies/{policy}"));
        assert_eq!(std::fs::read(root.join(POLICY)).unwrap(), std::fs::read(source).unwrap());
    }
    let (code, report) = ask(&root, &["teardown"]);
    assert!(code == 0 && report.complete, "{report:?}");
    assert_eq!(report.next_reboot, "The next boot loads /etc/ima/ima-policy, as before.");
    assert_same(&plain, &everything(&root));
}

#[test]
fn what_would_stop_the_boot_is_refused_and_named() {
    let root = ready();
    let refused = |arguments: &[&str], step: &str, words: &str| {
        let before = root.join(POLICY).exists();
        let (code, report) = ask(&root, &[&["setup"], arguments].concat());
        assert_eq!((code, outcome(&report, step)), (1, StepOutcome::Refused), "{report:?}");
        let said: Vec<_> = report.steps.iter().flat_map(|step| &step.problems).collect();
        assert!(
            said.iter().any(|problem| problem.what.contains(words) && !problem.next.is_empty()),
            "{words}: {said:?}"
        );
        assert_eq!(root.join(POLICY).exists(), before, "it is armed all the same");
        assert!(report.next_reboot.starts_with("Nothing is armed. The next boot loads "));
    };
    refused(&["--policy", "none"], "policy", "there is no policy none; there are first");
    write(&root, "etc/imad/policies/unsigned", "measure func=BPRM_CHECK\n");
    refused(&["--policy", "unsigned"], "policy", "is not signed by a key that will be in the keyring");
    write(&root, "etc/imad/policies/brick", "appraise func=FILE_CHECK fsname=cgroup2\n");
    sign(&root.join("etc/imad/policies/brick"));
    refused(&["--policy", "brick"], "next boot", "cgroup2");
    let image = format!("boot/initramfs-{NEW}.img");
    std::fs::write(root.join(&image), b"070701").unwrap();
    refused(&["--policy", "first"], "images", &image);

    // Who forces it is told what it will break.
    let (code, report) = ask(&root, &["setup", "--policy", "first", "--force"]);
    assert_eq!((code, outcome(&report, "next boot")), (1, StepOutcome::Forced), "{report:?}");
    assert!(root.join(POLICY).exists() && report.next_reboot.contains("It was forced"), "{report:?}");
    let (_, report) = ask(&root, &["teardown"]);
    assert!(report.complete && !root.join(POLICY).exists(), "{report:?}");
}

#[test]
fn a_certificate_is_installed_and_taken_away_again() {
    let root = ready();
    let certificate = root.join("etc/keys/ima/ima.der");
    let elsewhere = crate::fixture::folder();
    let file = elsewhere.path().join("signer.der");
    std::fs::rename(&certificate, &file).unwrap();
    let plain = everything(&root);
    let (code, report) = ask(&root, &["setup", "--policy", "first"]);
    assert_eq!((code, outcome(&report, "keys")), (1, StepOutcome::Refused), "{report:?}");
    let setup = ["setup", "--policy", "first", "--cert", file.to_str().unwrap()];
    // Labels are judged as if the certificate were there already.
    let (code, report) = ask(&root, &[&setup[..], &["--dry-run"]].concat());
    assert_eq!((code, outcome(&report, "labels")), (0, StepOutcome::Would), "{report:?}");
    assert!(report.steps.iter().all(|step| step.outcome != StepOutcome::Refused), "{report:?}");
    assert_same(&plain, &everything(&root));
    let (code, report) = ask(&root, &setup);
    assert!(code == 0 && report.complete, "{report:?}");
    assert!(root.join("etc/keys/ima/signer.der").exists());
    let (code, report) = ask(&root, &["teardown"]);
    assert!(code == 0 && report.complete, "{report:?}");
    assert_same(&plain, &everything(&root));
}

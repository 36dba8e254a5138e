//! Labelling while others are at the same files: packages are upgraded, programs are written in place, names change hands.
//!
//! Whatever happens meanwhile, no file may end with a label that does not verify: an upgrade brings other bytes under the
//! same name, a writer in place makes what was hashed untrue, and a rename puts another file where a package's was.
//! `IMAD_UPGRADES=100` makes it as long as `make soak` has it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{PrivateRoot, Signed, keys, output};

/// Files of each package.
const FILES: usize = 80;
/// Upgrades and downgrades, where nothing else is asked for.
const UPGRADES: usize = 6;
/// After so long too few runs are a failure.
const LIMIT: Duration = Duration::from_secs(120);

fn upgrades() -> usize {
    let asked = std::env::var("IMAD_UPGRADES").ok();
    asked.map_or(UPGRADES, |text| text.parse().unwrap_or_else(|error| panic!("IMAD_UPGRADES={text}: {error}")))
}

fn package(root: &PrivateRoot, name: &str, version: &str) -> PathBuf {
    let files: Vec<(String, String)> = (0..FILES)
        .map(|number| {
            let content = format!("{name} {version} {number}\n").repeat(1 + number * number);
            (format!("/usr/lib/{name}/{number}"), content)
        })
        .collect();
    let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_str(), "0755")).collect();
    root.build(name, version, &files, Signed::Good)
}

/// Files whose label evmctl does not verify, with what it says, and how many labels there are.
fn unverified(root: &PrivateRoot) -> (usize, String) {
    let certificate = keys().join("ima.der");
    let (mut labels, mut bad) = (0, String::new());
    for folder in ["upgraded", "written", "renamed"] {
        for entry in std::fs::read_dir(root.join("usr/lib").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if root.label(path.strip_prefix(root.path()).unwrap().to_str().unwrap()).is_none() {
                continue;
            }
            labels += 1;
            let arguments: [&OsStr; 4] = ["ima_verify".as_ref(), "-k".as_ref(), certificate.as_ref(), path.as_ref()];
            let output = output("evmctl", &arguments);
            if !output.status.success() {
                bad.push_str(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
            }
        }
    }
    (labels, bad)
}

/// One run over files while somebody writes other bytes in place and takes away what label there is, then the package's
/// bytes again, and so on, so many times; at last there are other bytes. Whoever was first: none may have a label then.
/// How many labels the run says it wrote.
fn write_while_labelling(root: &PrivateRoot, times: usize) -> usize {
    let paths: Vec<_> = (0..FILES).map(|number| root.join(&format!("usr/lib/written/{number}"))).collect();
    let open = |path| std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let files: Vec<(File, Vec<u8>)> = paths.iter().map(|path| (open(path), std::fs::read(path).unwrap())).collect();
    let report = thread::scope(|scope| {
        let run = scope.spawn(|| root.report(&["relabel"]));
        for time in 0..=times {
            for (file, content) in &files {
                if time > 0 {
                    file.write_all_at(content, 0).unwrap();
                }
                thread::yield_now();
                file.write_all_at(&vec![b'x'; content.len()], 0).unwrap();
                unlabel(file);
            }
        }
        run.join().unwrap()
    });
    for number in 0..FILES {
        assert_eq!(root.label(&format!("usr/lib/written/{number}")), None, "{number} in turn {times}");
    }
    for (file, content) in &files {
        file.write_all_at(content, 0).unwrap();
    }
    usize::try_from(report.counts.written).unwrap()
}

fn unlabel(file: &File) {
    match rustix::fs::fremovexattr(file, "security.ima") {
        Err(error) if error != rustix::io::Errno::NODATA => panic!("{error}"),
        _ => {}
    }
}

#[test]
fn no_label_is_wrong_whatever_happens_meanwhile() {
    let root = PrivateRoot::new();
    let versions = ["1.0", "2.0"].map(|version| package(&root, "upgraded", version));
    root.install(&[versions[0].clone(), package(&root, "written", "1.0"), package(&root, "renamed", "1.0")]);
    let done = AtomicBool::new(false);
    let (rounds, written) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let renamed = root.join("usr/lib/renamed");

    thread::scope(|scope| {
        // Two neighbours change places by way of a third name.
        scope.spawn(|| {
            let between = renamed.join("between");
            for number in (0..FILES - 1).cycle() {
                let [one, other] = [number, number + 1].map(|number| renamed.join(number.to_string()));
                for (from, to) in [(&one, &between), (&other, &one), (&between, &other)] {
                    std::fs::rename(from, to).unwrap();
                }
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                output("sh", &["-c", &format!("setfattr -h -x security.ima {}/* 2>/dev/null", renamed.display())]);
                let times = rounds.fetch_add(1, Ordering::Relaxed) % 40;
                written.fetch_add(write_while_labelling(&root, times), Ordering::Relaxed);
            }
        });
        // However slow the machine is, enough runs go on meanwhile.
        let enough = || rounds.load(Ordering::Relaxed) > 2 && written.load(Ordering::Relaxed) > FILES;
        let begin = Instant::now();
        for number in 0.. {
            if number >= upgrades() && (enough() || begin.elapsed() > LIMIT) {
                break;
            }
            let options = ["-U", "--oldpackage", "--noscripts"].map(OsStr::new);
            root.rpm(&[&options[..], &[versions[(number + 1) % 2].as_ref()]].concat());
        }
        done.store(true, Ordering::Relaxed);
    });

    let (labels, bad) = unverified(&root);
    let (rounds, written) = (rounds.into_inner(), written.into_inner());
    println!("{} upgrades, {rounds} runs, {written} labels written, {labels} at the end", upgrades());
    assert_eq!(bad, "");
    assert!(rounds > 1 && written > FILES, "{rounds} runs, {written} written");
    // At rest everything gets its label, but what lies under another's name.
    root.report(&["relabel"]);
    let (labels, bad) = unverified(&root);
    assert_eq!(bad, "");
    assert!(labels >= 2 * FILES, "{labels}");
}

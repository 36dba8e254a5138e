//! What the guard costs before each boot, and the check of the next boot in the running system: a manifest of 3,000 files,
//! the core of this machine's own system among them, on this machine's file system. `make bench`; needs root.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the run")]

#[path = "../machine.rs"]
#[allow(dead_code, reason = "the tests ask for more")]
mod machine;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use imad::model::cert::Certificate;
use imad::model::guard::initramfs_magic;
use imad::model::manifest::{Entry, Manifest, Use};
use imad::model::policy::builtin::Boot;
use imad::model::policy::profile::KernelProfile;
use imad::model::verify::Trust;
use imad::ops::guard::{Case, Depth, check, core};
use imad::ops::in_force;
use imad::sys::root::Root;
use nix::time::{ClockId, clock_gettime};

const FILES: usize = 3_000;
const RUNS: usize = 20;
/// The size of most files that are executed or mapped.
const SIZE: usize = 64 * 1024;
const POLICY: &str = include_str!("../../conf/policies/01-appraise-executable-and-lib-signatures");

fn main() {
    let folder = machine::folder();
    let root = Root::open(folder.path()).unwrap();
    let keys = machine::keys();
    let trust = Trust::new([Certificate::parse(&std::fs::read(keys.join("ima.der")).unwrap()).unwrap()]);
    let manifest = make(folder.path(), &root);
    let kernel = KernelProfile::default();
    let (mut guard, mut deep, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    let (mut read, mut bytes) = (0, 0);
    for _ in 0..RUNS {
        let ask = |depth| {
            let text = manifest.to_bytes();
            let manifest = Manifest::parse(&text).unwrap();
            let rules = in_force::of_file("policy", POLICY.as_bytes(), &Boot::default(), &kernel).unwrap().rules;
            let case = Case {
                root: &root,
                manifest: Some(&manifest),
                trust: &trust,
                kernel: &kernel,
                rules: &rules,
                initramfs: initramfs_magic(true),
                depth,
            };
            let checked = check(&case);
            assert_eq!(checked.refused, []);
            (checked, text.len())
        };
        guard.push(cpu(|| {
            let (checked, length) = ask(Depth::Labels);
            (read, bytes) = (checked.read, length);
        }));
        let begin = Instant::now();
        deep.push(cpu(|| drop(ask(Depth::Content))));
        wall.push(begin.elapsed());
    }
    println!("{FILES} files, {read} of them read by the guard; the manifest has {bytes} bytes; medians of {RUNS} runs");
    let [guard, deep, wall] = [guard, deep, wall].map(median);
    println!("guard, manifest and policy read     {:>7.1} ms CPU  (goal with keys and load: 150)", ms(guard));
    println!("the same files with every content   {:>7.1} ms CPU, {:.1} ms  (goal: 2000)", ms(deep), ms(wall));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// This process's CPU time for something.
fn cpu(run: impl FnOnce()) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap());
    let begin = now();
    run();
    now().saturating_sub(begin)
}

/// The core of this machine, copied and signed, and as many files alike as are left of 3,000.
fn make(folder: &Path, root: &Root) -> Manifest {
    let here = Root::running().unwrap();
    let mut entries = Vec::new();
    for entry in core(&here) {
        let name = std::str::from_utf8(&entry.path).unwrap();
        let copy = folder.join(name.trim_start_matches('/'));
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(name, &copy).unwrap();
        let label = sign(&copy);
        entries.push(labelled(folder, &entry.path, entry.uses, true, &label));
    }
    let alike = folder.join("usr/bin/0");
    std::fs::create_dir_all(alike.parent().unwrap()).unwrap();
    std::fs::write(&alike, vec![7; SIZE]).unwrap();
    let label = sign(&alike);
    for number in entries.len()..FILES {
        let path = format!("/usr/bin/{number}");
        std::fs::copy(&alike, folder.join(path.trim_start_matches('/'))).unwrap();
        let file = root.open_with(path.as_bytes(), rustix::fs::OFlags::RDONLY).unwrap();
        rustix::fs::fsetxattr(&file, "security.ima", &label, rustix::fs::XattrFlags::empty()).unwrap();
        let uses = if number % 4 == 0 { Use::Program } else { Use::Library };
        entries.push(labelled(folder, path.as_bytes(), uses.into(), false, &label));
    }
    Manifest::new(entries)
}

fn labelled(folder: &Path, path: &[u8], uses: imad::model::manifest::Uses, core: bool, label: &[u8]) -> Entry {
    let name = std::str::from_utf8(path).unwrap().trim_start_matches('/');
    let metadata = std::fs::metadata(folder.join(name)).unwrap();
    let mtime = (metadata.mtime(), metadata.mtime_nsec());
    Entry { path: path.to_vec(), uses, core, needed: true, size: metadata.size(), mtime, label: Some(label.to_vec()) }
}

/// Signs a file, and returns its label.
fn sign(file: &Path) -> Vec<u8> {
    machine::sign(file, "ima");
    let file = std::fs::File::open(file).unwrap();
    let mut label = vec![0; 4096];
    let length = rustix::fs::fgetxattr(&file, "security.ima", &mut label[..]).unwrap();
    label.truncate(length);
    label
}

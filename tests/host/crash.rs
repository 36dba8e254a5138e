//! imactl killed while it labels: before every call that changes something, and at any instant. What is there then was
//! there before or is what the packages say; the next run ends the work; nothing else was touched.
//!
//! `IMAD_KILLS=500` kills so often at random (`make soak`).

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::fixture::{PrivateRoot, Signed, run};
use crate::machine;

/// Kills at random, where nothing else is asked for.
const KILLS: u32 = 40;
/// Kills before each kind of call.
const AT_EACH: usize = 10;
/// Calls that change something, each with those that do the same.
const CALLS: [&str; 7] = [
    "fsetxattr",
    "write,pwrite64,writev,pwritev",
    "fdatasync,fsync",
    "rename,renameat,renameat2",
    "openat,openat2",
    "ftruncate",
    "close",
];
const KILL: i32 = 9;

/// What may be asked of a file, and what stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    content: Vec<u8>,
    modified: (i64, i64),
    mode: u32,
    other: Vec<u8>,
}

struct Target {
    root: PrivateRoot,
    /// Each file with the label that its package brings.
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
    kept: Vec<Kept>,
}

fn label(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    match rustix::fs::lgetxattr(path, "security.ima", &mut value[..]) {
        Ok(length) => Some(value[..length].to_vec()),
        Err(rustix::io::Errno::NODATA) => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

impl Target {
    /// Packages with signed files, configuration that gets no label, and a stale label here and there.
    fn new() -> Self {
        let root = PrivateRoot::new();
        for name in ["one", "two", "three"] {
            let files: Vec<_> =
                (0..60).map(|n| (format!("/usr/lib/{name}/{n}"), format!("{name} {n}\n").repeat(n * n + 1))).collect();
            let config = format!("/etc/{name}.conf");
            let mut list: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str(), "0755")).collect();
            list.push((&config, "plain\n", "0644"));
            root.install(&[root.build(name, "1.0", &list, Signed::Good)]);
        }
        let query = ["-qa", "--qf", "[%{FILENAMES}|%{FILESIGNATURES}\n]"].map(std::ffi::OsStr::new);
        let text = String::from_utf8(root.rpm(&query).stdout).unwrap();
        let files: BTreeMap<_, _> = text
            .lines()
            .map(|line| {
                let (path, signature) = line.split_once('|').unwrap();
                let label = if path.starts_with("/etc") { None } else { imad::model::rpm::unhex(signature.as_bytes()) };
                (root.join(&path[1..]), label)
            })
            .collect();
        assert_eq!(files.values().filter(|label| label.is_some()).count(), 180);
        for path in files.keys() {
            run("setfattr", &["-n", "user.other", "-v", "stays", path.to_str().unwrap()]);
        }
        let mut target = Self { root, files, kept: Vec::new() };
        target.kept = target.keep();
        target
    }

    fn keep(&self) -> Vec<Kept> {
        let kept = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).unwrap();
            let mut other = vec![0; 64];
            let length = rustix::fs::lgetxattr(path, "user.other", &mut other[..]).unwrap();
            other.truncate(length);
            Kept {
                content: std::fs::read(path).unwrap(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                mode: metadata.mode(),
                other,
            }
        };
        self.files.keys().map(kept).collect()
    }

    /// Takes the labels away; every seventh file gets that of another.
    fn reset(&self) {
        let stale = self.files.values().flatten().next().unwrap();
        for (number, (path, expected)) in self.files.iter().enumerate() {
            if number % 7 == 0 && expected.as_ref().is_some_and(|expected| expected != stale) {
                rustix::fs::lsetxattr(path, "security.ima", stale, rustix::fs::XattrFlags::empty()).unwrap();
            } else if label(path).is_some() {
                rustix::fs::lremovexattr(path, "security.ima").unwrap();
            }
        }
    }

    fn imactl(&self, program: &str, before: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(before);
        if program == "strace" {
            command.arg(env!("CARGO_BIN_EXE_imactl"));
        }
        command.arg("--root").arg(self.root.path()).arg("relabel");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// After a kill: what is there was there or belongs there. After the next run: what belongs there.
    fn check(&self, what: &str) {
        let stale = self.files.values().flatten().next();
        for (path, expected) in &self.files {
            let found = label(path);
            assert!(
                found.is_none() || found == *expected || found.as_ref() == stale,
                "{what}: {} has a label that nobody planned",
                path.display()
            );
        }
        let report = self.root.report(&["relabel"]);
        assert_eq!(report.problems, [], "{what}");
        for (path, expected) in &self.files {
            assert_eq!(label(path), *expected, "{what}: {}", path.display());
        }
        assert_eq!(self.keep(), self.kept, "{what}: something else than labels changed");
    }
}

#[test]
fn a_run_killed_before_any_call_is_ended_by_the_next() {
    let target = Target::new();
    let log = target.root.join("calls");
    for calls in CALLS {
        let trace = format!("trace={calls}");
        target.reset();
        let command = target.imactl("strace", &["-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace]);
        machine::run(command);
        // strace counts the calls of each thread.
        let text = std::fs::read_to_string(&log).unwrap();
        let mut of_threads: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines().filter(|line| line.contains('(')) {
            *of_threads.entry(line.split(' ').next().unwrap()).or_default() += 1;
        }
        let (all, count) = (of_threads.values().sum::<usize>(), of_threads.values().copied().max().unwrap_or(0));
        let mut killed = 0;
        for number in 0..if count == 0 { 0 } else { 4 * AT_EACH } {
            // From the first to the last, and a thread that had fewer this time lives on.
            let nth = 1 + number % AT_EACH * count.saturating_sub(1) / (AT_EACH - 1);
            let inject = format!("inject={calls}:signal=SIGKILL:when={nth}");
            target.reset();
            let mut command = target.imactl("strace", &["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
            let status = command.status().unwrap();
            killed += usize::from(status.signal() == Some(KILL));
            target.check(&format!("killed before {calls} number {nth}"));
            if killed == AT_EACH {
                break;
            }
        }
        println!("{calls}: {all} calls, killed {killed} times");
        assert!(count == 0 || killed == AT_EACH, "{calls}: {all} calls, only {killed} kills");
        assert!(count > 0 || !calls.contains("fsetxattr"), "no call of {calls} was seen");
    }
}

#[test]
fn a_run_killed_at_any_instant_is_ended_by_the_next() {
    let target = Target::new();
    let kills = std::env::var("IMAD_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    target.reset();
    let begin = Instant::now();
    machine::run(target.imactl(env!("CARGO_BIN_EXE_imactl"), &[]));
    let whole = begin.elapsed();
    let mut killed = 0;
    for number in 0..kills {
        target.reset();
        let mut child = target.imactl(env!("CARGO_BIN_EXE_imactl"), &[]).spawn().unwrap();
        // Any instant of the run: the golden ratio spreads them evenly, however many there are.
        let share = (f64::from(number) * 0.618_033_988_749_895).fract();
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * share));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().signal() == Some(KILL));
        target.check(&format!("killed after {share:.3} of {whole:?}"));
    }
    println!("{killed} of {kills} runs were killed within {whole:?}");
    assert!(killed > kills / 2, "only {killed} of {kills}");
}

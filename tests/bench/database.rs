//! What reading the package database costs, in CPU time, against `rpm` on the same database: `make bench`.
//!
//! `cargo bench --bench database [-- FOLDER]`: the database of a root, or one that is made here.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use imad::model::rpm::{Header, Package};
use imad::sys::root::Root;
use imad::sys::rpmdb::Database;
use nix::time::{ClockId, clock_gettime};
use rusqlite::{Connection, params};

const PACKAGES: u32 = 2_000;
const FILES: u32 = 50;
/// Runs of each; one after the other, so that both meet the same machine.
const RUNS: usize = 9;
/// Runs of rpm together, since the clock for a process's children ticks but a hundred times a second.
const TIMES: u32 = 5;
const PLACE: &str = "usr/lib/sysimage/rpm";

fn main() {
    // Cargo's own arguments begin with a dash.
    let root = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let root = root.map_or_else(|| make(made.path()), Into::into);
    let (mut views, mut copies, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut files, mut bytes) = (0, 0);
    for _ in 0..RUNS {
        views.push(cpu(|| (files, bytes) = view(&root)));
        copies.push(cpu(|| copy(&root)));
        theirs.push(rpm(&root));
    }
    println!("{files} files, {} MB of headers; medians of {RUNS} runs, CPU time", bytes / 1_000_000);
    let [view, copy, rpm] = [views, copies, theirs].map(median);
    println!("rpm -qa --qf       {:>7.1} ms", rpm.as_secs_f64() * 1e3);
    for (name, time) in [("read, as a view", view), ("read, as a copy", copy)] {
        println!("{name}    {:>7.1} ms  {:.3} of rpm", time.as_secs_f64() * 1e3, time.div_duration_f64(rpm));
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// This process's CPU time for something.
fn cpu(run: impl FnOnce()) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock is there"));
    let begin = now();
    run();
    now().saturating_sub(begin)
}

/// Every path and every label, decoded, without keeping any.
fn view(root: &Path) -> (u64, u64) {
    let database = open(root);
    let (mut blob, mut path, mut label) = (Vec::new(), Vec::new(), Vec::new());
    let (mut files, mut bytes) = (0, 0);
    for number in database.numbers().expect("it is read") {
        assert!(database.read(number, &mut blob).expect("it is read"));
        let header = Header::parse(&blob).expect("it is a header");
        for file in &header.files().expect("it has files") {
            let file = file.expect("it is a file");
            file.path_into(&mut path);
            std::hint::black_box(file.signature_into(&mut label).expect("it is hexadecimal"));
            files += 1;
        }
        bytes += blob.len() as u64;
    }
    (files, bytes)
}

/// Every package as a copy of its own.
fn copy(root: &Path) {
    let database = open(root);
    let mut blob = Vec::new();
    for number in database.numbers().expect("it is read") {
        assert!(database.read(number, &mut blob).expect("it is read"));
        std::hint::black_box(Package::parse(&blob).expect("it is a package"));
    }
}

fn open(root: &Path) -> Database {
    Database::open(&Root::open(root).expect("it can be opened")).expect("it is a database")
}

/// The CPU time of rpm's query.
fn rpm(root: &Path) -> Duration {
    let children = || {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("it is a number")).sum();
        Duration::from_millis(ticks * 10)
    };
    let begin = children();
    for _ in 0..TIMES {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(root).args(["--dbpath", &format!("/{PLACE}"), "--define", "_db_backend sqlite", "-qa"]);
        rpm.args(["--qf", "[%{FILENAMES} %{FILESIGNATURES}\\n]"]).stdout(Stdio::null());
        run(&mut rpm);
    }
    children().saturating_sub(begin) / TIMES
}

/// A root with a database of many packages: one real package again and again, with a label for each file by a P-384 key.
fn make(folder: &Path) -> PathBuf {
    let (root, spec) = (folder.join("root"), folder.join("bench.spec"));
    std::fs::create_dir(&root).expect("a folder can be made");
    std::fs::write(&spec, text()).expect("a file can be written");
    let mut build = Command::new("rpmbuild");
    run(build.args(["-bb", "--quiet", "--define", &format!("_topdir {}", folder.display())]).arg(spec));
    let mut install = Command::new("rpm");
    install.arg("--root").arg(&root).args(["--dbpath", &format!("/{PLACE}"), "--define", "_db_backend sqlite"]);
    install.args(["-i", "--nodeps", "--noscripts"]).arg(folder.join("RPMS/noarch/bench-1-1.noarch.rpm"));
    run(&mut install);

    let mut database = Connection::open(root.join(PLACE).join("rpmdb.sqlite")).expect("it can be opened");
    let select = "SELECT blob FROM Packages WHERE hnum = 1";
    let blob: Vec<u8> = database.query_row(select, [], |row| row.get(0)).expect("a package is there");
    let mut state = 1_u64;
    let transaction = database.transaction().expect("nobody else writes");
    for number in 1..=PACKAGES {
        let insert = "INSERT OR REPLACE INTO Packages (hnum, blob) VALUES (?1, ?2)";
        transaction.execute(insert, params![number, signed(&blob, &mut state)]).expect("it is written");
    }
    transaction.commit().expect("it is written");
    root
}

fn run(command: &mut Command) {
    let status = command.status().expect("rpm and rpmbuild are installed");
    assert!(status.success(), "{command:?}");
}

/// A package with as much of what is not read (dependencies, changelogs) as a distribution's packages have.
fn text() -> String {
    let mut text = "Name: bench\nVersion: 1\nRelease: 1\nSummary: Many files\nLicense: MIT\nBuildArch: noarch\n\
        %global _binary_filedigest_algorithm 8\n%global __os_install_post %{nil}\n"
        .to_owned();
    for number in 0..40 {
        writeln!(text, "Provides: bench-{number}(x86-64) = 1\nRequires: other-{number} >= 1.{number}")
            .expect("strings grow");
    }
    text.push_str("%description\nText.\n%install\n");
    let folders = ["usr/bin", "usr/lib64/bench", "usr/share/bench", "usr/share/doc/bench", "usr/libexec/bench"];
    for folder in folders {
        writeln!(text, "mkdir -p %{{buildroot}}/{folder}").expect("strings grow");
        for number in 0..FILES as usize / folders.len() {
            let name = format!("{folder}/a-file-of-usual-length-{number}");
            writeln!(text, "echo {name} > %{{buildroot}}/{name}").expect("strings grow");
        }
    }
    text.push_str("%files\n/usr\n%changelog\n");
    for number in 0..100 {
        let line = "- Rebuilt for something that changed elsewhere, as it happens often in the life of a package";
        writeln!(text, "* Mon Jan 05 2026 Some One <some.one@example.org> - 1-{number}\n{line}\n")
            .expect("strings grow");
    }
    text
}

/// The header with a signature for each file, put behind the rest as rpm puts it.
fn signed(blob: &[u8], state: &mut u64) -> Vec<u8> {
    let word = |at: usize| u32::from_be_bytes(blob[at..at + 4].try_into().expect("it is four bytes"));
    let (entries, size) = (word(0), word(4));
    let (index, data) = blob[8..].split_at(entries as usize * 16);
    let files = index.chunks_exact(16).find(|entry| entry[..4] == 1117_u32.to_be_bytes()).expect("it has files");
    let files = u32::from_be_bytes(files[12..].try_into().expect("it is four bytes"));
    let mut values = Vec::new();
    for _ in 0..files {
        values.extend_from_slice(b"030204");
        for _ in 0..27 {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            values.extend(format!("{:08x}", *state >> 32).bytes());
        }
        values.push(0);
    }
    let size = size + u32::try_from(values.len()).expect("it is small");
    let sizes = [entries + 1, size].map(u32::to_be_bytes).concat();
    let entry = [5090, 8, word(4), files].map(u32::to_be_bytes).concat();
    [&sizes[..], index, &entry, data, &values].concat()
}

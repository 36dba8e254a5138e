//! What labelling costs, beside the bare work that nobody can do without and beside the tools that people use today:
//! `make bench` writes the table into docs/performance.md.
//!
//! Everything is measured on the corpus (tests/bench/corpus.sh) in one run: what is compared is run in turn, three times,
//! and the medians are set into relation. Needs root, for mounts, labels and dropping caches.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the run")]

mod bare;
mod corpus;
mod cost;
mod libraries;
mod table;

use std::path::Path;
use std::process::{Command, Stdio};

use corpus::{Corpus, File, Key};
use cost::{Cost, measure, medians};
use table::{Row, Table};

/// The argument by which this program only compares the libraries that verify.
const LIBRARIES: &str = "--libraries";
/// Times that each of two compared works is done.
const TIMES: usize = 3;
/// Files of the loops that start two processes a file.
const SAMPLE: usize = 300;
const IMACTL: &str = env!("CARGO_BIN_EXE_imactl");

fn main() {
    if std::env::args().any(|argument| argument == LIBRARIES) {
        return print!("{}", libraries::lines());
    }
    let mut table = Table::default();
    table.libraries(&libraries::lines());
    // First, as the largest process that ever ran is all that is known of memory.
    growing(&mut table);
    let corpus = Corpus::mount("corpus.sh");
    for key in Key::ALL {
        corpus.select(key);
        let files = corpus.files();
        assert!(files.len() > 50_000, "{key}: only {} files", files.len());
        eprintln!("{key}: {} signed files, {} MB", files.len(), files.iter().map(|file| file.size).sum::<u64>() >> 20);
        table.corpus(key, &files);
        relabelling(&corpus, key, &files, &mut table);
        verifying(&corpus, key, &files, &mut table);
    }
    reading(&corpus, &mut table);
    // The corpus has another OpenSSL than this machine.
    let this = std::env::current_exe().unwrap();
    let output = corpus.inside(this.to_str().unwrap()).arg(LIBRARIES).output().unwrap();
    table.libraries(std::str::from_utf8(&output.stdout).unwrap());
    table.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md"));
}

fn imactl(corpus: &Corpus, arguments: &[&str]) {
    // Its exit status says whether every file's label is good, which is not asked here.
    run(Command::new(IMACTL).arg("--root").arg(corpus.root()).args(arguments));
}

/// Runs a program whose output nobody needs, whatever it says.
fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
}

/// 10,000, 50,000 and 200,000 files alike: time and memory of each.
fn growing(table: &mut Table) {
    let corpus = Corpus::mount("linear.sh");
    for database in ["1", "5", "20"] {
        corpus.select_database(database);
        let files = corpus.files();
        let [first, check] = medians(
            TIMES,
            &mut [
                &mut || {
                    bare::remove(&files);
                    measure(|| imactl(&corpus, &["relabel"]))
                },
                &mut || measure(|| imactl(&corpus, &["check"])),
            ],
        );
        assert_eq!(bare::labelled(&files), files.len(), "imactl left files without a label");
        table.growth(files.len(), first, check);
    }
}

/// Labels are written where there are none, and then none is left to write.
fn relabelling(corpus: &Corpus, key: Key, files: &[File], table: &mut Table) {
    let certificate = corpus.certificate(key);
    let [first, pipeline] = medians(
        TIMES,
        &mut [
            &mut || {
                bare::remove(files);
                let cost = measure(|| imactl(corpus, &["relabel"]));
                assert_eq!(bare::labelled(files), files.len(), "imactl left files without a label");
                cost
            },
            &mut || {
                bare::remove(files);
                measure(|| bare::pipeline(files, &certificate))
            },
        ],
    );
    table.row(key, Row::ratio("first relabel of everything", first, "hash, verify, setxattr", pipeline, 1.10));
    let of_loop = {
        let every = files.len().div_ceil(SAMPLE);
        let sample: Vec<&File> = files.iter().step_by(every).collect();
        measure(|| bare::two_processes_a_file(&sample, &corpus.certificate_file(key))).times(files.len(), sample.len())
    };
    let least = if key == Key::P384 { 20.0 } else { 40.0 };
    table.row(key, Row::at_least("the distribution's loop", of_loop, "first relabel", first, least));

    remembering(corpus, key, files, table);
}

/// The root as a running system's: what was verified before is remembered.
fn remembering(corpus: &Corpus, key: Key, files: &[File], table: &mut Table) {
    let mut imactl = corpus.inside(IMACTL);
    run(imactl.arg("relabel"));
    let [second, looked] =
        medians(TIMES, &mut [&mut || measure(|| run(&mut imactl)), &mut || measure(|| bare::look(files))]);
    table.row(key, Row::ratio("second relabel", second, "lgetxattr, statx", looked, 1.30));
    imactl.arg("--full");
    let [full, hash] =
        medians(TIMES, &mut [&mut || measure(|| run(&mut imactl)), &mut || measure(|| bare::hash(files))]);
    table.row(key, Row::ratio("relabel --full, signatures proven", full, "hash", hash, 1.20));
}

/// Labels are verified against the bytes.
fn verifying(corpus: &Corpus, key: Key, files: &[File], table: &mut Table) {
    let certificate = corpus.certificate(key);
    let [check, bare] = medians(
        TIMES,
        &mut [&mut || measure(|| imactl(corpus, &["check"])), &mut || measure(|| bare::verify(files, &certificate))],
    );
    table.row(key, Row::ratio("check of everything", check, "hash, verify", bare, 1.10));
    let evmctl = measure(|| bare::evmctl(files, &corpus.certificate_file(key)));
    let least = if key == Key::P384 { 3.0 } else { 1.2 };
    table.row(key, Row::at_least("evmctl ima_verify, 500 files at a time", evmctl, "check", check, least));
    if key == Key::P256 {
        let rpm = measure(|| run(corpus.rpm().args(["-Va", "--nodeps", "--noscripts"])));
        table.row(key, Row::wall("check of everything", check, "rpm -Va", rpm, 1.10));
        let [cold, read] = medians(
            TIMES,
            &mut [
                &mut || {
                    corpus.drop_caches();
                    measure(|| imactl(corpus, &["check"]))
                },
                &mut || {
                    corpus.drop_caches();
                    measure(|| bare::read_by_inode(files))
                },
            ],
        );
        table.row(key, Row::wall("check with cold caches", cold, "read, by inode number", read, 1.10));
    }
}

/// The database is read.
fn reading(corpus: &Corpus, table: &mut Table) {
    let [own, rpm]: [Cost; 2] = medians(
        TIMES,
        &mut [&mut || measure(|| corpus.read()), &mut || {
            measure(|| run(corpus.rpm().args(["-qa", "--qf", "[%{FILENAMES} %{FILESIGNATURES}\\n]"])))
        }],
    );
    table.row(Key::P256, Row::ratio("database read and parsed", own, "rpm -qa --qf", rpm, 0.35));
}

//! `imactl policy fmt`
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::Path;

use super::args::{Arguments, PolicyFmt};
use super::exit::{Answer, Failure};
use super::policy::unreadable;
use super::render;
use super::target::open_root;
use crate::model::policy::report::faults;
use crate::model::report::VERSION;
use crate::ops::policy_files::{self, Layout, STANDARD_INPUT};

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Document {
    version: u32,
    files: Vec<FileDocument>,
}

/// A file that was laid out.
#[derive(serde::Serialize)]
struct FileDocument {
    file: String,
    changed: bool,
    /// The label that it had is gone.
    label_lost: bool,
}

pub(super) fn run(arguments: &Arguments, verb: &PolicyFmt) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let mut files = Vec::new();
    let mut failed: Option<Failure> = None;
    for path in &verb.files {
        let file = path.display().to_string();
        let failure = match policy_files::lay_out(&root, path, !verb.check) {
            Ok(Layout::Faulty { source, policy }) => {
                eprint!("{}", faults(&file, &source, &policy, render::coloured(&std::io::stderr())));
                Failure::input(format!("{file} has faults and stays as it is"), "mend them")
            }
            Err(error) => unreadable(path, &error),
            Ok(layout) => {
                files.push(done(path, layout, arguments.json, verb.check)?);
                continue;
            }
        };
        if let Some(earlier) = failed.replace(failure) {
            earlier.say();
        }
    }
    let changed = files.iter().any(|file| file.changed);
    if arguments.json {
        render::json(&Document { version: VERSION, files })?;
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(if verb.check && changed { Answer::No } else { Answer::Yes }),
    }
}

/// Says what became of a file.
fn done(path: &Path, layout: Layout, json: bool, check: bool) -> Result<FileDocument, Failure> {
    let file = path.display().to_string();
    let standard_input = path == Path::new(STANDARD_INPUT);
    let (changed, label_lost, text) = match layout {
        Layout::Changed { text, labelled } => (true, labelled && !check, text),
        Layout::Same { text } => (false, false, text),
        Layout::Faulty { source, .. } => (false, false, source),
    };
    if standard_input && !check {
        if !json {
            put(&text)?;
        }
    } else if changed && !json {
        render::print(&if check { format!("{file} would be laid out") } else { format!("{file} is laid out") })?;
    }
    if label_lost {
        eprintln!("imactl: {file} had a label, which its new content has not\nNext: evmctl ima_sign {file}");
    }
    Ok(FileDocument { file, changed, label_lost })
}

/// Prints bytes as they are.
fn put(text: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("standard output: {error}"), ""))
        }
        _ => Ok(()),
    }
}

//! `imactl policy check`
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write as _};

use super::args::{Arguments, PolicyCheck};
use super::exit::{Answer, Failure};
use super::policy::unreadable;
use super::render;
use super::target::open_root;
use crate::model::policy::kernel::Kernel;
use crate::model::policy::report::{CheckReport, Checked, check, each_line};
use crate::model::report::Problem;
use crate::ops::{policy_files, profile};
use crate::sys::root::Root;

pub(super) fn run(arguments: &Arguments, verb: &PolicyCheck) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let (kernels, problems) = kernels(&root, verb)?;
    if verb.each_line {
        say(&problems);
        return lines(&root, verb, &kernels);
    }
    let mut files = Vec::new();
    let mut failed: Option<Failure> = None;
    for path in &verb.files {
        match policy_files::read(&root, path) {
            Ok(bytes) => files.push((path.display().to_string(), bytes)),
            Err(error) => {
                // The last one is left to end with.
                if let Some(earlier) = failed.replace(unreadable(path, &error)) {
                    earlier.say();
                }
            }
        }
    }
    let checked: Vec<_> =
        files.iter().flat_map(|(name, bytes)| kernels.iter().map(move |kernel| check(name, bytes, kernel))).collect();
    if arguments.json {
        render::json(&CheckReport::new(&kernels, checked.iter().map(Checked::report).collect(), problems))?;
    } else {
        say(&problems);
        text(&kernels, &checked, verb.verbose)?;
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    let no = |checked: &Checked<'_>| !checked.is_accepted() || (verb.strict && checked.has_warnings());
    Ok(if checked.iter().any(no) { Answer::No } else { Answer::Yes })
}

fn kernels(root: &Root, verb: &PolicyCheck) -> Result<(Vec<Kernel>, Vec<Problem>), Failure> {
    if let Some(path) = &verb.kernel_config {
        let kernel = profile::of_config(path)
            .map_err(|why| Failure::input(why, "name a file like /boot/config-$(uname -r) or /proc/config.gz"))?;
        return Ok((vec![kernel], Vec::new()));
    }
    if root.is_running() {
        let (kernel, problems) = profile::running(root);
        return Ok((vec![kernel], problems));
    }
    Ok(profile::of_root(root))
}

/// What the answer rests on where not everything could be looked up.
fn say(problems: &[Problem]) {
    for problem in problems {
        eprintln!("imactl: {}\nNext: {}", problem.what, problem.next);
    }
}

fn text(kernels: &[Kernel], checked: &[Checked<'_>], verbose: bool) -> Result<(), Failure> {
    let coloured = render::coloured(&io::stdout());
    let mut out = String::new();
    if verbose {
        for kernel in kernels {
            let mut table = render::table();
            for part in &kernel.parts {
                table.add_row([&part.name, &part.value, &part.from]);
            }
            // Writing to a String cannot fail.
            write!(out, "{}\n{}\n\n", render::bold(&format!("Kernel {}", kernel.name)), render::rows(&table))
                .unwrap_or_default();
        }
    }
    for checked in checked {
        if kernels.len() > 1 {
            writeln!(out, "{}", render::bold(&format!("For kernel {}:", checked.kernel()))).unwrap_or_default();
        }
        out.push_str(&checked.text(verbose, coloured));
    }
    render::print(&out)
}

fn lines(root: &Root, verb: &PolicyCheck, kernels: &[Kernel]) -> Result<Answer, Failure> {
    let ([path], [kernel]) = (&verb.files[..], kernels) else {
        return Err(Failure::input(
            "--each-line takes one file, and one kernel",
            "name one FILE; with --root and several kernels, --kernel-config too",
        ));
    };
    let bytes = policy_files::read(root, path).map_err(|error| unreadable(path, &error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut answer = Answer::Yes;
    let mut write = || {
        for verdict in each_line(&bytes, &kernel.profile) {
            if !verdict.accepted {
                answer = Answer::No;
            }
            serde_json::to_writer(&mut out, &verdict)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    match write() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("standard output: {error}"), ""))
        }
        _ => Ok(answer),
    }
}

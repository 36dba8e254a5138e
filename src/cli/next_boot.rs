//! `imactl check --next-boot`
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::args::Arguments;
use super::exit::{Answer, Failure};
use super::render;
use super::target::open_root;
use crate::model::next_boot::{BootKernel, NextBoot, Outcome, RefusedFile};
use crate::ops::next_boot;

pub(super) fn run(arguments: &Arguments, kernel: Option<&str>) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let answer = next_boot::check(&root, kernel);
    let report = &answer.report;
    if let (Some(kernel), true) = (kernel, report.kernels.is_empty()) {
        return Err(Failure::input(
            format!("no kernel {kernel} can be booted here"),
            "name one that imactl check --next-boot shows",
        ));
    }
    // What was asked of one kernel is no answer for the next boot, and another root's is that root's own to keep.
    let is_root = rustix::process::geteuid().is_root();
    if root.is_running() && is_root && kernel.is_none() {
        // The answer is the same where it cannot be kept.
        for problem in next_boot::keep(&root, &answer) {
            eprintln!("imactl: {}\nNext: {}", problem.what, problem.next);
        }
    }
    if arguments.json { render::json(report) } else { render::print(&text(report)) }?;
    Ok(if report.ready { Answer::Yes } else { Answer::No })
}

fn text(report: &NextBoot) -> String {
    let mut text = format!("{}\n", render::bold(&report.summary));
    let mut table = render::table();
    for kernel in &report.kernels {
        let release = if kernel.release.is_empty() { &kernel.kernel } else { &kernel.release };
        let title = kernel.title.as_deref().unwrap_or(&kernel.entry);
        let default = if kernel.is_default == Some(true) { "by default" } else { "" };
        table.add_row([release, verdict(kernel), title, default]);
    }
    write!(text, "{}\n\n", render::rows(&table)).unwrap_or_default();
    for kernel in &report.kernels {
        let said = of_kernel(kernel);
        if !said.is_empty() {
            let title = kernel.title.as_deref().unwrap_or(&kernel.entry);
            write!(text, "{} ({title}):\n{said}\n", kernel.release).unwrap_or_default();
        }
    }
    if !report.problems.is_empty() {
        write!(text, "Problems:\n{}", render::problems(&report.problems)).unwrap_or_default();
    }
    text
}

const fn verdict(kernel: &BootKernel) -> &'static str {
    match kernel.outcome {
        Outcome::Protected => "protected",
        Outcome::Unprotected => "not protected",
        Outcome::Unknown => "not known",
        Outcome::Fails => "fails",
    }
}

fn of_kernel(kernel: &BootKernel) -> String {
    let mut text = render::problems(&kernel.problems);
    text.push_str(&render::problems(&kernel.notes));
    for file in &kernel.refused {
        text.push_str(&of_file(file));
    }
    let more = kernel.refused_count.saturating_sub(kernel.refused.len() as u64);
    if more > 0 {
        writeln!(text, "({more} more denied files are not listed)").unwrap_or_default();
    }
    text
}

/// A denied file and what mends it.
pub(super) fn of_file(file: &RefusedFile) -> String {
    let RefusedFile { path, why, label, package, rule, next, needed_for, core, needed } = file;
    let core = match (core, needed) {
        (true, _) => ", without which nothing starts",
        (false, true) => ", without which nobody logs in",
        (false, false) => "",
    };
    let mut text = format!("- {path}{core}: {why}\n");
    let rule = rule.as_ref().map(|rule| format!("{}: {}", rule.place(), rule.text));
    let rows = [
        ("Needed for", needed_for.as_ref()),
        ("Package", package.as_ref()),
        ("Label", label.as_ref()),
        ("Rule", rule.as_ref()),
        ("Next", Some(next)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            writeln!(text, "  {name}: {value}").unwrap_or_default();
        }
    }
    text
}

//! `imactl policy list` and `imactl policy show`
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::path::Path;

use super::args::{Arguments, PolicyShow};
use super::exit::{Answer, Failure};
use super::policy::unreadable;
use super::render;
use super::rules::named_or_file;
use super::target::open_root;
use crate::model::diagnostic::printable;
use crate::model::policy::origin::{ListReport, ReadFrom, ShowReport, ShownRule, origins, rules_of};
use crate::model::policy::report::faults;
use crate::model::report::VERSION;
use crate::ops::{configuration, policy_files};
use crate::sys::root::Root;

/// The file that is loaded at boot.
fn at_boot(root: &Root) -> String {
    let (config, problems) = configuration::load(root);
    for problem in problems {
        eprintln!("imactl: {}\nNext: {}", problem.what, problem.next);
    }
    config.policy.path
}

fn system(error: &std::io::Error) -> Failure {
    Failure::system(error.to_string(), "run it as root")
}

pub(super) fn list(arguments: &Arguments) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let path = at_boot(&root);
    let in_effect = policy_files::in_effect(&root, &path).map_err(|error| unreadable(Path::new(&path), &error))?;
    let policies = policy_files::named(&root, in_effect.as_deref()).map_err(|error| system(&error))?;
    let report = ListReport { version: VERSION, path, exists: in_effect.is_some(), policies };
    if arguments.json {
        render::json(&report)?;
        return Ok(Answer::Yes);
    }
    let mut text = String::new();
    for policy in &report.policies {
        let mark = if policy.in_effect { "*" } else { " " };
        // Writing to a String cannot fail.
        writeln!(text, "{mark} {}", render::bold(&printable(&policy.name))).unwrap_or_default();
        if let Some(description) = &policy.description {
            writeln!(text, "    {}", printable(description)).unwrap_or_default();
        }
        writeln!(text, "    {}", printable(&policy.path)).unwrap_or_default();
    }
    let path = printable(&report.path);
    let equal = report.policies.iter().find(|policy| policy.in_effect);
    let answer = match (report.exists, equal) {
        (false, _) => format!("{path} is not there: no policy is loaded at boot."),
        (true, None) => format!("{path} equals none of them."),
        (true, Some(policy)) => format!("* {path} holds the same as {}.", printable(&policy.name)),
    };
    let gap = if text.is_empty() { "" } else { "\n" };
    render::print(&format!("{text}{gap}{answer}"))?;
    Ok(Answer::Yes)
}

pub(super) fn show(arguments: &Arguments, verb: &PolicyShow) -> Result<Answer, Failure> {
    let root = open_root(arguments)?;
    let path = at_boot(&root);
    let report = match &verb.policy {
        Some(policy) => of_file(&root, &named_or_file(&root, policy)?)?,
        None => match policy_files::active(&root).map_err(|error| system(&error))? {
            Some(active) => {
                let sources = policy_files::sources(&root, &path).map_err(|error| system(&error))?;
                let (rules, inactive) = origins(&active, &sources);
                ShowReport { version: VERSION, read_from: ReadFrom::Kernel, rules, inactive }
            }
            None if !root.exists(&path) => {
                let what = format!("the kernel shows no rules, and {path} is not there");
                return Err(Failure::input(what, "imactl policy list"));
            }
            None => of_file(&root, Path::new(&path))?,
        },
    };
    if arguments.json {
        render::json(&report)?;
    } else {
        render::print(&text(&report, verb.policy.is_none() && root.is_running()))?;
    }
    Ok(Answer::Yes)
}

fn of_file(root: &Root, path: &Path) -> Result<ShowReport, Failure> {
    let bytes = policy_files::read(root, path)
        .map_err(|error| Failure::input(format!("{}: {error}", path.display()), "imactl policy list"))?;
    let name = path.display().to_string();
    let source = policy_files::source(&name, &bytes);
    if !source.policy.faults.is_empty() {
        eprint!("{}", faults(&name, &bytes, &source.policy, render::coloured(&std::io::stderr())));
        return Err(Failure::input(
            format!("{name} has faults; no kernel takes it"),
            format!("imactl policy check {name}"),
        ));
    }
    Ok(ShowReport { version: VERSION, read_from: ReadFrom::File, rules: rules_of(&source), inactive: Vec::new() })
}

fn text(report: &ShowReport, in_effect: bool) -> String {
    let mut text = String::new();
    let head = match (report.read_from, report.rules.len()) {
        (ReadFrom::Kernel, 0) => "No rule is active.".to_owned(),
        (ReadFrom::Kernel, number) => format!("The kernel's rules ({number}):"),
        (ReadFrom::File, _) if in_effect => {
            "The kernel does not show its rules; these are the ones of the file that is loaded at boot:".to_owned()
        }
        (ReadFrom::File, number) => format!("Rules ({number}):"),
    };
    // Writing to a String cannot fail.
    writeln!(text, "{}", render::bold(&head)).unwrap_or_default();
    rows(&mut text, &report.rules);
    if !report.inactive.is_empty() {
        writeln!(text, "{}", render::bold("In the file, but not active:")).unwrap_or_default();
        rows(&mut text, &report.inactive);
    }
    text
}

/// Rules a line each, under the names of the files that they come from.
fn rows(text: &mut String, rules: &[ShownRule]) {
    let mut file = None;
    for rule in rules {
        if file != Some(&rule.file) {
            let name = rule
                .file
                .as_deref()
                .map_or("of no known file (built in, or loaded from elsewhere)".to_owned(), printable);
            writeln!(text, "  {name}").unwrap_or_default();
            file = Some(&rule.file);
        }
        let line = rule.line.map_or_else(String::new, |line| line.to_string());
        writeln!(text, "  {line:>5}  {}", printable(&rule.rule)).unwrap_or_default();
    }
}

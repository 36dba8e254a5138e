//! `imactl explain`
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use nix::unistd::{Uid, User};

use super::args::{Arguments, Explain};
use super::exit::{Answer, Failure};
use super::target::{Target, absolute, failure};
use super::{render, rules};
use crate::model::explain::{effect, quote};
use crate::model::policy::profile::KernelProfile;
use crate::model::prediction::{FilePrediction, Prediction};
use crate::model::report::{FileReport, Problem, VERSION};
use crate::ops::explain;
use crate::ops::in_force::{self, InForce};
use crate::ops::labels::Selection;
use crate::ops::predict::{PredictError, Question, predict};

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Document<'a> {
    version: u32,
    #[serde(flatten)]
    file: &'a FileReport,
    effect: &'static str,
    prediction: Option<&'a Prediction>,
    problems: &'a [Problem],
}

pub(super) fn run(arguments: &Arguments, verb: &Explain) -> Result<Answer, Failure> {
    let target = Target::open(arguments)?;
    let path = absolute(&target.root, &verb.path)?;
    let path = String::from_utf8(path)
        .map_err(|_| Failure::input("the path is not UTF-8", "imactl check takes any bytes: imactl check PATH"))?;
    let (file, mut problems) = explain::explain(&target.root, &target.config.labels, &target.keys.trust, &path)
        .map_err(|error| failure(&error))?;
    let (profile, unsure) = rules::profile(&target);
    problems.extend(unsure);
    let prediction = match rules(&target, verb, &profile)? {
        Ok(rules) => {
            let asked = predict(&question(&target, verb, &path, &rules, &profile));
            match asked {
                Ok(prediction) => Some(prediction),
                // The label's state tells about a file that is not there, or that cannot be read.
                Err(error @ PredictError::File { .. }) => {
                    problems.push(Problem::new(error.to_string(), format!("ls -l {}", quote(&path))));
                    None
                }
                Err(PredictError::Labels(error)) => return Err(failure(&error)),
            }
        }
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    if arguments.json {
        let effect = effect(file.state);
        let prediction = prediction.as_ref();
        render::json(&Document { version: VERSION, file: &file, effect, prediction, problems: &problems })?;
    } else {
        problems.extend(prediction.iter().flat_map(|prediction| prediction.problems.iter().cloned()));
        let mut seen = std::collections::BTreeSet::new();
        problems.retain(|problem| seen.insert(problem.what.clone()));
        let told = prediction.as_ref().map(tell).unwrap_or_default();
        render::print(&format!(
            "{}\n{}{told}{}",
            render::bold(&file.path),
            label(&file, prediction.is_none()),
            render::problems(&problems)
        ))?;
    }
    let denied = prediction.is_some_and(|prediction| !prediction.allowed) || file.state.is_denied();
    Ok(if denied { Answer::No } else { Answer::Yes })
}

/// The rules to judge by; without rules in force that can be read the label's state is still to be told.
fn rules(target: &Target, verb: &Explain, profile: &KernelProfile) -> Result<Result<InForce, Problem>, Failure> {
    match &verb.policy {
        Some(policy) => rules::named(target, policy, profile).map(Ok),
        None => Ok(in_force::of_root(&target.root, &target.config, profile)),
    }
}

fn question<'a>(
    target: &'a Target,
    verb: &Explain,
    path: &'a str,
    rules: &'a InForce,
    profile: &KernelProfile,
) -> Question<'a> {
    let uid = verb.uid.map_or_else(Uid::current, Uid::from_raw);
    // A user whom nobody knows is taken to have a group of the same number.
    let gid = User::from_uid(uid).ok().flatten().map_or(uid.as_raw(), |user| user.gid.as_raw());
    Question {
        request: target.request(const { &Selection::All }, None),
        rules,
        kernel: profile.verdicts.clone(),
        path: path.as_bytes(),
        way: verb.way,
        uid: uid.as_raw(),
        gid,
        creds_check_sees_new_ids: profile.creds_check_sees_new_ids,
    }
}

/// The file's own label; what it means where no prediction says more.
fn label(file: &FileReport, alone: bool) -> String {
    let mut table = render::table();
    table.add_row(["Label", &format!("{}: {}", file.state, file.reason)]);
    table.add_row(["Package", file.package.as_deref().unwrap_or("none")]);
    if alone {
        table.add_row(["So", effect(file.state)]);
    }
    if !file.next.is_empty() {
        table.add_row(["Next", &file.next]);
    }
    format!("{}\n", render::rows(&table))
}

/// The prediction: the answer, every file, and each denial with its rule.
fn tell(prediction: &Prediction) -> String {
    let mut text = String::new();
    let Prediction { way, uid, policy, .. } = prediction;
    let denied: Vec<&FilePrediction> = prediction.files.iter().filter(|file| file.fails).collect();
    let answer = match (prediction.allowed, denied.is_empty()) {
        (true, true) => "Allowed".to_owned(),
        (true, false) => "Allowed, and recorded: the kernel does not enforce".to_owned(),
        (false, _) => {
            let seen = prediction.files.iter().find_map(|file| file.seen.as_deref()).unwrap_or("EACCES");
            format!("Denied ({seen})")
        }
    };
    put(&mut text, format_args!("\n{}: {way} by user {uid}; judged by {policy}\n", render::bold(&answer)));
    let files = prediction.files.len();
    if files > 1 {
        put(&mut text, format_args!("{files} files are looked at, {} would be denied.\n", denied.len()));
    }
    let shown = if denied.is_empty() { prediction.files.iter().take(1).collect() } else { denied };
    for alike in by_reason(&shown) {
        put(&mut text, format_args!("\n{}", verdict(&alike)));
    }
    text
}

/// Files with the same verdict by the same rule, in the order of the first of each.
fn by_reason<'a>(files: &[&'a FilePrediction]) -> Vec<Vec<&'a FilePrediction>> {
    let reason = |file: &FilePrediction| (file.allowed, file.hook.clone(), file.why.clone(), file.rule.clone());
    let mut groups: Vec<Vec<&FilePrediction>> = Vec::new();
    for file in files {
        match groups.iter_mut().find(|group| reason(group[0]) == reason(file)) {
            Some(group) => group.push(file),
            None => groups.push(vec![file]),
        }
    }
    groups
}

/// A verdict with the rule that decided, the files and what mends each.
fn verdict(files: &[&FilePrediction]) -> String {
    let mut text = String::new();
    let first = files[0];
    let hook = first.hook.as_deref().map(|hook| format!(" at {hook}")).unwrap_or_default();
    let verdict = if first.allowed { "allowed" } else { "denied" };
    put(&mut text, format_args!("{verdict}{hook}: {}\n", first.why));
    if let Some(rule) = &first.rule {
        let line = rule.line.map(|line| line.to_string()).unwrap_or_default();
        let place = rule.place();
        let gutter = " ".repeat(line.len());
        let carets = "^".repeat(rule.text.chars().count());
        put(&mut text, format_args!("  {gutter}--> {place}\n  {line} | {}\n  {gutter} | {carets}\n", rule.text));
    }
    if let Some(cause) = &first.cause {
        put(&mut text, format_args!("  audit record: cause={cause}\n"));
    }
    for file in files {
        let role = file.role.as_deref().unwrap_or("file");
        put(&mut text, format_args!("  {role} {}: {}: {}\n", file.path, file.label, file.label_reason));
        if !file.next.is_empty() {
            put(&mut text, format_args!("    Next: {}\n", file.next));
        }
    }
    text
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).unwrap_or_else(|_| unreachable!("strings grow"));
}

//! "Would the kernel let that happen?": every file on the way, the rule that decides, the label, the next step.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::facts::{self, Facts};
use super::in_force::InForce;
use super::labels::{self, Progress, Request, RunError, Selection};
use super::loading::{Gap, Loading, loading};
use crate::model::binfmt::Handler;
use crate::model::explain::quote;
use crate::model::policy::canonical::loadable;
use crate::model::policy::cause::Cause;
use crate::model::policy::decide::Class;
use crate::model::policy::effective::{Effective, Origin};
use crate::model::policy::event::{Event, Hook};
use crate::model::policy::inode::Inode;
use crate::model::policy::steps::{Actors, Way, of_part, of_way};
use crate::model::policy::verdict::{Seen, Verdict, VerdictProfile, judge};
use crate::model::prediction::{FilePrediction, Prediction, RuleReference, cause_in_words};
use crate::model::program::Role;
use crate::model::report::{FileReport, Problem, VERSION};
use crate::sys::binfmt;
use crate::sys::file::OpenError;
use crate::sys::root::Root;

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// Root, configuration and keys; its selection is not looked at.
    pub request: Request<'a>,
    /// The rules.
    pub rules: &'a InForce,
    /// What the kernel's configuration makes of verdicts.
    pub kernel: VerdictProfile,
    /// The file.
    pub path: &'a [u8],
    /// What is done with it; by default what such a file is for.
    pub way: Option<Way>,
    /// By whom.
    pub uid: u32,
    /// With which group.
    pub gid: u32,
    /// See [`KernelProfile::creds_check_sees_new_ids`](crate::model::policy::profile::KernelProfile).
    pub creds_check_sees_new_ids: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The file itself.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: OpenError,
    },
    /// The labels.
    #[error(transparent)]
    Labels(#[from] RunError),
}

/// Predicts.
pub fn predict(question: &Question<'_>) -> Result<Prediction, PredictError> {
    let root = question.request.root;
    let path = String::from_utf8_lossy(question.path).into_owned();
    let real = root
        .open_with(question.path, rustix::fs::OFlags::PATH)
        .and_then(|fd| root.real_path(fd))
        .map_err(|error| PredictError::File { path: path.clone(), error: OpenError::Io(error) })?;
    let first = gather(question, &real).map_err(|error| PredictError::File { path: path.clone(), error })?;
    let way = question.way.unwrap_or_else(|| usual_way(first.is_executable, &real));
    let mut problems = question.rules.problems.clone();
    let loading = if way == Way::Exec {
        loading(root, question.path, &handlers(root, &mut problems))
    } else {
        Loading::default()
    };
    let mut looked_at: Vec<(Vec<u8>, Option<Role>, Option<usize>)> =
        loading.parts.iter().map(|part| (part.path.clone(), Some(part.role), part.wanted_by)).collect();
    if looked_at.is_empty() {
        looked_at.push((real.clone(), None, None));
    }
    let reports = reports(question, &looked_at, &mut problems)?;

    let mut facts = vec![first];
    for (path, ..) in &looked_at[1..] {
        facts.push(gather(question, path).map_err(|error| PredictError::File { path: lossy(path), error })?);
    }
    let set = |get: fn(&Facts) -> Option<u32>| loading.ids_from.and_then(|at| facts.get(at)).and_then(get);
    let actors = Actors::of_user(
        question.uid,
        question.gid,
        set(|facts| facts.set_uid),
        set(|facts| facts.set_gid),
        question.creds_check_sees_new_ids,
    );

    let mut files = Vec::new();
    for ((path, role, wanted_by), facts) in looked_at.iter().zip(&facts) {
        let events = role.map_or_else(|| of_way(way, &actors), |role| of_part(role, &actors));
        let mut predicted = of_file(question, path, facts, &events, reports.get(path), &mut problems);
        predicted.role = role.map(|role| role.name().to_owned());
        predicted.wanted_by = wanted_by.map(|at| lossy(&loading.parts[at].path));
        files.push(predicted);
    }
    problems.extend(loading.gaps.iter().map(|gap| missing(gap, &loading)));
    Ok(Prediction {
        version: VERSION,
        path,
        way: way.name().to_owned(),
        uid: question.uid,
        policy: question.rules.source.clone(),
        enforced: question.rules.rules.appraisal().enforces(),
        allowed: files.iter().all(|file| file.allowed),
        files,
        problems,
    })
}

/// The handlers of binfmt_misc; those of another root are known when it runs.
fn handlers(root: &Root, problems: &mut Vec<Problem>) -> Vec<Handler> {
    if !root.is_running() {
        return Vec::new();
    }
    binfmt::handlers().unwrap_or_else(|error| {
        let what = format!("the handlers of binfmt_misc cannot be read: {error}");
        problems.push(Problem::new(what, "ls -l /proc/sys/fs/binfmt_misc"));
        Vec::new()
    })
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn gather(question: &Question<'_>, path: &[u8]) -> Result<Facts, OpenError> {
    facts::gather(question.request.root, path, question.request.trust, &question.kernel)
}

/// What such a file is for.
pub(super) fn usual_way(is_executable: bool, path: &[u8]) -> Way {
    let contains = |part: &[u8]| path.windows(part.len()).any(|window| window == part);
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let is_library = name.windows(3).any(|window| window == b".so");
    if name.ends_with(b".ko") || name.windows(4).any(|window| window == b".ko.") {
        Way::Module
    } else if contains(b"/lib/firmware/") {
        Way::Firmware
    } else if is_library {
        Way::Mmap
    } else if is_executable {
        Way::Exec
    } else {
        Way::Read
    }
}

/// The label states of all files, by path; without a package database they are judged all the same.
fn reports(
    question: &Question<'_>,
    files: &[(Vec<u8>, Option<Role>, Option<usize>)],
    problems: &mut Vec<Problem>,
) -> Result<BTreeMap<Vec<u8>, FileReport>, RunError> {
    let selection = Selection::Paths(files.iter().map(|(path, ..)| path.clone()).collect());
    let request = Request { selection: &selection, write: None, ..question.request };
    let mut found = BTreeMap::new();
    match labels::run(&request, &Progress::default()) {
        Ok(report) => {
            problems.extend(report.problems);
            found.extend(report.files.into_iter().map(|file| (file.path.clone().into_bytes(), file)));
        }
        Err(RunError::Database(error)) => {
            let what = format!("{error}; which package owns a file is not known");
            problems.push(Problem::new(what, error.next_step()));
        }
        Err(error) => return Err(error),
    }
    for (path, ..) in files {
        found.entry(path.clone()).or_insert_with(|| super::explain::unowned(&request, &lossy(path)));
    }
    Ok(found)
}

/// Asks for each hook in turn, up to a denial.
fn of_file(
    question: &Question<'_>,
    path: &[u8],
    facts: &Facts,
    events: &[Event<'_>],
    report: Option<&FileReport>,
    problems: &mut Vec<Problem>,
) -> FilePrediction {
    let rules = &question.rules.rules;
    let mut inode = Inode::default();
    // Of several hooks that let it through, the one by which the label was looked at tells most.
    let mut last: Option<(Hook, Verdict)> = None;
    for event in events {
        let verdict = judge(&question.kernel, rules, event, &facts.file, &mut inode);
        if let Some(rule) = verdict.decision.untold.and_then(|at| rule(rules, at)) {
            let what = format!("whether this rule matches {} depends on security labels: {}", lossy(path), rule.text);
            problems.push(Problem::new(what, "imactl policy show"));
        }
        let denied = verdict.cause.is_some();
        let tells_more = last.as_ref().is_none_or(|(_, last)| rank(&verdict) >= rank(last));
        if denied || tells_more {
            last = Some((event.hook, verdict));
        }
        if denied {
            break;
        }
    }
    let untold = facts.untold.iter().map(|why| Problem::new(format!("{}: {why}", lossy(path)), "evmctl ima_verify"));
    problems.extend(untold);
    let (hook, verdict) = last.map_or((None, None), |(hook, verdict)| (Some(hook), Some(verdict)));
    let decided = verdict.as_ref().and_then(|verdict| verdict.decision.decided(Class::Appraise));
    let cause = verdict.as_ref().and_then(|verdict| verdict.cause);
    let why = match (cause, decided) {
        (Some(cause), _) => cause_in_words(cause).to_owned(),
        (None, None) => "no rule appraises it".to_owned(),
        (None, Some(decided)) if !decided.acts => "a rule exempts it".to_owned(),
        (None, Some(_)) => "its label satisfies the rule".to_owned(),
    };
    let path = lossy(path);
    FilePrediction {
        allowed: verdict.as_ref().is_none_or(|verdict| verdict.allowed),
        fails: cause.is_some(),
        seen: verdict.as_ref().and_then(|verdict| verdict.seen).map(|seen| seen_name(seen).to_owned()),
        hook: decided.and(hook).and_then(|hook| match hook {
            Hook::Rule(func) => Some(func.name().to_owned()),
            Hook::SetAttributes => None,
        }),
        why,
        cause: cause.and_then(Cause::record).map(|(_, cause)| cause.to_owned()),
        rule: decided.and_then(|decided| rule(rules, decided.rule)),
        label: report.map_or(crate::model::plan::State::Unreadable, |report| report.state),
        label_reason: report.map(|report| report.reason.clone()).unwrap_or_default(),
        key_id: report.and_then(|report| report.key_id.clone()),
        package: report.and_then(|report| report.package.clone()),
        next: cause.map(|cause| mend(cause, &path, report)).unwrap_or_default(),
        role: None,
        wanted_by: None,
        path,
    }
}

/// No rule, exempted, appraised.
fn rank(verdict: &Verdict) -> u8 {
    match verdict.decision.decided(Class::Appraise) {
        None => 0,
        Some(decided) if !decided.acts => 1,
        Some(_) => 2,
    }
}

pub(super) const fn seen_name(seen: Seen) -> &'static str {
    match seen {
        Seen::AccessDenied => "EACCES",
        Seen::NotPermitted => "EPERM",
        Seen::Killed => "SIGSEGV",
    }
}

/// A rule and where it comes from.
pub(super) fn rule(rules: &Effective, at: usize) -> Option<RuleReference> {
    let effective = rules.rules().get(at)?;
    let (origin, line) = match &effective.origin {
        Origin::Builtin(word) => (format!("{word} on the kernel's command line"), None),
        Origin::Arch => ("the kernel's rules for Secure Boot".to_owned(), None),
        Origin::Build => ("the kernel's configuration".to_owned(), None),
        Origin::File { name, line } => (name.to_string(), Some(*line)),
    };
    Some(RuleReference { origin, line, text: lossy(&loadable(&effective.rule)) })
}

/// What mends a denial: mostly a label, sometimes another place or another rule.
fn mend(cause: Cause, path: &str, report: Option<&FileReport>) -> String {
    match cause {
        Cause::NoXattrs => {
            format!(
                "put {} on a file system that holds labels (ext4, xfs, btrfs), or exempt its file system",
                quote(path)
            )
        }
        Cause::Blacklisted => "a vendor revoked this file: install a newer one".to_owned(),
        Cause::SignedFileWritten => {
            format!("replace the file instead of writing into it: cp NEW {0}.new && mv {0}.new {0}", quote(path))
        }
        Cause::FailedDirectIo => "read the file once without O_DIRECT, or add permit_directio to the rule".to_owned(),
        Cause::DeniedHashAlgorithm => "sign it again with an algorithm that the rule allows".to_owned(),
        Cause::MappedWriters | Cause::FailedMprotect | Cause::UnverifiableSignature => {
            "a rule that exempts it; no label changes this".to_owned()
        }
        Cause::MissingHmac | Cause::InvalidHmac | Cause::InvalidFailImmutable => {
            format!("evmctl sign --imasig --key KEY {}", quote(path))
        }
        _ => report.map(|report| report.next.clone()).unwrap_or_default(),
    }
}

fn missing(gap: &Gap, loading: &Loading) -> Problem {
    let by = gap.wanted_by.map(|at| format!(", which {} wants", lossy(&loading.parts[at].path))).unwrap_or_default();
    let name = lossy(&gap.name);
    Problem::new(format!("{name}{by}: {}", gap.why), format!("dnf provides '*/{}'", name.trim_start_matches('/')))
}

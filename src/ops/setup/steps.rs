//! The steps of setup, one function each: look, then change.
#![forbid(unsafe_code)]

use std::path::Path;

use super::record::Recorder;
use super::{Request, failed};
use crate::model::cert::{Certificate, Refusal};
use crate::model::config::Config;
use crate::model::doctor::plugin_problem;
use crate::model::label::{XATTR_EVM, XATTR_IMA};
use crate::model::plan::State;
use crate::model::policy::outline::refuses_files;
use crate::model::report::{LabelReport, Problem};
use crate::model::setup::{Change, SetupStep, StepOutcome};
use crate::model::verify::Trust;
use crate::ops::labels::{self, Progress, Selection};
use crate::ops::{doctor, keys as keyring, next_boot as deep, policy as policy_file, policy_files};
use crate::sys::file::OpenFile;
use crate::sys::kept::NewFile;

/// No certificate is longer.
const CERTIFICATE_LIMIT: u64 = 1 << 20;

/// What a step came to.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) outcome: StepOutcome,
    what: String,
    problems: Vec<Problem>,
}

impl Said {
    pub(super) fn already(what: impl Into<String>) -> Self {
        Self { outcome: StepOutcome::Already, what: what.into(), problems: Vec::new() }
    }

    /// Done, or in a dry run not.
    pub(super) fn done(dry_run: bool, what: impl Into<String>) -> Self {
        let outcome = if dry_run { StepOutcome::Would } else { StepOutcome::Done };
        Self { outcome, what: what.into(), problems: Vec::new() }
    }

    pub(super) fn no(what: impl Into<String>, problems: Vec<Problem>) -> Self {
        Self { outcome: StepOutcome::Refused, what: what.into(), problems }
    }

    pub(super) fn skipped() -> Self {
        Self { outcome: StepOutcome::Skipped, what: "an earlier step said no".to_owned(), problems: Vec::new() }
    }

    /// With what a person should know.
    pub(super) fn noting(self, problems: Vec<Problem>) -> Self {
        Self { problems: [self.problems, problems].concat(), ..self }
    }

    pub(super) fn into_step(self, name: &str, duration_us: u64) -> SetupStep {
        let Self { outcome, what, problems } = self;
        SetupStep { name: name.to_owned(), outcome, what, problems, duration_us }
    }
}

/// A policy that is to be armed.
#[derive(Debug)]
pub(super) struct Candidate {
    /// As it was named.
    pub(super) name: String,
    /// Its file in the root.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    xattrs: Vec<(&'static str, Vec<u8>)>,
    pub(super) rules: usize,
}

/// Puts certificates into the keys folder, and looks whether any counts.
pub(super) fn keys(request: &Request<'_>, config: &Config, recorder: &mut Recorder<'_>) -> Said {
    let mut added = Vec::new();
    for path in request.certificates {
        match certificate(request, config, path, recorder) {
            Ok(Some(name)) => added.push(name),
            Ok(None) => {}
            Err(problem) => return Said::no(problem.what.clone(), vec![problem]),
        }
    }
    let found = keyring::gather(request.root, &config.keys.dir);
    let usable = found.certificates.iter().filter(|certificate| certificate.problems.is_empty()).count();
    let notes: Vec<_> = found.certificates.into_iter().flat_map(|certificate| certificate.problems).collect();
    let notes = [notes, found.problems].concat();
    let would_have_some = request.dry_run && !added.is_empty();
    if found.trust.is_empty() && !would_have_some {
        let next = "imactl setup --cert FILE with the certificate of your packages' signer (rpm --import takes others)";
        let what = format!("no certificate in {} can be used to verify labels", config.keys.dir);
        return Said::no(what.clone(), [vec![Problem::new(what, next)], notes].concat());
    }
    let said = if added.is_empty() {
        Said::already(format!("{usable} certificates in {}", config.keys.dir))
    } else {
        Said::done(request.dry_run, format!("put {} into {}", added.join(", "), config.keys.dir))
    };
    said.noting(notes)
}

/// What labels will be verified with: in a dry run by the named certificates too, which are not in their folder yet.
fn trust(request: &Request<'_>, config: &Config) -> Trust {
    let mut trust = keyring::gather(request.root, &config.keys.dir).trust;
    if request.dry_run {
        for path in request.certificates {
            if let Ok(certificate) = parsed(path) {
                trust.insert(certificate);
            }
        }
    }
    trust
}

fn parsed(path: &Path) -> Result<Certificate, String> {
    let bytes = std::fs::File::open(path).and_then(|file| crate::sys::root::read_limited(file, CERTIFICATE_LIMIT));
    bytes.map_err(|error| error.to_string()).and_then(|it| Certificate::parse(&it).map_err(|error| error.to_string()))
}

/// Installs one; its name where that was needed.
fn certificate(
    request: &Request<'_>,
    config: &Config,
    path: &Path,
    recorder: &mut Recorder<'_>,
) -> Result<Option<String>, Problem> {
    let shown = path.display().to_string();
    let wrong = |why: String| Problem::new(format!("{shown}: {why}"), "name a certificate, DER or PEM");
    let certificate = parsed(path).map_err(wrong)?;
    let signers = if request.root.is_running() { keyring::signers() } else { None };
    if let Some(refusal) = certificate.refusals(signers.as_deref()).iter().find(|refusal| !Refusal::is_warning(refusal))
    {
        return Err(Problem::new(format!("{shown}: the kernel would not take it: {refusal}"), refusal.remedy()));
    }
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let target = format!("{}/{name}.der", config.keys.dir.trim_end_matches('/'));
    let known = keyring::certificates(request.root, &config.keys.dir).unwrap_or_default();
    let is_there =
        known.iter().any(|file| file.certificate.as_ref().is_ok_and(|other| other.der() == certificate.der()));
    if is_there {
        return Ok(None);
    }
    if !request.dry_run {
        let new = NewFile { bytes: certificate.der(), owner: None, mode: 0o644, xattrs: &[] };
        recorder
            .put(&target, &new)
            .map_err(|error| Problem::new(format!("{target} cannot be written: {error}"), "run it as root"))?;
    }
    Ok(Some(format!("{name}.der")))
}

/// Whether there is a policy of this name, or such a file.
pub(super) fn is_there(request: &Request<'_>) -> bool {
    policy_files::path_of(request.root, request.policy).is_ok_and(|path| request.root.exists(&path))
}

/// Finds the policy, and looks at it alone.
pub(super) fn policy(request: &Request<'_>, config: &Config) -> (Option<Candidate>, Said) {
    match find(request, config) {
        Ok((candidate, notes)) => {
            let rules = candidate.rules;
            let said = Said::already(format!("{} ({rules} rules) is {}", candidate.name, candidate.path));
            (Some(candidate), said.noting(notes))
        }
        Err(problem) => (None, Said::no(problem.what.clone(), vec![problem])),
    }
}

fn find(request: &Request<'_>, config: &Config) -> Result<(Candidate, Vec<Problem>), Problem> {
    let Request { root, policy: name, .. } = request;
    let path = policy_files::path_of(root, name)?;
    let trust = trust(request, config);
    let file = policy_file::read(root, &path, &trust)
        .map_err(|why| Problem::new(format!("{path} cannot be read: {why}"), "run it as root"))?
        .ok_or_else(|| Problem::new(format!("{path} is not there"), "imactl policy list"))?;
    // A package's policy gets its label with the others.
    let signed_later = request.dry_run && is_labelled_later(request, config, &trust, &path);
    if let Some(problem) = file.fault(&path, config.policy.require_signature && !signed_later) {
        return Err(problem);
    }
    let rules = file.outline.map_or_else(|_| Vec::new(), |outline| outline.rules);
    let mut notes = Vec::new();
    if !rules.iter().any(|(_, rule)| refuses_files(rule.as_bytes())) {
        notes.push(Problem::new(format!("{path} measures and refuses no file"), "imactl policy list"));
    }
    let open = OpenFile::open_following(root, path.as_bytes());
    let open = open.map_err(|error| Problem::new(format!("{path}: {error}"), "run it as root"))?;
    let mut xattrs = Vec::new();
    let attributes = [(XATTR_IMA, open.label()), (XATTR_EVM, open.evm())];
    for (name, value) in attributes {
        let value = value.map_err(|error| Problem::new(format!("{path}: {name}: {error}"), "run it as root"))?;
        xattrs.extend(value.map(|value| (name, value)));
    }
    let candidate = Candidate { name: (*name).to_owned(), path, bytes: file.bytes, xattrs, rules: rules.len() };
    Ok((candidate, notes))
}

/// Whether a file would get its package's label.
fn is_labelled_later(request: &Request<'_>, config: &Config, trust: &Trust, path: &str) -> bool {
    let selection = Selection::Paths(vec![path.as_bytes().to_vec()]);
    labels::run(&looking(request, config, trust, &selection), &Progress::default())
        .is_ok_and(|report| to_write(&report) == 1)
}

/// A run that only looks.
fn looking<'a>(
    request: &Request<'a>,
    config: &'a Config,
    trust: &'a Trust,
    selection: &'a Selection,
) -> labels::Request<'a> {
    labels::Request { root: request.root, rules: &config.labels, trust, selection, write: None, full: false }
}

/// How many files a run that only looked would label.
fn to_write(report: &LabelReport) -> u64 {
    let states = [State::Missing, State::Stale, State::Hash];
    states.iter().filter_map(|state| report.counts.by_state.get(state)).sum()
}

/// Labels what packages sign, and says what cannot work at later updates.
pub(super) fn labels(request: &Request<'_>, config: &Config, recorder: &mut Recorder<'_>, progress: &Progress) -> Said {
    let plugin = plugin_problem(&doctor::plugin(request.root));
    write_labels(request, config, recorder, progress).noting(plugin.into_iter().collect())
}

fn write_labels(request: &Request<'_>, config: &Config, recorder: &mut Recorder<'_>, progress: &Progress) -> Said {
    let trust = trust(request, config);
    let asked = looking(request, config, &trust, &Selection::All);
    let looked = match labels::run(&asked, progress) {
        Ok(report) => report,
        Err(error) => return failed(error.to_string(), error.next_step()),
    };
    let to_write = to_write(&looked);
    let files = looked.counts.files;
    if to_write == 0 {
        return Said::already(format!("{files} packaged files, none to label")).noting(looked.problems);
    }
    if request.dry_run {
        return Said::done(true, format!("{to_write} of {files} packaged files would be labelled"))
            .noting(looked.problems);
    }
    let change = Change::Labels { who: request.who.to_owned() };
    if let Err(error) = recorder.note(change) {
        return failed(format!("what is labelled cannot be recorded: {error}"), "df /etc");
    }
    match labels::run(&labels::Request { write: Some(request.who), ..asked }, progress) {
        Ok(report) => Said::done(false, format!("labelled {} of {files} packaged files", report.counts.written))
            .noting(report.problems),
        Err(error) => failed(error.to_string(), error.next_step()),
    }
}

/// Whether every kernel's boot comes through with it.
pub(super) fn next_boot(request: &Request<'_>, candidate: &Candidate) -> Said {
    let answer = deep::check_policy(request.root, &candidate.path).report;
    let mut problems = answer.problems.clone();
    for kernel in &answer.kernels {
        problems.extend(kernel.problems.iter().cloned());
        problems.extend(kernel.refused.iter().map(|file| {
            let package = file.package.as_ref().map_or_else(String::new, |package| format!(" of {package}"));
            Problem::new(format!("{}{package}: {}", file.path, file.why), file.next.clone())
        }));
    }
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.what.clone()));
    if answer.ready { Said::already(answer.summary).noting(problems) } else { Said::no(answer.summary, problems) }
}

/// Puts the policy where the next boot finds it.
pub(super) fn arm(request: &Request<'_>, config: &Config, candidate: &Candidate, recorder: &mut Recorder<'_>) -> Said {
    let path = &config.policy.path;
    let same = OpenFile::open_following(request.root, path.as_bytes()).is_ok_and(|open| {
        let label = candidate.xattrs.iter().find(|(name, _)| *name == XATTR_IMA).map(|(_, value)| value);
        open.read(candidate.bytes.len() as u64).is_ok_and(|bytes| bytes == candidate.bytes)
            && open.label().is_ok_and(|found| found.as_ref() == label)
    });
    if same {
        return Said::already(format!("{path} is {}", candidate.name));
    }
    if request.dry_run {
        return Said::done(true, format!("{path} would be {}", candidate.name));
    }
    let new = NewFile { bytes: &candidate.bytes, owner: None, mode: 0o644, xattrs: &candidate.xattrs };
    if let Err(error) = recorder.put(path, &new) {
        return failed(format!("{path} cannot be written: {error}"), "run it as root; df /etc");
    }
    // From now on this is the policy of the next boot.
    let unwritten = deep::keep(request.root, &deep::check(request.root, None));
    Said::done(false, format!("{path} is {}", candidate.name)).noting(unwritten)
}

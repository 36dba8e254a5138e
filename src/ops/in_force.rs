//! Which rules a question is judged by: those in force, or those of a file as if it were loaded.
#![forbid(unsafe_code)]

use crate::model::config::Config;
use crate::model::policy::builtin::Boot;
use crate::model::policy::effective::Effective;
use crate::model::policy::parse::{PlacedRule, Policy, parse};
use crate::model::policy::profile::{BuildRules, KernelProfile};
use crate::model::policy::readback::{parse_shown, rules_before_file};
use crate::model::report::Problem;
use crate::model::trial::Sum;
use crate::ops::status;
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::root::Root;
use crate::sys::{kernel, securityfs};

/// No policy is longer.
const LIMIT: u64 = 1 << 22;
/// How rules are named that no file can be named for.
const ACTIVE: &str = "the kernel's rules";

/// Rules, and how they became known.
#[derive(Debug)]
pub struct InForce {
    /// The rules.
    pub rules: Effective,
    /// Where they were taken from, in words.
    pub source: String,
    /// What keeps the answer from being sure.
    pub problems: Vec<Problem>,
}

/// How the running kernel was started.
pub fn boot() -> (Boot, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut told = |what: &str, error: &std::io::Error| {
        problems.push(Problem::new(format!("{what} cannot be read: {error}"), "run it as root"));
    };
    let line = kernel::command_line_text().unwrap_or_else(|error| {
        told("the kernel's command line", &error);
        String::new()
    });
    let secure_boot = kernel::secure_boot().unwrap_or_else(|error| {
        told("the Secure Boot variable", &error);
        None
    });
    (Boot { secure_boot: secure_boot.unwrap_or(false), ..Boot::from_command_line(&line) }, problems)
}

/// A policy file's rules by themselves; its first fault where this kernel would not take it.
pub fn parsed(name: &str, bytes: &[u8], profile: &KernelProfile) -> Result<Vec<PlacedRule>, Problem> {
    let policy = parse(bytes, profile);
    match policy.faults.first() {
        None => Ok(policy.rules),
        Some(fault) => {
            let what = format!("{name}:{}:{}: {}", fault.line, fault.span.start + 1, fault.kind);
            Err(Problem::new(what, format!("imactl policy check {name}")))
        }
    }
}

/// A policy file's rules, as if this kernel had loaded it as its first.
pub fn of_file(name: &str, bytes: &[u8], boot: &Boot, profile: &KernelProfile) -> Result<InForce, Problem> {
    let policy = parsed(name, bytes, profile)?;
    let mut rules = Effective::at_boot(boot, profile);
    rules
        .load(name, &policy)
        .map_err(|error| Problem::new(format!("{name}: {error}"), format!("imactl policy check {name}")))?;
    Ok(InForce { rules, source: format!("{name}, if it were loaded"), problems: Vec::new() })
}

/// A policy file's rules, as if the running kernel took it now: behind those in force where it has a policy already.
pub fn with_file(
    root: &Root,
    config: &Config,
    name: &str,
    bytes: &[u8],
    kernel: &KernelProfile,
) -> Result<InForce, Problem> {
    if !kernel.custom_active {
        let (boot, problems) = boot();
        return of_file(name, bytes, &boot, kernel).map(|found| InForce { problems, ..found });
    }
    let policy = parse(bytes, kernel);
    if let Some(fault) = policy.faults.first() {
        let what = format!("{name}:{}:{}: {}", fault.line, fault.span.start + 1, fault.kind);
        return Err(Problem::new(what, format!("imactl policy check {name}")));
    }
    let mut found = of_root(root, config, kernel)?;
    let refused = |error| Problem::new(format!("{name}: {error}"), "reboot: the next boot loads it");
    found.rules.load(name, &policy.rules).map_err(refused)?;
    found.source = format!("{}, and {name} behind them", found.source);
    Ok(found)
}

/// Whether a policy file is what the running kernel was given last, so that another load would only repeat its rules.
pub fn is_loaded(root: &Root, bytes: &[u8], kernel: &KernelProfile) -> Result<bool, Problem> {
    let active = securityfs::active_rules()
        .map_err(|error| Problem::new(format!("the active rules cannot be read: {error}"), "run it as root"))?;
    let Some(active) = active else {
        let report = status::boot_report(root)?;
        let loaded = report.filter(|report| report.policy.loaded).and_then(|report| report.policy.sha256);
        return Ok(loaded == Some(Sum::of(bytes).to_string()));
    };
    let rules: Result<Vec<_>, _> = active.iter().map(|text| parse_shown(text, kernel)).collect();
    // A rule that is not understood is not of this file, which was.
    let Ok(rules) = rules else { return Ok(false) };
    let rules: Vec<_> = rules.into_iter().flatten().collect();
    Ok(rules_before_file(&rules, &parse(bytes, kernel).rules).is_some())
}

/// The rules of a root: on the running system those in force, elsewhere those of its policy file.
pub fn of_root(root: &Root, config: &Config, profile: &KernelProfile) -> Result<InForce, Problem> {
    let path = &config.policy.path;
    let file = read(root, path);
    if !root.is_running() {
        return match file {
            Ok(bytes) => of_file(path, &bytes, &Boot::default(), profile),
            Err(OpenError::Absent) => {
                let source = format!("no policy: {path} is not there");
                Ok(InForce { rules: Effective::at_boot(&Boot::default(), profile), source, problems: Vec::new() })
            }
            Err(why) => Err(Problem::new(format!("{path}: {why}"), format!("ls -l {path}"))),
        };
    }
    let (boot, mut problems) = boot();
    let file = file.ok().map(|bytes| parse(&bytes, profile));
    let active = securityfs::active_rules().unwrap_or_else(|error| {
        problems.push(Problem::new(format!("the active rules cannot be read: {error}"), "run it as root"));
        None
    });
    let found = match active {
        Some(active) => of_active(&active, path, file.as_ref(), &boot, profile),
        None => of_report(root, path, file.as_ref(), &boot, profile),
    }?;
    Ok(InForce { problems: [problems, found.problems].concat(), ..found })
}

fn read(root: &Root, path: &str) -> Result<Vec<u8>, OpenError> {
    Ok(OpenFile::open_following(root, path.as_bytes())?.read(LIMIT)?)
}

/// From what the kernel shows. The rules of a policy file that was loaded last carry its lines.
fn of_active(
    active: &[Vec<u8>],
    path: &str,
    file: Option<&Policy>,
    boot: &Boot,
    profile: &KernelProfile,
) -> Result<InForce, Problem> {
    let mut rules = Vec::new();
    for (line, text) in (1..).zip(active) {
        let rule = parse_shown(text, profile).map_err(|error| {
            let text = String::from_utf8_lossy(text);
            Problem::new(
                format!("rule {line} of the kernel's is not understood ({}): {text}", error.reason),
                "update imad",
            )
        })?;
        rules.extend(rule.map(|rule| PlacedRule { line, rule }));
    }
    if rules.is_empty() {
        return Ok(InForce { rules: nothing(boot), source: "no rule is active".to_owned(), problems: Vec::new() });
    }
    let plain: Vec<_> = rules.iter().map(|placed| placed.rule.clone()).collect();
    let before = file.and_then(|file| rules_before_file(&plain, &file.rules));
    let mut effective = nothing(boot);
    let source = if let (Some(before), Some(file)) = (before, file) {
        load(&mut effective, ACTIVE, &rules[..before]);
        load(&mut effective, path, &file.rules);
        format!("the rules in force; {path} is what was loaded last")
    } else {
        load(&mut effective, ACTIVE, &rules);
        "the rules in force, numbered as the kernel shows them".to_owned()
    };
    Ok(InForce { rules: effective, source, problems: Vec::new() })
}

/// A kernel that shows no rules: what imad-boot loaded, else what the command line brings.
fn of_report(
    root: &Root,
    path: &str,
    file: Option<&Policy>,
    boot: &Boot,
    profile: &KernelProfile,
) -> Result<InForce, Problem> {
    let report = status::boot_report(root)?;
    let mut rules = Effective::at_boot(boot, profile);
    let unsure = Problem::new("this kernel does not show its rules, so others may be in force", "imactl status");
    if report.is_some_and(|report| report.policy.loaded)
        && let Some(file) = file
    {
        load(&mut rules, path, &file.rules);
        return Ok(InForce { rules, source: format!("{path}, which imad-boot loaded"), problems: vec![unsure] });
    }
    Ok(InForce {
        rules,
        source: "what the kernel's command line and configuration bring".to_owned(),
        problems: vec![unsure],
    })
}

/// A kernel of this start, without the rules that come with it: the kernel shows those among its own.
fn nothing(boot: &Boot) -> Effective {
    let plain =
        KernelProfile { arch_policy: false, build: BuildRules::default(), write_policy: true, ..Default::default() };
    let boot = Boot { tcb: None, appraise_tcb: false, secure_boot_rules: false, critical_data: false, ..boot.clone() };
    Effective::at_boot(&boot, &plain)
}

fn load(rules: &mut Effective, name: &str, more: &[PlacedRule]) {
    // Nothing in front of a policy is no fault.
    if !more.is_empty() {
        rules.load(name, more).unwrap_or_else(|error| unreachable!("a kernel that reloads takes rules: {error}"));
    }
}

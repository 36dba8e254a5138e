//! What loads, and bricks, opens a hole or surprises: as far as a policy alone shows it.
//!
//! - `catalog`: the lints' names and reasons
//! - `reach`: which events a rule matches
//! - `single`: rules by themselves; `order`: rules that come before others; `coverage`: what is exempt, what is missing
#![forbid(unsafe_code)]

mod catalog;
mod coverage;
mod order;
mod reach;
mod single;

use super::lex::{Line, lines};
use super::parse::{PlacedRule, Policy, place};
use super::profile::KernelProfile;
use super::rule::{Action, Func, Rule};
use crate::model::diagnostic::Diagnostic;
pub use catalog::{ALL, Lint};
pub use reach::{KERNEL_FS, KernelFs, RAMFS, ROOTFS, TMPFS};

/// A lint that applies somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub lint: &'static Lint,
    /// Number of the line, from 1.
    pub line: usize,
    /// The beginning of the word that it is about; empty where it is about the whole rule.
    pub key: String,
    /// What it is, here.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Finding {
    /// The finding as it is shown in its line.
    pub fn diagnostic(&self, line: &Line<'_>) -> Diagnostic {
        Diagnostic {
            severity: self.lint.severity,
            id: Some(self.lint.id),
            message: self.message.clone(),
            line: self.line,
            span: place(line, &self.key),
            remarks: vec![("why", self.lint.why.to_owned()), ("help", self.help.clone())],
        }
    }
}

/// Findings on their way.
struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    fn add(
        &mut self,
        lint: &'static Lint,
        number: usize,
        key: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.found.push(Finding { lint, line: number, key: key.into(), message: message.into(), help: help.into() });
    }
}

/// Looks through a policy, in the order of its lines. What a policy lacks is told only if all of it could be read.
pub fn lint(source: &[u8], policy: &Policy, profile: &KernelProfile) -> Vec<Finding> {
    let mut findings = Findings { found: Vec::new() };
    let rules = &policy.rules;
    single::check(&mut findings, rules, profile);
    single::check_words(&mut findings, &lines(source).collect::<Vec<_>>(), rules);
    order::check(&mut findings, rules);
    coverage::check_exemptions(&mut findings, rules);
    if policy.faults.is_empty() {
        coverage::check_missing(&mut findings, rules, profile);
    }
    findings.found.sort_by_key(|finding| finding.line);
    findings.found
}

/// The rule denies files that it matches.
fn appraises(rule: &Rule) -> bool {
    rule.action == Action::Appraise && rule.func != Some(Func::SetxattrCheck)
}

/// The rules before this one.
fn before<'a>(rules: &'a [PlacedRule], placed: &PlacedRule) -> impl Iterator<Item = &'a PlacedRule> + use<'a> {
    let line = placed.line;
    rules.iter().take_while(move |other| other.line < line)
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;

//! A policy that measures what another one appraises, and denies nothing: what a rehearsal loads.
//!
//! For each class of actions the first rule that matches decides (`ima_policy.c: ima_match_policy()`), and no class looks
//! at another's rules. So `appraise` rules as `measure` rules and `dont_appraise` rules as `dont_measure` rules, in the
//! same order, match where those do. The measurement list then names every file that the policy would have asked for its
//! label.
#![forbid(unsafe_code)]

use super::canonical::loadable;
use super::parse::PlacedRule;
use super::rule::{Action, Demands, Func, Rule};

/// The template whose entries hold the file's name and its signature (`ima_template.c: builtin_templates[]`).
const TEMPLATE: &[u8] = b"ima-sig";
/// The kernel takes a page a write and ends it with a NUL, so that this many bytes of a rule fit beside its newline
/// (`ima_fs.c: ima_write_policy()`).
const LONGEST: usize = 4094;

/// The rules that measure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measuring {
    /// The rules, with the lines of those that they come from.
    pub rules: Vec<PlacedRule>,
    /// Rules about appraisal that have none.
    pub left_out: Vec<LeftOut>,
}

/// A rule about appraisal that no rule about measuring stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its line.
    pub line: usize,
    /// Why.
    pub why: &'static str,
}

impl Measuring {
    /// Translates a policy.
    pub fn of(policy: &[PlacedRule]) -> Self {
        let mut measuring = Self::default();
        for PlacedRule { line, rule } in policy {
            match translate(rule) {
                Ok(None) => {}
                Ok(Some(rule)) => measuring.rules.push(PlacedRule { line: *line, rule }),
                Err(why) => measuring.left_out.push(LeftOut { line: *line, why }),
            }
        }
        measuring
    }

    /// Whether anything is measured, which is to say that the policy appraises files.
    pub fn measures(&self) -> bool {
        self.rules.iter().any(|placed| placed.rule.action == Action::Measure)
    }

    /// The rules as text, with the lines of those that they come from.
    pub fn text(&self) -> Vec<(usize, Vec<u8>)> {
        self.rules.iter().map(|placed| (placed.line, loadable(&placed.rule))).collect()
    }
}

/// The rule that measures what this one appraises or exempts; `None` where it does neither.
fn translate(rule: &Rule) -> Result<Option<Rule>, &'static str> {
    let (action, template) = match rule.action {
        Action::Appraise => (Action::Measure, Some(TEMPLATE.to_vec())),
        Action::DontAppraise => (Action::DontMeasure, None),
        _ => return Ok(None),
    };
    if rule.func == Some(Func::SetxattrCheck) {
        return Err("it is about writing labels, which is not measured");
    }
    let translated = Rule { action, template, demands: Demands::default(), algos: None, ..rule.clone() };
    if loadable(&translated).len() > LONGEST {
        return Err("it is longer than the kernel takes as text");
    }
    Ok(Some(translated))
}

#[cfg(test)]
#[path = "measuring_tests.rs"]
mod tests;

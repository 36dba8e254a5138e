//! Rules that come before others: the first of a class that matches decides it.
#![forbid(unsafe_code)]

use super::reach::{Place, class, covers, exempts, files_meet, matches_nothing, meets, place};
use super::{Findings, appraises, before, catalog};
use crate::model::policy::parse::PlacedRule;
use crate::model::policy::rule::{Action, Func};

pub(super) fn check(findings: &mut Findings, rules: &[PlacedRule]) {
    let mut late = policy_check_late(findings, rules);
    late.sort_unstable();
    for placed in rules {
        let PlacedRule { line, rule } = placed;
        if rule.func == Some(Func::SetxattrCheck) {
            let first = before(rules, placed).find(|other| other.rule.func == rule.func);
            if let Some(first) = first {
                findings.add(
                    &catalog::SETXATTR_FIRST_WINS,
                    *line,
                    "func=",
                    format!("line {} holds already for every file", first.line),
                    "name all algorithms in the first rule",
                );
            }
            continue;
        }
        let cover = before(rules, placed)
            .find(|other| covers(&other.rule, rule) && class(other.rule.action) == class(rule.action));
        match cover {
            Some(other) if other.rule == *rule => findings.add(
                &catalog::DUPLICATE_RULE,
                *line,
                "",
                format!("the same rule stands in line {}", other.line),
                "take one of them out",
            ),
            Some(_) if late.binary_search(line).is_ok() => {}
            Some(other) => findings.add(
                &catalog::UNREACHABLE_RULE,
                *line,
                "",
                format!("line {} decides whatever this rule is about", other.line),
                format!("put this rule before line {}, or take it out", other.line),
            ),
            None => without_effect(findings, rules, placed),
        }
    }
    demands_stick(findings, rules);
}

/// An exemption that no later rule needs.
fn without_effect(findings: &mut Findings, rules: &[PlacedRule], placed: &PlacedRule) {
    let PlacedRule { line, rule } = placed;
    let Some(class) = exempts(rule.action) else { return };
    // What an exemption without effect lacks is told as what it is.
    if matches_nothing(rule) {
        return;
    }
    let needed = rules.iter().any(|other| {
        other.line > *line
            && other.rule.action == class
            && other.rule.func != Some(Func::SetxattrCheck)
            && meets(&other.rule, rule)
    });
    if !needed {
        findings.add(
            &catalog::EXEMPTION_WITHOUT_RULE,
            *line,
            rule.action.name(),
            format!("no `{}` rule after this one matches what it exempts", class.name()),
            format!("put it before the `{}` rules, or take it out", class.name()),
        );
    }
}

/// Tells of policies that pass without a signature although a rule demands one; the lines of such rules.
fn policy_check_late(findings: &mut Findings, rules: &[PlacedRule]) -> Vec<usize> {
    let demanding = rules.iter().filter(|placed| {
        appraises(&placed.rule) && placed.rule.func == Some(Func::PolicyCheck) && placed.rule.demands.signature
    });
    let mut lines = Vec::new();
    for placed in demanding {
        let way_round = before(rules, placed).find(|PlacedRule { rule, .. }| {
            let loose = match rule.action {
                // No policy can lie on a file system of the kernel's own, and whoever can write to the initramfs
                // needs no policy.
                Action::DontAppraise => !matches!(place(rule), Place::Kernel | Place::Initramfs),
                Action::Appraise => rule.func != Some(Func::SetxattrCheck) && !rule.demands.signature,
                _ => false,
            };
            loose && meets(rule, &placed.rule)
        });
        if let Some(way_round) = way_round {
            lines.push(placed.line);
            findings.add(
                &catalog::POLICY_CHECK_LATE,
                placed.line,
                "func=",
                format!("line {} comes first and lets policies through without a signature", way_round.line),
                "make this the first rule of the file",
            );
        }
    }
    lines
}

/// Files that one rule takes with a hash and another with a signature alone.
fn demands_stick(findings: &mut Findings, rules: &[PlacedRule]) {
    let on_files = |func: Option<Func>| {
        !matches!(
            func,
            Some(
                Func::PolicyCheck
                    | Func::ModuleCheck
                    | Func::FirmwareCheck
                    | Func::KexecKernelCheck
                    | Func::KexecInitramfsCheck
            )
        )
    };
    let files: Vec<_> = rules
        .iter()
        .filter(|placed| appraises(&placed.rule) && on_files(placed.rule.func) && !matches_nothing(&placed.rule))
        .collect();
    let pair = files.iter().find_map(|loose| {
        let strict = files.iter().find(|strict| strict.rule.demands.signature && files_meet(&strict.rule, &loose.rule));
        strict.filter(|_| !loose.rule.demands.signature).map(|strict| (loose, strict))
    });
    if let Some((loose, strict)) = pair {
        findings.add(
            &catalog::DEMANDS_STICK,
            loose.line,
            "appraise",
            format!("a file that line {} was asked about needs a signature here too", strict.line),
            "tell the files of the two rules apart (`fsuuid=`, `fowner=`), or demand signatures in both",
        );
    }
}

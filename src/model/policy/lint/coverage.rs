//! What is exempt that should not be, and what is missing.
#![forbid(unsafe_code)]

use super::reach::{
    CODE, KERNEL_FS, Place, RAMFS, TMPFS, at, covers, exempts, in_initramfs, matches_hook, matches_nothing, meets,
    place,
};
use super::{Findings, appraises, before, catalog};
use crate::model::policy::parse::PlacedRule;
use crate::model::policy::profile::KernelProfile;
use crate::model::policy::rule::{Action, Func, Mask, Rule};

/// Exemptions through which code runs that a later rule is about.
pub(super) fn check_exemptions(findings: &mut Findings, rules: &[PlacedRule]) {
    for PlacedRule { line, rule } in rules {
        let Some(class) = exempts(rule.action).filter(|class| matches!(class, Action::Appraise | Action::Measure))
        else {
            continue;
        };
        // An exemption by label is meant, and as good as the label.
        if !rule.lsm.is_empty() {
            continue;
        }
        let lets_code_through = CODE.iter().any(|&func| {
            matches_hook(rule, func)
                && rules.iter().any(|other| {
                    other.line > *line && other.rule.action == class && meets(&at(rule, func), &other.rule)
                })
        });
        if !lets_code_through {
            continue;
        }
        let unseen = if class == Action::Appraise { "unappraised" } else { "unmeasured" };
        let key = if rule.fsname.is_some() { "fsname=" } else { "fsmagic=" };
        match place(rule) {
            Place::Kernel | Place::Initramfs | Place::One => {}
            // It matches nothing, which is told.
            Place::Kind(kind) if kind.contains('.') => {}
            Place::Kind(kind) if kind == TMPFS.0 => findings.add(
                &catalog::TMPFS_EXEMPT,
                *line,
                key,
                format!("programs on tmpfs run {unseen}"),
                "take the rule out; where reading and writing there is to be exempt, add `func=FILE_CHECK`",
            ),
            Place::Kind(kind) if kind == RAMFS.0 => findings.add(
                &catalog::RAMFS_EXEMPT,
                *line,
                key,
                format!("programs on any ramfs run {unseen}"),
                format!("write `{} fsname=rootfs`, which is the initramfs alone", rule.action.name()),
            ),
            Place::Kind(kind) => findings.add(
                &catalog::FILE_SYSTEM_EXEMPT,
                *line,
                key,
                format!("programs on file systems of type {kind} run {unseen}"),
                "name the one file system that you mean (`fsuuid=`), or take the rule out",
            ),
            Place::Anywhere => findings.add(
                &catalog::BROAD_EXEMPTION,
                *line,
                "",
                format!("programs on every file system run {unseen} where this rule matches"),
                "name the one file system that you mean (`fsuuid=`), or take the rule out",
            ),
        }
    }
}

pub(super) fn check_missing(findings: &mut Findings, rules: &[PlacedRule], profile: &KernelProfile) {
    initramfs(findings, rules);
    pseudo_file_systems(findings, rules);
    code(findings, rules);
    policy_check(findings, rules, profile);
    policy_measured(findings, rules);
}

/// An earlier exemption takes everything of this.
fn is_exempt(rules: &[PlacedRule], placed: &PlacedRule, part: &Rule) -> bool {
    let mut earlier = before(rules, placed).filter(|other| other.rule.action == Action::DontAppraise);
    earlier.any(|other| covers(&other.rule, part))
}

fn initramfs(findings: &mut Findings, rules: &[PlacedRule]) {
    let denied = |placed: &PlacedRule| {
        let part = in_initramfs(&placed.rule);
        appraises(&placed.rule)
            && !matches_nothing(&placed.rule)
            && part.is_some_and(|part| !is_exempt(rules, placed, &part))
    };
    let files = |func: Option<Func>| func.is_none_or(|func| CODE.contains(&func) || func == Func::FileCheck);
    let first = rules.iter().find(|placed| files(placed.rule.func) && denied(placed));
    if let Some(placed) = first {
        findings.add(
            &catalog::NO_INITRAMFS_EXEMPTION,
            placed.line,
            "appraise",
            "the initramfs is not exempt from this rule",
            "put `dont_appraise fsname=rootfs` before it",
        );
    }
    // Modules that carry an appended signature need no label.
    let loaded =
        |rule: &Rule| matches!(rule.func, Some(Func::ModuleCheck | Func::FirmwareCheck)) && !rule.demands.modsig;
    for placed in rules.iter().filter(|placed| loaded(&placed.rule) && denied(placed)) {
        let (what, more) = if placed.rule.func == Some(Func::ModuleCheck) {
            ("modules", ", or take modules with appended signatures too (`appraise_type=imasig|modsig`)")
        } else {
            ("firmware", "")
        };
        // Who exempts the initramfs afterwards has thought of it.
        let later = rules.iter().any(|other| {
            other.line > placed.line
                && other.rule.action == Action::DontAppraise
                && in_initramfs(&placed.rule).is_some_and(|part| covers(&other.rule, &part))
        });
        let lint = if later { &catalog::MODULE_CHECK_BEFORE_INITRAMFS } else { &catalog::MODULE_CHECK_AND_INITRAMFS };
        findings.add(
            lint,
            placed.line,
            "func=",
            format!("{what} in the initramfs cannot be loaded"),
            format!("put `dont_appraise fsname=rootfs` before it{more}"),
        );
    }
}

fn pseudo_file_systems(findings: &mut Findings, rules: &[PlacedRule]) {
    for placed in rules {
        let rule = &placed.rule;
        let opens = matches!(rule.func, None | Some(Func::FileCheck))
            && rule.mask.is_none_or(|mask| mask.mask != Mask::Exec)
            && !matches_nothing(rule);
        if !appraises(rule) || !opens || place(rule) != Place::Anywhere || !rule.lsm.is_empty() {
            continue;
        }
        let on =
            |name: &str, magic| Rule { fsname: Some(name.into()), fsmagic: Some(magic), ..at(rule, Func::FileCheck) };
        let denied: Vec<_> = KERNEL_FS
            .iter()
            .filter(|fs| fs.read && !is_exempt(rules, placed, &on(fs.name, fs.magic)))
            .map(|fs| fs.name)
            .collect();
        if denied.is_empty() {
            continue;
        }
        let shown = match &denied[..] {
            [first, second, third, fourth, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second}, {third}, {fourth} and {} more file systems", rest.len())
            }
            all => all.join(", "),
        };
        findings.add(
            &catalog::READS_OF_PSEUDO_FILE_SYSTEMS,
            placed.line,
            "appraise",
            format!("files of {shown} cannot be opened"),
            format!("put `dont_appraise fsname=` before it for each of {}", denied.join(", ")),
        );
        // One is enough: later rules lack the same.
        break;
    }
}

fn code(findings: &mut Findings, rules: &[PlacedRule]) {
    let first = |funcs: &[Func]| {
        rules.iter().find(|placed| {
            appraises(&placed.rule)
                && placed.rule.func.is_some_and(|func| funcs.contains(&func))
                && !matches_nothing(&placed.rule)
        })
    };
    let executed = first(&[Func::BprmCheck, Func::CredsCheck]);
    let mapped = first(&[Func::MmapCheck, Func::MmapCheckReqprot]);
    let both = rules.iter().any(|placed| {
        appraises(&placed.rule)
            && matches!(placed.rule.func, None | Some(Func::FileCheck))
            && !matches_nothing(&placed.rule)
    });
    match (executed, mapped) {
        (Some(executed), None) if !both => findings.add(
            &catalog::NO_SHARED_LIBRARY_RULE,
            executed.line,
            "func=",
            "shared libraries are not appraised",
            "add `appraise func=MMAP_CHECK mask=MAY_EXEC appraise_type=imasig`",
        ),
        (None, Some(mapped)) if !both => findings.add(
            &catalog::NO_EXEC_RULE,
            mapped.line,
            "func=",
            "scripts are not appraised",
            "add `appraise func=BPRM_CHECK appraise_type=imasig`",
        ),
        _ => {}
    }
}

fn policy_check(findings: &mut Findings, rules: &[PlacedRule], profile: &KernelProfile) {
    let Some(first) = rules.iter().find(|placed| appraises(&placed.rule)) else { return };
    let every_policy = Rule { func: Some(Func::PolicyCheck), ..Rule::new(Action::Appraise) };
    let about_policies =
        || rules.iter().filter(|placed| appraises(&placed.rule) && matches_hook(&placed.rule, Func::PolicyCheck));
    if profile.build.policy || about_policies().any(|placed| covers(&placed.rule, &every_policy)) {
        return;
    }
    let some = about_policies().find(|placed| placed.rule.func == Some(Func::PolicyCheck));
    let (line, key, message) = match some {
        Some(placed) => (placed.line, "func=", "some policies are taken without a signature"),
        None => (first.line, "appraise", "further policies are taken without a signature"),
    };
    findings.add(
        &catalog::POLICY_CHECK_MISSING,
        line,
        key,
        message,
        "make `appraise func=POLICY_CHECK appraise_type=imasig` the first rule of the file",
    );
}

fn policy_measured(findings: &mut Findings, rules: &[PlacedRule]) {
    let of_code = |rule: &Rule| {
        rule.action == Action::Measure
            && (rule.func == Some(Func::FileCheck) || CODE.iter().any(|&func| matches_hook(rule, func)))
    };
    let Some(first) = rules.iter().find(|placed| of_code(&placed.rule)) else { return };
    let seen = rules.iter().any(|PlacedRule { rule, .. }| {
        let measured = rule.action == Action::Measure
            && (matches_hook(rule, Func::PolicyCheck) || rule.func == Some(Func::FileCheck));
        let signed = appraises(rule) && matches_hook(rule, Func::PolicyCheck) && rule.demands.signature;
        measured || signed
    });
    if !seen {
        findings.add(
            &catalog::POLICY_LOAD_NOT_MEASURED,
            first.line,
            "measure",
            "a policy that is loaded later is not measured",
            "add `measure func=POLICY_CHECK`",
        );
    }
}

//! The rules in force: what the kernel starts with, what a load of a policy makes of it
//! (`ima_policy.c: ima_init_policy(), ima_update_policy(), ima_update_policy_flags()`).
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::builtin::{Boot, Mode, Source, default_rules, lasting_rules};
use super::decide::{Class, Classes, Compact};
use super::parse::PlacedRule;
use super::profile::{KernelProfile, Lsm};
use super::rule::{Action, Func, HashSet, Rule};

/// Where a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A word of the command line.
    Builtin(&'static str),
    /// Secure Boot.
    Arch,
    /// The kernel's configuration.
    Build,
    /// A policy file.
    File {
        /// Its name.
        name: Arc<str>,
        /// The line, from 1.
        line: usize,
    },
}

impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        match source {
            Source::CommandLine(word) => Self::Builtin(word),
            Source::Arch => Self::Arch,
            Source::Build => Self::Build,
        }
    }
}

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveRule {
    /// The rule.
    pub rule: Rule,
    /// Where it comes from.
    pub origin: Origin,
}

impl EffectiveRule {
    fn new((source, rule): (Source, Rule)) -> Self {
        Self { rule, origin: source.into() }
    }

    /// It has the kernel look the file's digest up in `.blacklist`: each rule with `appraise_type=` that was once text.
    /// Those of the command line and the configuration never were.
    pub const fn looks_into_blacklist(&self) -> bool {
        self.rule.demands.signature && matches!(self.origin, Origin::Arch | Origin::File { .. })
    }
}

/// How the kernel appraises (its variable `ima_appraise`). The bits are never taken back before the next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's bits")]
pub struct Appraisal {
    /// The mode.
    pub mode: Mode,
    /// There was an appraise rule for `MODULE_CHECK`.
    pub modules: bool,
    /// There was one for `FIRMWARE_CHECK`.
    pub firmware: bool,
    /// There was one for `POLICY_CHECK`: policies are taken by path only.
    pub policy: bool,
    /// There was one for `KEXEC_KERNEL_CHECK`.
    pub kexec: bool,
}

impl Appraisal {
    const fn new(mode: Mode) -> Self {
        Self { mode, modules: false, firmware: false, policy: false, kexec: false }
    }

    /// Denials deny.
    pub const fn enforces(&self) -> bool {
        matches!(self.mode, Mode::Enforce)
    }

    /// Appraise rules count at all.
    pub const fn is_on(&self) -> bool {
        !matches!(self.mode, Mode::Off) || self.modules || self.firmware || self.policy || self.kexec
    }

    fn note(&mut self, rule: &Rule) {
        if rule.action == Action::Appraise {
            match rule.func {
                Some(Func::ModuleCheck) => self.modules = true,
                Some(Func::FirmwareCheck) => self.firmware = true,
                Some(Func::PolicyCheck) => self.policy = true,
                Some(Func::KexecKernelCheck) => self.kexec = true,
                _ => {}
            }
        }
    }
}

/// Why a policy is not loaded, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unloadable {
    /// A kernel without `CONFIG_IMA_WRITE_POLICY` takes one.
    #[error("a policy was loaded already, and this kernel takes one only (no CONFIG_IMA_WRITE_POLICY)")]
    LoadedAlready,
    /// The load fails at close.
    #[error("there is no rule in it")]
    NoRules,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts of the boot that have nothing to do with each other")]
pub struct Effective {
    rules: Vec<EffectiveRule>,
    /// What decisions look at: a short form of each rule.
    pub(super) compact: Vec<Compact>,
    /// Classes with a rule that acts.
    pub(super) classes: Classes,
    /// In front of a custom policy.
    lasting: Vec<EffectiveRule>,
    custom: bool,
    reloadable: bool,
    /// How the kernel appraises.
    appraisal: Appraisal,
    mode_ignored: bool,
    /// `fail_securely`
    pub(super) fail_securely: bool,
    setxattr: Option<(HashSet, Origin)>,
}

impl Effective {
    /// What is in force when the kernel has started.
    pub fn at_boot(boot: &Boot, profile: &KernelProfile) -> Self {
        let (mode, mode_ignored) = boot.mode(profile);
        let rules: Vec<_> = default_rules(boot, profile).into_iter().map(EffectiveRule::new).collect();
        let lasting: Vec<_> = lasting_rules(boot, profile).into_iter().map(EffectiveRule::new).collect();
        let mut appraisal = Appraisal::new(mode);
        rules.iter().chain(&lasting).for_each(|rule| appraisal.note(&rule.rule));
        let mut effective = Self {
            rules,
            compact: Vec::new(),
            classes: Classes::NONE,
            lasting,
            custom: false,
            reloadable: profile.write_policy,
            appraisal,
            mode_ignored,
            fail_securely: boot.fail_securely,
            setxattr: None,
        };
        effective.refresh();
        effective
    }

    /// The rules of a file and nothing else, enforced.
    pub fn of_file(name: &str, rules: &[PlacedRule]) -> Self {
        let mut effective = Self::at_boot(&Boot::default(), &KernelProfile::default());
        // A file without rules leaves what a boot without a policy has: nothing.
        let _nothing_to_load = effective.load(name, rules);
        effective
    }

    /// Loads a policy: the first replaces what is built in except Secure Boot's and the configuration's rules, later
    /// ones are appended.
    pub fn load(&mut self, name: &str, rules: &[PlacedRule]) -> Result<(), Unloadable> {
        if self.custom && !self.reloadable {
            return Err(Unloadable::LoadedAlready);
        }
        if rules.is_empty() {
            return Err(Unloadable::NoRules);
        }
        if !self.custom {
            self.rules.clone_from(&self.lasting);
            self.custom = true;
        }
        let name: Arc<str> = name.into();
        for PlacedRule { line, rule } in rules {
            self.appraisal.note(rule);
            let origin = Origin::File { name: Arc::clone(&name), line: *line };
            self.rules.push(EffectiveRule { rule: rule.clone(), origin });
        }
        self.refresh();
        Ok(())
    }

    /// A security module's policy was loaded: label conditions are looked up again, those of a custom policy only.
    pub fn lsm_changed(&mut self, lsm: &Lsm) {
        if self.custom {
            for rule in &mut self.rules {
                for condition in &mut rule.rule.lsm {
                    condition.resolved = lsm.resolves(condition.field, &condition.value);
                }
            }
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        self.classes = Classes::NONE;
        for rule in &self.rules {
            if rule.rule.func == Some(Func::SetxattrCheck) {
                if self.setxattr.is_none() {
                    self.setxattr = rule.rule.algos.map(|algos| (algos, rule.origin.clone()));
                }
            } else if let (class, true) = Class::of(rule.rule.action) {
                self.classes = self.classes.with(class);
            }
        }
        if !self.appraisal.is_on() {
            self.classes = self.classes.without(Class::Appraise);
        }
        self.compact = self.rules.iter().map(Compact::new).collect();
    }

    /// The rules, in the order in which the kernel looks at them.
    pub fn rules(&self) -> &[EffectiveRule] {
        &self.rules
    }

    /// A custom policy is in force.
    pub const fn is_custom(&self) -> bool {
        self.custom
    }

    /// How the kernel appraises.
    pub const fn appraisal(&self) -> Appraisal {
        self.appraisal
    }

    /// The command line asks for another mode than enforcement, and Secure Boot has the kernel ignore it.
    pub const fn mode_ignored(&self) -> bool {
        self.mode_ignored
    }

    /// Policies are taken by path only, so that the file can be appraised (EACCES for their text).
    pub const fn refuses_text(&self) -> bool {
        self.appraisal.policy
    }

    /// The hash algorithms that a label may name when it is written, and the rule that says so: the first since boot.
    pub const fn label_algos(&self) -> Option<&(HashSet, Origin)> {
        self.setxattr.as_ref()
    }

    /// Another policy can be loaded.
    pub const fn takes_another(&self) -> bool {
        !self.custom || self.reloadable
    }
}

#[cfg(test)]
#[path = "effective_tests.rs"]
mod tests;

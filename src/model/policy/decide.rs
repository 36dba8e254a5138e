//! What the rules say of one event (`ima_policy.c: ima_match_policy(), ima_match_rules()`).
//!
//! For each class of actions the first rule that matches decides, whether it acts or exempts. What a rule demands
//! beyond its action (a signature, `permit_directio`, …) counts whichever class it is of.
#![forbid(unsafe_code)]

use super::effective::{Effective, EffectiveRule};
use super::event::{Event, Hook, LsmValue, Target};
use super::rule::{Action, Func, HashSet, IdCondition, LsmField, MaskCondition, OwnerCondition, Rule, Text};

/// Classes of actions; each is decided by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// `measure`, `dont_measure`
    Measure,
    /// `appraise`, `dont_appraise`
    Appraise,
    /// `audit`, `dont_audit`
    Audit,
    /// `hash`, `dont_hash`
    Hash,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Measure, Self::Appraise, Self::Audit, Self::Hash];

    /// An action's class, and whether it acts or exempts.
    pub const fn of(action: Action) -> (Self, bool) {
        match action {
            Action::Measure => (Self::Measure, true),
            Action::DontMeasure => (Self::Measure, false),
            Action::Appraise => (Self::Appraise, true),
            Action::DontAppraise => (Self::Appraise, false),
            Action::Audit => (Self::Audit, true),
            Action::DontAudit => (Self::Audit, false),
            Action::Hash => (Self::Hash, true),
            Action::DontHash => (Self::Hash, false),
        }
    }
}

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Classes(u8);

impl Classes {
    /// None.
    pub const NONE: Self = Self(0);
    /// Those that `ima_must_appraise()` asks about.
    pub(super) const LABELLING: Self = Self::NONE.with(Class::Appraise).with(Class::Hash);

    /// One more.
    #[must_use]
    pub const fn with(self, class: Class) -> Self {
        Self(self.0 | 1 << class as u8)
    }

    /// One less.
    #[must_use]
    pub const fn without(self, class: Class) -> Self {
        Self(self.0 & !(1 << class as u8))
    }

    /// Whether it is in.
    pub const fn has(self, class: Class) -> bool {
        self.0 >> class as u8 & 1 == 1
    }

    /// Whether none is in.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a rule demands beyond its action. Such demands are noted with the file and stay with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// The label must be a signature (`IMA_DIGSIG_REQUIRED`).
    Signature = 1,
    /// O_DIRECT passes (`IMA_PERMIT_DIRECTIO`).
    DirectIo = 2,
    /// File systems that can change content unseen fail (`IMA_FAIL_UNVERIFIABLE_SIGS`).
    FailSecurely = 4,
    /// An appended signature does (`IMA_MODSIG_ALLOWED`).
    Modsig = 8,
    /// The digest is looked up in `.blacklist` (`IMA_CHECK_BLACKLIST`).
    Blacklist = 16,
    /// The digest is fs-verity's (`IMA_VERITY_REQUIRED`).
    Verity = 32,
    /// The signature is of version 3 (Linux 7.1).
    Sigv3 = 64,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 7] =
        [Self::Signature, Self::DirectIo, Self::FailSecurely, Self::Modsig, Self::Blacklist, Self::Verity, Self::Sigv3];
}

/// A set of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether it is in.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & flag as u8 != 0
    }

    /// Whether none is in.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One more.
    #[must_use]
    pub const fn with(self, flag: Flag) -> Self {
        Self(self.0 | flag as u8)
    }

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn of(rule: &EffectiveRule) -> Self {
        let demands = rule.rule.demands;
        let flags = [
            (demands.signature, Flag::Signature),
            (rule.rule.permit_directio, Flag::DirectIo),
            (demands.modsig, Flag::Modsig),
            (rule.looks_into_blacklist(), Flag::Blacklist),
            (demands.verity, Flag::Verity),
            (demands.sigv3, Flag::Sigv3),
        ];
        flags.into_iter().filter(|(is_set, _)| *is_set).fold(Self::default(), |set, (_, flag)| set.with(flag))
    }
}

/// Which of an inode's cached verdicts is meant (`ima_appraise.c: ima_get_cache_status()`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// `FILE_CHECK`, and rules without `func=` at whatever hook.
    File,
    /// `MMAP_CHECK`, `MMAP_CHECK_REQPROT`
    Mmap,
    /// `BPRM_CHECK`
    Bprm,
    /// `CREDS_CHECK`
    Creds,
    /// Modules, firmware, kexec, policies.
    Read,
}

impl Slot {
    /// Every slot.
    pub const ALL: [Self; 5] = [Self::File, Self::Mmap, Self::Bprm, Self::Creds, Self::Read];

    /// The slot of a hook.
    pub const fn of(hook: Hook) -> Self {
        match hook {
            Hook::SetAttributes | Hook::Rule(Func::FileCheck) => Self::File,
            Hook::Rule(Func::MmapCheck | Func::MmapCheckReqprot) => Self::Mmap,
            Hook::Rule(Func::BprmCheck) => Self::Bprm,
            Hook::Rule(Func::CredsCheck) => Self::Creds,
            Hook::Rule(_) => Self::Read,
        }
    }
}

/// The rule that decided a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decided {
    /// Its place among the effective rules.
    pub rule: usize,
    /// It acts; otherwise it exempts.
    pub acts: bool,
    flags: Flags,
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decision {
    decided: [Option<Decided>; 4],
    /// What the rules that matched demand, of whatever class they are.
    pub flags: Flags,
    /// Whose cached verdict counts; `None` where nothing is appraised.
    pub slot: Option<Slot>,
    /// The first rule of a class still open that may match, for all that could be found out of security labels. It
    /// counts as one that does not.
    pub untold: Option<usize>,
}

impl Decision {
    /// The rule that decided a class.
    pub const fn decided(&self, class: Class) -> Option<Decided> {
        self.decided[class as usize]
    }

    /// The rule by which a class acts. An appraise rule takes back a hash rule before it.
    pub fn acting(&self, class: Class) -> Option<usize> {
        let rule = self.decided(class).filter(|decided| decided.acts)?.rule;
        let taken_back = class == Class::Hash && self.acting(Class::Appraise).is_some_and(|appraise| appraise > rule);
        (!taken_back).then_some(rule)
    }

    /// Whether the kernel has anything to do with the file.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty() && Class::ALL.into_iter().all(|class| self.acting(class).is_none())
    }

    /// The rules that bring a flag.
    pub fn bringing(&self, flag: Flag) -> impl Iterator<Item = usize> {
        self.decided.into_iter().flatten().filter(move |decided| decided.flags.has(flag)).map(|decided| decided.rule)
    }

    /// `pcr=` of the rule that measures.
    pub fn pcr(&self, policy: &Effective) -> Option<u8> {
        self.rule(policy, Class::Measure)?.pcr
    }

    /// `template=` of the rule that measures.
    pub fn template<'a>(&self, policy: &'a Effective) -> Option<&'a Text> {
        self.rule(policy, Class::Measure)?.template.as_ref()
    }

    /// `appraise_algos=` of the rule that appraises.
    pub fn algos(&self, policy: &Effective) -> Option<HashSet> {
        self.rule(policy, Class::Appraise)?.algos
    }

    fn rule<'a>(&self, policy: &'a Effective, class: Class) -> Option<&'a Rule> {
        self.acting(class).map(|at| &policy.rules()[at].rule)
    }
}

/// A rule as decisions look at it: what most rules have, and whether there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compact {
    fsmagic: Option<u64>,
    uid: Option<IdCondition>,
    gid: Option<IdCondition>,
    fowner: Option<OwnerCondition>,
    fgroup: Option<OwnerCondition>,
    func: Option<Func>,
    mask: Option<MaskCondition>,
    class: Class,
    acts: bool,
    flags: Flags,
    /// Names, UUIDs or security labels are to be compared.
    more: bool,
}

impl Compact {
    pub(super) fn new(effective: &EffectiveRule) -> Self {
        let rule = &effective.rule;
        let (class, acts) = Class::of(rule.action);
        Self {
            fsmagic: rule.fsmagic,
            uid: rule.uid,
            gid: rule.gid,
            fowner: rule.fowner,
            fgroup: rule.fgroup,
            func: rule.func,
            mask: rule.mask,
            class,
            acts,
            flags: Flags::of(effective),
            more: rule.fsname.is_some() || rule.fs_subtype.is_some() || rule.fsuuid.is_some() || !rule.lsm.is_empty(),
        }
    }
}

enum Match {
    Yes,
    No,
    Untold,
}

impl Effective {
    /// What the rules say of an event.
    pub fn decide(&self, event: &Event<'_>, target: &Target) -> Decision {
        self.decide_among(self.classes, event, target)
    }

    /// Whether a file is to be labelled by the kernel one day (`ima_must_appraise()`).
    pub(super) fn must_appraise(&self, event: &Event<'_>, target: &Target) -> bool {
        self.appraisal().is_on() && !self.decide_among(Classes::LABELLING, event, target).is_empty()
    }

    fn decide_among(&self, classes: Classes, event: &Event<'_>, target: &Target) -> Decision {
        let mut open = classes;
        let mut decision = Decision::default();
        for (at, rule) in self.compact.iter().enumerate() {
            if !open.has(rule.class) {
                continue;
            }
            match matches(rule, || &self.rules()[at].rule, event, target) {
                Match::No => continue,
                Match::Untold => {
                    decision.untold.get_or_insert(at);
                    continue;
                }
                Match::Yes => {}
            }
            let mut flags = rule.flags;
            if rule.class == Class::Appraise && rule.acts {
                decision.slot = Some(if rule.func.is_none() { Slot::File } else { Slot::of(event.hook) });
                if self.fail_securely {
                    flags = flags.with(Flag::FailSecurely);
                }
            }
            decision.flags = decision.flags.and(flags);
            decision.decided[rule.class as usize] = Some(Decided { rule: at, acts: rule.acts, flags });
            open = open.without(rule.class);
            if open.is_empty() {
                break;
            }
        }
        decision
    }
}

/// Whether a rule is about an event; `whole` is the rule that the short form is of.
fn matches<'a>(rule: &Compact, whole: impl Fn() -> &'a Rule, event: &Event<'_>, target: &Target) -> Match {
    let credentials = &event.subject.credentials;
    let real = |id: IdCondition, actual| !id.effective && !id.comparison.holds(actual, id.id);
    if let Hook::Rule(func) = event.hook {
        if rule.func.is_some_and(|wanted| wanted != func) {
            return Match::No;
        }
        let of_text = func == Func::PolicyCheck && event.data.is_some();
        if matches!(func, Func::KeyCheck | Func::CriticalData) || of_text {
            // Without a file there is little to look at; groups are passed over.
            let holds = rule.func.is_some() && !rule.uid.is_some_and(|id| real(id, credentials.uid));
            return if holds && data_matches(whole(), event.data) { Match::Yes } else { Match::No };
        }
        let access = event.access.0;
        let other = |mask: MaskCondition| {
            if mask.among { access & mask.mask.bit() == 0 } else { access != mask.mask.bit() }
        };
        if rule.mask.is_some_and(other) {
            return Match::No;
        }
    }
    if rule.fsmagic.is_some_and(|magic| magic != target.fs.magic)
        || rule.fowner.is_some_and(|owner| !owner.comparison.holds(target.owner, owner.id))
        || rule.fgroup.is_some_and(|group| !group.comparison.holds(target.group, group.id))
        || rule.uid.is_some_and(|id| {
            let others = [credentials.suid, credentials.uid];
            real(id, credentials.uid) || not_effective(id, credentials.euid, others, event.subject.cap_setuid)
        })
        || rule.gid.is_some_and(|id| {
            let others = [credentials.sgid, credentials.gid];
            real(id, credentials.gid) || not_effective(id, credentials.egid, others, event.subject.cap_setgid)
        })
    {
        return Match::No;
    }
    if rule.more { more_matches(whole(), event, target) } else { Match::Yes }
}

/// `euid`, `egid`: with the capability to change it, the other ids count too.
fn not_effective(id: IdCondition, effective: u32, others: [u32; 2], capable: bool) -> bool {
    let holds = |actual| id.comparison.holds(actual, id.id);
    id.effective && !(holds(effective) || capable && others.into_iter().any(holds))
}

fn data_matches(rule: &Rule, data: Option<&[u8]>) -> bool {
    let wanted = if rule.func == Some(Func::KeyCheck) { &rule.keyrings } else { &rule.label };
    match (wanted, data) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wanted), Some(data)) => wanted.iter().any(|item| item == data),
    }
}

#[inline(never)]
fn more_matches(rule: &Rule, event: &Event<'_>, target: &Target) -> Match {
    let fs = &target.fs;
    if rule.fsname.as_ref().is_some_and(|name| *name != fs.name)
        || rule.fs_subtype.as_ref().is_some_and(|subtype| fs.subtype.as_ref() != Some(subtype))
        || rule.fsuuid.is_some_and(|uuid| uuid != fs.uuid)
    {
        return Match::No;
    }
    let mut told = Match::Yes;
    for condition in &rule.lsm {
        let object = matches!(condition.field, LsmField::ObjUser | LsmField::ObjRole | LsmField::ObjType);
        let label = if object { &target.label } else { &event.subject.label };
        match label.part(condition.field) {
            _ if !condition.resolved => return Match::No,
            LsmValue::Untold => told = Match::Untold,
            LsmValue::Is(value) if *value == condition.value => {}
            LsmValue::Is(_) | LsmValue::Nothing => return Match::No,
        }
    }
    told
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

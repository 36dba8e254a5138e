//! Which words of a rule go together (`ima_policy.c: ima_validate_rule()`).
#![forbid(unsafe_code)]

use super::error::Reason;
use super::rule::{Action, Func, Rule};

/// Options as the kernel's flags tell them apart; one bit each.
mod option {
    pub(super) const MASK: u32 = 1;
    pub(super) const FSMAGIC: u32 = 1 << 1;
    pub(super) const FSNAME: u32 = 1 << 2;
    pub(super) const FS_SUBTYPE: u32 = 1 << 3;
    pub(super) const FSUUID: u32 = 1 << 4;
    pub(super) const UID: u32 = 1 << 5;
    pub(super) const EUID: u32 = 1 << 6;
    pub(super) const GID: u32 = 1 << 7;
    pub(super) const EGID: u32 = 1 << 8;
    pub(super) const FOWNER: u32 = 1 << 9;
    pub(super) const FGROUP: u32 = 1 << 10;
    pub(super) const PCR: u32 = 1 << 11;
    pub(super) const KEYRINGS: u32 = 1 << 12;
    pub(super) const LABEL: u32 = 1 << 13;
    pub(super) const SIGNATURE: u32 = 1 << 14;
    pub(super) const MODSIG: u32 = 1 << 15;
    pub(super) const VERITY: u32 = 1 << 16;
    pub(super) const DIRECTIO: u32 = 1 << 17;
    pub(super) const ALGOS: u32 = 1 << 18;

    /// Each option's word, in the order of the bits.
    pub(super) const NAMES: [&str; 19] = [
        "mask=",
        "fsmagic=",
        "fsname=",
        "fs_subtype=",
        "fsuuid=",
        "uid",
        "euid",
        "gid",
        "egid",
        "fowner",
        "fgroup",
        "pcr=",
        "keyrings=",
        "label=",
        "appraise_type=",
        "appraise_type=imasig|modsig",
        "digest_type=",
        "permit_directio",
        "appraise_algos=",
    ];

    /// What tells files and tasks apart.
    pub(super) const CONDITIONS: u32 =
        FSMAGIC | FSNAME | FS_SUBTYPE | FSUUID | UID | EUID | GID | EGID | FOWNER | FGROUP | PCR;
    /// What every hook on files takes.
    pub(super) const FILES: u32 = CONDITIONS | MASK | SIGNATURE | DIRECTIO | ALGOS;
}

/// Which options a rule has.
fn options(rule: &Rule) -> u32 {
    let effective = |id: Option<super::rule::IdCondition>| id.map(|id| id.effective);
    let has = [
        (rule.mask.is_some(), option::MASK),
        (rule.fsmagic.is_some(), option::FSMAGIC),
        (rule.fsname.is_some(), option::FSNAME),
        (rule.fs_subtype.is_some(), option::FS_SUBTYPE),
        (rule.fsuuid.is_some(), option::FSUUID),
        (effective(rule.uid) == Some(false), option::UID),
        (effective(rule.uid) == Some(true), option::EUID),
        (effective(rule.gid) == Some(false), option::GID),
        (effective(rule.gid) == Some(true), option::EGID),
        (rule.fowner.is_some(), option::FOWNER),
        (rule.fgroup.is_some(), option::FGROUP),
        (rule.pcr.is_some(), option::PCR),
        (rule.keyrings.is_some(), option::KEYRINGS),
        (rule.label.is_some(), option::LABEL),
        (rule.demands.signature, option::SIGNATURE),
        (rule.demands.modsig, option::MODSIG),
        (rule.demands.verity, option::VERITY),
        (rule.permit_directio, option::DIRECTIO),
        (rule.algos.is_some(), option::ALGOS),
    ];
    has.into_iter().filter(|(has, _)| *has).fold(0, |set, (_, bit)| set | bit)
}

/// What a hook takes.
const fn taken(func: Option<Func>) -> u32 {
    match func {
        None
        | Some(
            Func::FileCheck
            | Func::MmapCheck
            | Func::MmapCheckReqprot
            | Func::BprmCheck
            | Func::CredsCheck
            | Func::FirmwareCheck
            | Func::PolicyCheck,
        ) => option::FILES | option::VERITY,
        Some(Func::ModuleCheck | Func::KexecKernelCheck | Func::KexecInitramfsCheck) => option::FILES | option::MODSIG,
        Some(Func::KexecCmdline) => option::CONDITIONS,
        Some(Func::KeyCheck) => option::UID | option::GID | option::PCR | option::KEYRINGS,
        Some(Func::CriticalData) => option::UID | option::GID | option::PCR | option::LABEL,
        Some(Func::SetxattrCheck) => option::ALGOS,
    }
}

/// The hooks that take an option, which the name of its word begins.
pub(super) fn hooks_with(key: &str) -> impl Iterator<Item = Func> + use<> {
    let bit = option::NAMES.iter().position(|name| *name == key).map_or(0, |at| 1 << at);
    Func::ALL.into_iter().filter(move |&func| taken(Some(func)) & bit != 0)
}

/// The actions that go with a hook.
pub(super) fn actions_with(func: Func) -> &'static [Action] {
    match func {
        Func::KexecCmdline | Func::KeyCheck | Func::CriticalData => &[Action::Measure, Action::DontMeasure],
        Func::SetxattrCheck => &[Action::Appraise],
        _ => &Action::ALL,
    }
}

/// Checks a whole rule; the error comes with the beginning of the word that it is about.
pub(super) fn validate(rule: &Rule) -> Result<(), (Reason, &'static str)> {
    let options = options(rule);
    for (bit, key, wanted, action) in [
        (option::PCR, "pcr=", "measure", Action::Measure),
        (option::SIGNATURE, "appraise_type=", "appraise", Action::Appraise),
        (option::ALGOS, "appraise_algos=", "appraise", Action::Appraise),
    ] {
        if options & bit != 0 && rule.action != action {
            return Err((Reason::WrongAction { key, wanted }, key));
        }
    }
    if let Some(func) = rule.func.filter(|&func| !actions_with(func).contains(&rule.action)) {
        return Err((Reason::ActionNotForFunc { action: rule.action, func }, rule.action.name()));
    }
    let foreign = options & !taken(rule.func);
    if foreign != 0 {
        let key = option::NAMES[foreign.trailing_zeros() as usize];
        return Err((Reason::NotForFunc { key, func: rule.func }, key));
    }
    match rule.func {
        Some(Func::KeyCheck | Func::CriticalData) => {
            if let Some(condition) = rule.lsm.first() {
                let key = condition.field.name();
                return Err((Reason::NotForFunc { key, func: rule.func }, key));
            }
        }
        Some(Func::SetxattrCheck) if rule.algos.is_none() => {
            return Err((Reason::SetxattrWithoutAlgos, "func="));
        }
        _ => {}
    }
    if rule.action == Action::Appraise && rule.demands.verity && !rule.demands.signature {
        return Err((Reason::VerityWithoutSigv3, "digest_type="));
    }
    Ok(())
}

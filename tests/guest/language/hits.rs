//! Which words and which reasons for rejection lines at random have hit, and how often.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::generator::{ACTIONS, Dialect, OPTIONS};
use super::policy::error::{Reason, RuleError};
use super::policy::lex::{Line, LineKind};
use super::policy::profile::KernelProfile;
use super::policy::rule::{Func, HASH_NAMES, LsmField, Rule};

/// How often each word and each reason must be hit.
pub(super) const ENOUGH: usize = 20;

const MASKS: [&str; 8] = [
    "mask=MAY_EXEC",
    "mask=MAY_WRITE",
    "mask=MAY_READ",
    "mask=MAY_APPEND",
    "mask=^MAY_EXEC",
    "mask=^MAY_WRITE",
    "mask=^MAY_READ",
    "mask=^MAY_APPEND",
];
const TEMPLATES: [&str; 8] = [
    "template=ima",
    "template=ima-ng",
    "template=ima-sig",
    "template=ima-ngv2",
    "template=ima-sigv2",
    "template=ima-buf",
    "template=ima-modsig",
    "template=evm-sig",
];

/// The language that a kernel takes; with the conditions on labels that its security module takes.
pub(super) fn dialect(profile: &KernelProfile, labels: &[(&'static str, &'static str)]) -> Dialect {
    Dialect {
        modsig: profile.modsig,
        key_measurement: profile.key_measurement,
        hashes: profile.hashes.names().collect(),
        labels: labels.to_vec(),
        comments: profile.trailing_comments,
        fs_subtype: profile.fs_subtype,
        dont_audit: profile.dont_audit,
        sigv3_files: profile.sigv3_files,
    }
}

/// Lines in which a word stands: taken, refused.
#[derive(Clone, Copy, Default)]
struct Count {
    taken: usize,
    refused: usize,
}

/// The table of hits.
#[derive(Default)]
pub(super) struct Hits {
    words: BTreeMap<String, Count>,
    reasons: BTreeMap<String, usize>,
    lines: Count,
    nothing: usize,
}

impl Hits {
    /// Counts a line and what imad says to it.
    pub(super) fn count(&mut self, line: &Line<'_>, result: &Result<Option<Rule>, RuleError>) {
        let taken = result.is_ok();
        let add = |count: &mut Count| if taken { count.taken += 1 } else { count.refused += 1 };
        add(&mut self.lines);
        if let Err(error) = result {
            let hook = match error.reason {
                Reason::NotForFunc { func, .. } => Some(format!("NotForFunc func={}", func.map_or("none", Func::name))),
                _ => None,
            };
            for name in hook.into_iter().chain([reason_name(&error.reason)]) {
                *self.reasons.entry(name).or_default() += 1;
            }
        }
        if line.kind() != LineKind::Rule {
            self.nothing += 1;
            return;
        }
        let mut names: Vec<String> = Vec::new();
        for word in line.words() {
            let (key, value) = word.split();
            let (Ok(key), Ok(text)) = (str::from_utf8(key), str::from_utf8(word.text)) else { continue };
            let key_alone = value.is_some_and(|value| !value.is_empty()) || ["permit_directio"].contains(&key);
            if ACTIONS.contains(&text) || text == "dont_audit" || key_alone {
                names.push(key.to_owned());
            }
            match key {
                "func=" | "mask=" | "template=" | "appraise_type=" => names.push(text.to_owned()),
                "appraise_algos=" => {
                    let hashes = text[key.len()..].split(',');
                    names.extend(hashes.map(|hash| format!("{key}{hash}")));
                }
                _ => {}
            }
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            add(self.words.entry(name).or_default());
        }
    }

    pub(super) const fn lines(&self) -> usize {
        self.lines.taken + self.lines.refused
    }

    /// Share of lines that are taken, in percent.
    pub(super) const fn taken(&self) -> usize {
        self.lines.taken * 100 / if self.lines() == 0 { 1 } else { self.lines() }
    }

    /// Every word and reason that this kernel can be made to show, and how often it did; by it, whether that is too seldom.
    fn rows(&self, profile: &KernelProfile) -> Vec<(String, String, bool)> {
        let word = |(name, can_be_taken): (String, bool)| {
            let count = self.words.get(&name).copied().unwrap_or_default();
            let enough = if can_be_taken { count.taken } else { count.refused } >= ENOUGH;
            (name, format!("{:6} taken {:6} refused", count.taken, count.refused), !enough)
        };
        let reason = |name: String| {
            let count = self.reasons.get(&name).copied().unwrap_or_default();
            (format!("refused: {name}"), format!("{count:6}"), count < ENOUGH)
        };
        words(profile).into_iter().map(word).chain(reasons(profile).into_iter().map(reason)).collect()
    }

    /// What was hit too seldom.
    pub(super) fn lacking(&self, profile: &KernelProfile) -> Vec<String> {
        let seldom = self.rows(profile).into_iter().filter(|(_, _, seldom)| *seldom);
        seldom.map(|(name, count, _)| format!("{name}: {count}")).collect()
    }

    /// The table.
    pub(super) fn table(&self, profile: &KernelProfile) -> String {
        let mut table = String::new();
        for (name, count, _) in self.rows(profile) {
            writeln!(table, "{name:52} {count}").unwrap_or_default();
        }
        writeln!(
            table,
            "{} lines, {} ({} %) taken, {} of them without a rule",
            self.lines(),
            self.lines.taken,
            self.taken(),
            self.nothing
        )
        .unwrap_or_default();
        table
    }
}

/// Each word, and whether a rule with it can be good.
fn words(profile: &KernelProfile) -> Vec<(String, bool)> {
    let label = |key: &str| {
        let field = LsmField::ALL.into_iter().find(|field| field.name() == key);
        field.is_none_or(|field| profile.custom_active || profile.lsm.resolves(field, b"unconfined"))
    };
    let actions = ACTIONS.into_iter().map(|action| (action.to_owned(), true));
    let actions = actions.chain(profile.dont_audit.then(|| ("dont_audit".to_owned(), true)));
    let funcs = Func::ALL.into_iter().map(|func| (func.name(), func != Func::KeyCheck || profile.key_measurement));
    let funcs = funcs.chain(Func::ALIASES.into_iter().map(|(alias, _)| (alias, true)));
    let options = OPTIONS.into_iter().map(|key| {
        let taken = match key {
            "fs_subtype=" => profile.fs_subtype,
            "keyrings=" => profile.key_measurement,
            key => label(key),
        };
        (key.to_owned(), taken)
    });
    let types = [("imasig", true), ("imasig|modsig", profile.modsig), ("sigv3", true)];
    let hashes = (0..).zip(HASH_NAMES).map(|(number, name)| (name, profile.hashes.has(number)));
    let of = |key: &'static str| move |(value, taken): (&str, bool)| (format!("{key}{value}"), taken);
    actions
        .chain(funcs.map(of("func=")))
        .chain(options)
        .chain(types.into_iter().map(of("appraise_type=")))
        .chain(hashes.map(of("appraise_algos=")))
        .chain(MASKS.into_iter().chain(TEMPLATES).map(|word| (word.to_owned(), true)))
        .collect()
}

/// Each reason that this kernel can have.
fn reasons(profile: &KernelProfile) -> Vec<String> {
    let mut names: Vec<String> = [
        "UnknownWord",
        "EmptyValue",
        "SecondAction",
        "NoAction",
        "UnknownFunc",
        "UnknownMask",
        "NotANumber decimal",
        "NotANumber hexadecimal",
        "TooLarge",
        "NoSuchId",
        "NotAUuid",
        "NoSuchPcr",
        "UnknownTemplate",
        "TemplateWithoutMeasure",
        "UnknownDigestType",
        "UnknownAppraiseType",
        "SignatureWithVerity imasig",
        "UnknownHash",
        "EmptyItem label=",
        "SetxattrWithoutAlgos",
        "VerityWithoutSigv3",
        "SecondId uid",
        "SecondId gid",
        "WrongAction pcr=",
        "WrongAction appraise_type=",
        "WrongAction appraise_algos=",
    ]
    .map(str::to_owned)
    .to_vec();
    let twice = ["func=", "mask=", "fsmagic=", "fsuuid=", "fowner", "fgroup", "appraise_algos=", "template=", "label="];
    names.extend(twice.map(|key| format!("Twice {key}")));
    let foreign = [
        "mask=",
        "fsmagic=",
        "fsname=",
        "fsuuid=",
        "uid",
        "euid",
        "gid",
        "egid",
        "fowner",
        "fgroup",
        "label=",
        "appraise_type=",
        "digest_type=",
        "permit_directio",
    ];
    names.extend(foreign.map(|key| format!("NotForFunc {key}")));
    names.extend(["none"].map(|func| format!("NotForFunc func={func}")));
    for func in Func::ALL.into_iter().filter(|func| profile.key_measurement || *func != Func::KeyCheck) {
        names.push(format!("NotForFunc func={}", func.name()));
    }
    for func in ["KEXEC_CMDLINE", "CRITICAL_DATA", "SETXATTR_CHECK"] {
        names.push(format!("ActionNotForFunc {func}"));
    }
    let lsm_known = LsmField::ALL.into_iter().find(|&field| profile.lsm.resolves(field, b"unconfined"));
    let conditional: [(bool, &[&str]); 9] = [
        (
            profile.key_measurement,
            &["EmptyItem keyrings=", "Twice keyrings=", "NotForFunc keyrings=", "ActionNotForFunc KEY_CHECK"],
        ),
        (!profile.key_measurement, &["FuncNotBuilt", "KeyringsNotBuilt"]),
        (profile.modsig, &["NotForFunc appraise_type=imasig|modsig", "SignatureWithVerity imasig|modsig"]),
        (!profile.modsig, &["ModsigNotBuilt"]),
        (!profile.sigv3_files, &["Sigv3WithoutVerity", "DigestTypeTooLate"]),
        (profile.sigv3_files && profile.modsig, &["ModsigAfterSigv3"]),
        (profile.fs_subtype, &["Twice fs_subtype=", "NotForFunc fs_subtype="]),
        (HASH_NAMES.len() > profile.hashes.names().count(), &["UnavailableHash"]),
        (!profile.custom_active, &["UnknownLabel"]),
    ];
    for (_, more) in conditional.iter().filter(|(can_be, _)| *can_be) {
        names.extend(more.iter().map(|name| (*name).to_owned()));
    }
    if let Some(field) = lsm_known {
        names.push(format!("Twice {}", field.name()));
    }
    if lsm_known.is_some() || profile.custom_active {
        names.push("NotForFunc label condition".to_owned());
    }
    names
}

/// A reason's name, with what of it is worth being told apart.
fn reason_name(reason: &Reason) -> String {
    let name = match reason {
        Reason::UnknownWord(_) => "UnknownWord",
        Reason::EmptyValue(_) => "EmptyValue",
        Reason::SecondAction(_) => "SecondAction",
        Reason::NoAction => "NoAction",
        Reason::Twice(key) => return format!("Twice {key}"),
        Reason::SecondId(key) => return format!("SecondId {key}"),
        Reason::UnknownFunc(_) => "UnknownFunc",
        Reason::FuncNotBuilt(_) => "FuncNotBuilt",
        Reason::UnknownMask(_) => "UnknownMask",
        Reason::NotANumber { base, .. } => return format!("NotANumber {base}"),
        Reason::TooLarge(_) => "TooLarge",
        Reason::NoSuchId(_) => "NoSuchId",
        Reason::NotAUuid(_) => "NotAUuid",
        Reason::NoSuchPcr { .. } => "NoSuchPcr",
        Reason::UnknownTemplate(_) => "UnknownTemplate",
        Reason::TemplateWithoutMeasure => "TemplateWithoutMeasure",
        Reason::UnknownDigestType(_) => "UnknownDigestType",
        Reason::DigestTypeTooLate => "DigestTypeTooLate",
        Reason::UnknownAppraiseType(_) => "UnknownAppraiseType",
        Reason::SignatureWithVerity(kind) => return format!("SignatureWithVerity {kind}"),
        Reason::Sigv3WithoutVerity => "Sigv3WithoutVerity",
        Reason::ModsigAfterSigv3 => "ModsigAfterSigv3",
        Reason::ModsigNotBuilt => "ModsigNotBuilt",
        Reason::UnknownHash(_) => "UnknownHash",
        Reason::UnavailableHash(_) => "UnavailableHash",
        Reason::EmptyItem(key) => return format!("EmptyItem {key}"),
        Reason::KeyringsNotBuilt => "KeyringsNotBuilt",
        Reason::UnknownLabel(_) => "UnknownLabel",
        Reason::WrongAction { key, .. } => return format!("WrongAction {key}"),
        Reason::NotForFunc { key, .. } if key.starts_with("obj_") || key.starts_with("subj_") => {
            "NotForFunc label condition"
        }
        Reason::NotForFunc { key, .. } => return format!("NotForFunc {key}"),
        Reason::ActionNotForFunc { func, .. } => return format!("ActionNotForFunc {}", func.name()),
        Reason::SetxattrWithoutAlgos => "SetxattrWithoutAlgos",
        Reason::VerityWithoutSigv3 => "VerityWithoutSigv3",
    };
    name.to_owned()
}

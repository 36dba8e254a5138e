//! Bytes to rules: takes what the kernel takes and refuses what it refuses, with its errno
//! (`ima_policy.c: ima_parse_rule()`, `ima_fs.c: ima_read_policy()`).
#![forbid(unsafe_code)]

use std::ops::Range;

use super::error::{Errno, KEYS, Reason, RuleError};
use super::lex::{Line, LineEnd, LineKind, Word, lines};
use super::profile::KernelProfile;
use super::rule::{
    Action, Comparison, Func, HASH_NAMES, HashSet, IdCondition, LsmCondition, LsmField, Mask, MaskCondition,
    OwnerCondition, Rule, Text, hash_number,
};
use super::validate::validate;

/// The kernel's templates: name and format (`ima_template.c: builtin_templates[]`).
pub const TEMPLATES: [(&str, &str); 8] = [
    ("ima", "d|n"),
    ("ima-ng", "d-ng|n-ng"),
    ("ima-sig", "d-ng|n-ng|sig"),
    ("ima-ngv2", "d-ngv2|n-ng"),
    ("ima-sigv2", "d-ngv2|n-ng|sig"),
    ("ima-buf", "d-ng|n-ng|buf"),
    ("ima-modsig", "d-ng|n-ng|sig|d-modsig|modsig"),
    ("evm-sig", "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode"),
];

/// The user and group ids that no one has (`INVALID_UID`).
const NO_ID: u32 = u32::MAX;

/// A policy file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Its rules that are fit to be loaded.
    pub rules: Vec<PlacedRule>,
    /// What keeps it from being loaded, in the file's order.
    pub faults: Vec<Fault>,
}

/// A rule and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRule {
    /// Number of the line, from 1.
    pub line: usize,
    /// The rule.
    pub rule: Rule,
}

/// What keeps a policy from being loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Number of the line, from 1.
    pub line: usize,
    /// Where in the line, in bytes.
    pub span: Range<usize>,
    /// What.
    pub kind: FaultKind,
}

/// Kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// A rule that the kernel does not take.
    #[error("{0}")]
    Rule(Reason),
    /// `kernel_read_file()` refuses empty files.
    #[error("the file is empty")]
    Empty,
    /// The parser would read beyond the buffer.
    #[error("the last line has no newline at its end, and the kernel reads beyond it")]
    NoFinalNewline,
    /// What comes after a NUL is not read.
    #[error("a NUL byte ends the policy here, and the kernel drops it whole")]
    Nul,
    /// The load fails at close.
    #[error("there is no rule in it")]
    NoRules,
}

/// What the kernel says to a load by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The rules become active at close.
    Accepted,
    /// The write fails.
    Refused(Errno),
    /// The write succeeds, close drops the load: `ima: policy update failed`.
    NoRules,
}

impl FaultKind {
    /// What is allowed instead.
    pub fn help(&self) -> String {
        match self {
            Self::Rule(reason) => reason.help(),
            Self::NoFinalNewline => "end the last line with a newline".to_owned(),
            Self::Nul => "take the byte out".to_owned(),
            Self::Empty | Self::NoRules => "a policy holds at least one rule".to_owned(),
        }
    }
}

impl Policy {
    /// What the kernel says.
    pub fn verdict(&self) -> Verdict {
        match self.faults.first().map(|fault| &fault.kind) {
            None => Verdict::Accepted,
            Some(FaultKind::NoRules) => Verdict::NoRules,
            Some(FaultKind::Rule(Reason::TooLarge(_))) => Verdict::Refused(Errno::Range),
            Some(_) => Verdict::Refused(Errno::Invalid),
        }
    }
}

/// Reads a policy file as the kernel does when it is loaded by path, except that it goes on after a fault.
pub fn parse(bytes: &[u8], profile: &KernelProfile) -> Policy {
    let mut policy = Policy::default();
    let mut last = None;
    for line in lines(bytes) {
        match parse_line(&line, profile) {
            Ok(None) => {}
            Ok(Some(rule)) => policy.rules.push(PlacedRule { line: line.number, rule }),
            Err(error) => {
                policy.faults.push(Fault { line: line.number, span: error.span, kind: FaultKind::Rule(error.reason) });
            }
        }
        let beyond = line.offset + line.bytes.len() + 1;
        let end = line.bytes.len()..line.bytes.len();
        match line.end {
            LineEnd::Nul if beyond < bytes.len() => {
                policy.faults.push(Fault { line: line.number, span: end, kind: FaultKind::Nul });
                return policy;
            }
            LineEnd::Nothing => {
                policy.faults.push(Fault { line: line.number, span: end, kind: FaultKind::NoFinalNewline });
            }
            LineEnd::Newline | LineEnd::Nul => {}
        }
        last = Some(line.number);
    }
    match last {
        None => policy.faults.push(Fault { line: 1, span: 0..0, kind: FaultKind::Empty }),
        Some(line) if policy.rules.is_empty() && policy.faults.is_empty() => {
            policy.faults.push(Fault { line, span: 0..0, kind: FaultKind::NoRules });
        }
        Some(_) => {}
    }
    policy
}

/// Reads one line; `None` for an empty one or a comment.
pub fn parse_line(line: &Line<'_>, profile: &KernelProfile) -> Result<Option<Rule>, RuleError> {
    if line.kind() != LineKind::Rule {
        return Ok(None);
    }
    let mut draft = Draft::new();
    for word in line.words() {
        if profile.trailing_comments && word.text.starts_with(b"#") {
            break;
        }
        draft.word(&word, profile)?;
    }
    match draft.finish() {
        Ok(rule) => Ok(Some(rule)),
        Err((reason, key)) => Err(RuleError { reason, span: place(line, key) }),
    }
}

/// Where a key's last word stands in a line; the whole rule where it does not.
pub(super) fn place(line: &Line<'_>, key: &str) -> Range<usize> {
    let is_meant = |word: &Word<'_>| match word.text.strip_prefix(key.as_bytes()) {
        Some([]) => true,
        Some([next, ..]) => key.contains('=') || b"=<>".contains(next),
        None => false,
    };
    let words = line.words().take_while(|word| !word.text.starts_with(b"#"));
    let found = words.filter(|word| !key.is_empty() && is_meant(word)).last();
    found.map_or_else(
        || {
            let start = line.words().next().map_or(0, |word| word.start);
            start..line.bytes.trim_ascii_end().len().max(start)
        },
        |word| word.span(),
    )
}

/// A rule on its way: what `struct ima_rule_entry` holds while its words are read.
struct Draft {
    action: Option<Action>,
    rule: Rule,
}

impl Draft {
    const fn new() -> Self {
        Self { action: None, rule: Rule::new(Action::Measure) }
    }

    fn finish(mut self) -> Result<Rule, (Reason, &'static str)> {
        self.rule.action = self.action.ok_or((Reason::NoAction, ""))?;
        validate(&self.rule)?;
        Ok(self.rule)
    }

    fn word(&mut self, word: &Word<'_>, profile: &KernelProfile) -> Result<(), RuleError> {
        let (key, value) = word.split();
        let (result, span) = match value {
            None => (self.plain(word.text, profile), word.span()),
            Some([]) => {
                let known = KEYS.iter().chain(&["label=", "appraise_flag="]).any(|known| known.as_bytes() == key);
                let reason = if known { Reason::EmptyValue } else { Reason::UnknownWord };
                (Err(reason(lossy(word.text))), word.span())
            }
            Some(value) => {
                let span = word.start + key.len()..word.span().end;
                match self.option(key, value, profile) {
                    Err(reason @ (Reason::UnknownWord(_) | Reason::Twice(_) | Reason::SecondId(_))) => {
                        (Err(reason), word.span())
                    }
                    result => (result, span),
                }
            }
        };
        result.map_err(|reason| RuleError { reason, span })
    }

    fn plain(&mut self, text: &[u8], profile: &KernelProfile) -> Result<(), Reason> {
        if text == b"permit_directio" {
            self.rule.permit_directio = true;
            return Ok(());
        }
        let action = Action::ALL.into_iter().find(|action| action.name().as_bytes() == text);
        let action = action.filter(|&action| action != Action::DontAudit || profile.dont_audit);
        let action = action.ok_or_else(|| Reason::UnknownWord(lossy(text)))?;
        match self.action.replace(action) {
            None => Ok(()),
            Some(_) => Err(Reason::SecondAction(action.name())),
        }
    }

    fn option(&mut self, key: &[u8], value: &[u8], profile: &KernelProfile) -> Result<(), Reason> {
        let rule = &mut self.rule;
        match key {
            b"func=" => {
                once(rule.func.is_some(), "func=")?;
                rule.func = Some(func(value, profile)?);
            }
            b"mask=" => {
                once(rule.mask.is_some(), "mask=")?;
                rule.mask = Some(mask(value)?);
            }
            b"fsmagic=" => {
                // The kernel asks whether the number is there by asking whether it is zero.
                once(rule.fsmagic.is_some_and(|magic| magic != 0), "fsmagic=")?;
                rule.fsmagic = Some(number(value, 16)?);
            }
            b"fsname=" => rule.fsname = Some(value.to_vec()),
            b"fs_subtype=" if profile.fs_subtype => {
                once(rule.fs_subtype.is_some(), "fs_subtype=")?;
                rule.fs_subtype = Some(value.to_vec());
            }
            b"fsuuid=" => {
                once(rule.fsuuid.is_some_and(|uuid| uuid != [0; 16]), "fsuuid=")?;
                rule.fsuuid = Some(uuid(value).ok_or_else(|| Reason::NotAUuid(lossy(value)))?);
            }
            b"uid=" | b"uid>" | b"uid<" | b"euid=" | b"euid>" | b"euid<" => {
                rule.uid = Some(id(rule.uid, "uid", key, value)?);
            }
            b"gid=" | b"gid>" | b"gid<" | b"egid=" | b"egid>" | b"egid<" => {
                rule.gid = Some(id(rule.gid, "gid", key, value)?);
            }
            b"fowner=" | b"fowner>" | b"fowner<" => {
                rule.fowner = Some(owner(rule.fowner.is_some(), "fowner", key, value)?);
            }
            b"fgroup=" | b"fgroup>" | b"fgroup<" => {
                rule.fgroup = Some(owner(rule.fgroup.is_some(), "fgroup", key, value)?);
            }
            b"digest_type=" => self.digest_type(value, profile)?,
            b"appraise_type=" => self.appraise_type(value, profile)?,
            b"appraise_flag=" => {}
            b"appraise_algos=" => {
                once(rule.algos.is_some(), "appraise_algos=")?;
                rule.algos = Some(algos(value, profile)?);
            }
            b"pcr=" => rule.pcr = Some(pcr(value, profile)?),
            b"template=" => self.template(value, profile)?,
            b"keyrings=" => {
                if !profile.key_measurement {
                    return Err(Reason::KeyringsNotBuilt);
                }
                once(rule.keyrings.is_some(), "keyrings=")?;
                rule.keyrings = Some(list(value, "keyrings=")?);
            }
            b"label=" => {
                once(rule.label.is_some(), "label=")?;
                rule.label = Some(list(value, "label=")?);
            }
            _ => match LsmField::ALL.into_iter().find(|field| field.name().as_bytes() == key) {
                Some(field) => self.lsm(field, value, profile)?,
                None => return Err(Reason::UnknownWord(lossy(&[key, value].concat()))),
            },
        }
        Ok(())
    }

    fn digest_type(&mut self, value: &[u8], profile: &KernelProfile) -> Result<(), Reason> {
        if self.rule.demands.signature && !profile.sigv3_files {
            return Err(Reason::DigestTypeTooLate);
        }
        if value != b"verity" {
            return Err(Reason::UnknownDigestType(lossy(value)));
        }
        self.rule.demands.verity = true;
        Ok(())
    }

    fn appraise_type(&mut self, value: &[u8], profile: &KernelProfile) -> Result<(), Reason> {
        let demands = &mut self.rule.demands;
        match value {
            b"imasig" if demands.verity => return Err(Reason::SignatureWithVerity("imasig")),
            b"imasig" => {}
            b"sigv3" if demands.verity || profile.sigv3_files => demands.sigv3 = true,
            b"sigv3" => return Err(Reason::Sigv3WithoutVerity),
            b"imasig|modsig" if !profile.modsig => return Err(Reason::ModsigNotBuilt),
            b"imasig|modsig" if demands.verity => return Err(Reason::SignatureWithVerity("imasig|modsig")),
            b"imasig|modsig" if demands.sigv3 => return Err(Reason::ModsigAfterSigv3),
            b"imasig|modsig" => demands.modsig = true,
            _ => return Err(Reason::UnknownAppraiseType(lossy(value))),
        }
        demands.signature = true;
        Ok(())
    }

    fn template(&mut self, value: &[u8], profile: &KernelProfile) -> Result<(), Reason> {
        if self.action != Some(Action::Measure) {
            return Err(Reason::TemplateWithoutMeasure);
        }
        let built_in = TEMPLATES.iter().find(|(name, format)| name.as_bytes() == value || format.as_bytes() == value);
        let custom = profile.custom_template.as_deref() == Some(value);
        let name = match built_in {
            Some((name, _)) => name.as_bytes().to_vec(),
            None if custom => value.to_vec(),
            None => return Err(Reason::UnknownTemplate(lossy(value))),
        };
        once(self.rule.template.is_some(), "template=")?;
        self.rule.template = Some(name);
        Ok(())
    }

    fn lsm(&mut self, field: LsmField, value: &[u8], profile: &KernelProfile) -> Result<(), Reason> {
        let conditions = &mut self.rule.lsm;
        let at = conditions.partition_point(|condition| condition.field < field);
        let known = conditions.get(at).filter(|condition| condition.field == field);
        once(known.is_some_and(|condition| condition.resolved), field.name())?;
        let resolved = profile.lsm.resolves(field, value);
        if !resolved && !profile.custom_active {
            return Err(Reason::UnknownLabel(lossy(value)));
        }
        let condition = LsmCondition { field, value: value.to_vec(), resolved };
        if known.is_some() {
            conditions[at] = condition;
        } else {
            conditions.insert(at, condition);
        }
        Ok(())
    }
}

const fn once(is_there: bool, key: &'static str) -> Result<(), Reason> {
    if is_there { Err(Reason::Twice(key)) } else { Ok(()) }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn func(value: &[u8], profile: &KernelProfile) -> Result<Func, Reason> {
    match Func::from_name(value) {
        Some(Func::KeyCheck) if !profile.key_measurement => Err(Reason::FuncNotBuilt(Func::KeyCheck.name())),
        Some(func) => Ok(func),
        None => Err(Reason::UnknownFunc(lossy(value))),
    }
}

fn mask(value: &[u8]) -> Result<MaskCondition, Reason> {
    let (name, among) = value.strip_prefix(b"^").map_or((value, false), |name| (name, true));
    let mask = Mask::ALL.into_iter().find(|mask| mask.name().as_bytes() == name);
    mask.map(|mask| MaskCondition { mask, among }).ok_or_else(|| Reason::UnknownMask(lossy(value)))
}

/// `kstrtoul()`: an optional plus, in base 16 an optional `0x`, digits, nothing else. A number that does not fit is told
/// before what follows it.
fn number(value: &[u8], base: u32) -> Result<u64, Reason> {
    let digits = value.strip_prefix(b"+").unwrap_or(value);
    magnitude(digits, base).map_err(|error| match error {
        NumberError::TooLarge => Reason::TooLarge(lossy(value)),
        NumberError::NotANumber => {
            Reason::NotANumber { value: lossy(value), base: if base == 16 { "hexadecimal" } else { "decimal" } }
        }
    })
}

enum NumberError {
    NotANumber,
    TooLarge,
}

fn magnitude(text: &[u8], base: u32) -> Result<u64, NumberError> {
    let prefixed = base == 16 && matches!(text, [b'0', b'x' | b'X', ..]);
    let text = if prefixed { &text[2..] } else { text };
    let mut number = Some(0_u64);
    let mut count = 0;
    for digit in text.iter().map_while(|&byte| char::from(byte).to_digit(base)) {
        number = number.and_then(|number| number.checked_mul(base.into())?.checked_add(digit.into()));
        count += 1;
    }
    match number {
        None => Err(NumberError::TooLarge),
        Some(number) if count > 0 && count == text.len() => Ok(number),
        Some(_) => Err(NumberError::NotANumber),
    }
}

/// `kstrtoint()`, whose every error is EINVAL here.
fn pcr(value: &[u8], profile: &KernelProfile) -> Result<u8, Reason> {
    let number = match value.strip_prefix(b"-") {
        // Minus zero is zero.
        Some(digits) => magnitude(digits, 10).ok().filter(|&number| number == 0),
        None => number(value, 10).ok(),
    };
    let number = number.and_then(|number| u8::try_from(number).ok()).filter(|&number| number < profile.pcrs);
    number.ok_or_else(|| Reason::NoSuchPcr { value: lossy(value), last: profile.pcrs - 1 })
}

fn comparison(key: &[u8]) -> Comparison {
    match key.last() {
        Some(b'>') => Comparison::Greater,
        Some(b'<') => Comparison::Less,
        _ => Comparison::Equal,
    }
}

fn user_or_group(value: &[u8]) -> Result<u32, Reason> {
    let id = u32::try_from(number(value, 10)?).ok().filter(|&id| id != NO_ID);
    id.ok_or_else(|| Reason::NoSuchId(lossy(value)))
}

fn id(there: Option<IdCondition>, name: &'static str, key: &[u8], value: &[u8]) -> Result<IdCondition, Reason> {
    if there.is_some() {
        return Err(Reason::SecondId(name));
    }
    Ok(IdCondition { effective: key.starts_with(b"e"), comparison: comparison(key), id: user_or_group(value)? })
}

fn owner(is_there: bool, name: &'static str, key: &[u8], value: &[u8]) -> Result<OwnerCondition, Reason> {
    once(is_there, name)?;
    Ok(OwnerCondition { comparison: comparison(key), id: user_or_group(value)? })
}

/// `uuid_parse()`: looks at 36 characters and at nothing after them.
fn uuid(value: &[u8]) -> Option<[u8; 16]> {
    let text = value.get(..36)?;
    let mut uuid = [0; 16];
    let mut nibbles = 0;
    for (at, &byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let nibble = u8::try_from(char::from(byte).to_digit(16)?).ok()?;
        uuid[nibbles / 2] |= if nibbles % 2 == 0 { nibble << 4 } else { nibble };
        nibbles += 1;
    }
    Some(uuid)
}

fn algos(value: &[u8], profile: &KernelProfile) -> Result<HashSet, Reason> {
    let mut set = HashSet::default();
    for name in value.split(|&byte| byte == b',') {
        let number = hash_number(name).ok_or_else(|| Reason::UnknownHash(lossy(name)))?;
        if !profile.hashes.has(number) {
            return Err(Reason::UnavailableHash(HASH_NAMES[usize::from(number)]));
        }
        set.0 |= 1 << number;
    }
    Ok(set)
}

fn list(value: &[u8], key: &'static str) -> Result<Vec<Text>, Reason> {
    let items: Vec<Text> = value.split(|&byte| byte == b'|').map(<[u8]>::to_vec).collect();
    if items.iter().any(Vec::is_empty) { Err(Reason::EmptyItem(key)) } else { Ok(items) }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;

//! Why the kernel does not take a rule, in words: what is wrong, where, what is allowed there.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Range;

use super::rule::{Action, Func, HASH_NAMES, Mask};

/// The errno that the write of a policy returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Errno {
    /// `EINVAL`, 22.
    Invalid,
    /// `ERANGE`, 34: a number that fits no 64 bits.
    Range,
}

impl Errno {
    /// The number.
    pub const fn number(self) -> i32 {
        match self {
            Self::Invalid => 22,
            Self::Range => 34,
        }
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "EINVAL",
            Self::Range => "ERANGE",
        }
    }
}

/// A word that a rule may carry once, or only with others.
pub type Key = &'static str;

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Not a word of the language.
    #[error("unknown word `{0}`")]
    UnknownWord(String),
    /// A key with nothing after its operator.
    #[error("`{0}` has no value")]
    EmptyValue(String),
    /// A second action.
    #[error("`{0}` is a second action; a rule has one")]
    SecondAction(&'static str),
    /// A rule without action.
    #[error("the rule has no action")]
    NoAction,
    /// A key that may stand once.
    #[error("`{0}` stands twice")]
    Twice(Key),
    /// `uid` beside `euid`, `gid` beside `egid`.
    #[error("a rule has one of `{0}` and `e{0}`, once")]
    SecondId(Key),
    /// Not a hook.
    #[error("unknown hook `{0}`")]
    UnknownFunc(String),
    /// A hook that this kernel was built without.
    #[error("this kernel was built without `func={0}` (CONFIG_IMA_MEASURE_ASYMMETRIC_KEYS)")]
    FuncNotBuilt(&'static str),
    /// Not a mask.
    #[error("unknown access `{0}`")]
    UnknownMask(String),
    /// Not a number of the key's base.
    #[error("`{value}` is not a {base} number")]
    NotANumber {
        /// What stands there.
        value: String,
        /// `decimal` or `hexadecimal`.
        base: &'static str,
    },
    /// More than 64 bits.
    #[error("`{0}` does not fit into 64 bits")]
    TooLarge(String),
    /// An id above 4294967294.
    #[error("`{0}` is no user or group id: they end at 4294967294")]
    NoSuchId(String),
    /// Not a UUID.
    #[error("`{0}` does not begin with a UUID (8-4-4-4-12 hexadecimal digits)")]
    NotAUuid(String),
    /// PCR out of range.
    #[error("`{value}` is no PCR from 0 to {last}")]
    NoSuchPcr {
        /// What stands there.
        value: String,
        /// The last that the kernel takes.
        last: u8,
    },
    /// Neither a template's name nor a format.
    #[error("unknown template `{0}`")]
    UnknownTemplate(String),
    /// `template=` before or without `measure`.
    #[error("`template=` stands after `measure`, and only there")]
    TemplateWithoutMeasure,
    /// The kernel does not know `digest_type=`'s value.
    #[error("unknown digest type `{0}`")]
    UnknownDigestType(String),
    /// `digest_type=` after `appraise_type=`.
    #[error("`digest_type=` stands before `appraise_type=`")]
    DigestTypeTooLate,
    /// The kernel does not know `appraise_type=`'s value.
    #[error("unknown appraisal type `{0}`")]
    UnknownAppraiseType(String),
    /// `imasig` with `digest_type=verity`.
    #[error("`appraise_type={0}` does not go with `digest_type=verity`")]
    SignatureWithVerity(&'static str),
    /// `sigv3` without `digest_type=verity`.
    #[error("`appraise_type=sigv3` needs `digest_type=verity` before it")]
    Sigv3WithoutVerity,
    /// `modsig` after `sigv3` (Linux 7.1; before, there is no `sigv3` without `digest_type=verity`).
    #[error("`appraise_type=imasig|modsig` does not stand after `appraise_type=sigv3`")]
    ModsigAfterSigv3,
    /// `modsig` on a kernel without.
    #[error("this kernel was built without `imasig|modsig` (CONFIG_IMA_APPRAISE_MODSIG)")]
    ModsigNotBuilt,
    /// Not a hash algorithm.
    #[error("unknown hash algorithm `{0}`")]
    UnknownHash(String),
    /// A hash algorithm that the kernel lacks.
    #[error("this kernel cannot compute `{0}`")]
    UnavailableHash(&'static str),
    /// An empty item between `|`.
    #[error("an item of `{0}` is empty")]
    EmptyItem(Key),
    /// `keyrings=` on a kernel without.
    #[error("this kernel was built without `keyrings=` (CONFIG_IMA_MEASURE_ASYMMETRIC_KEYS)")]
    KeyringsNotBuilt,
    /// A label condition that no security module knows.
    #[error("no security module knows `{0}`")]
    UnknownLabel(String),
    /// An option that goes with another action.
    #[error("`{key}` goes with `{wanted}` only")]
    WrongAction {
        /// The option.
        key: Key,
        /// The action that it needs.
        wanted: &'static str,
    },
    /// An option that the hook does not take.
    #[error("`{key}` does not go with `{}`", Hook(*func))]
    NotForFunc {
        /// The option.
        key: Key,
        /// The hook.
        func: Option<Func>,
    },
    /// An action that the hook does not take.
    #[error("`{}` does not go with `func={}`", action.name(), func.name())]
    ActionNotForFunc {
        /// The action.
        action: Action,
        /// The hook.
        func: Func,
    },
    /// `func=SETXATTR_CHECK` without `appraise_algos=`.
    #[error("`func=SETXATTR_CHECK` needs `appraise_algos=`")]
    SetxattrWithoutAlgos,
    /// `appraise digest_type=verity` without `sigv3`.
    #[error("`appraise` with `digest_type=verity` needs `appraise_type=sigv3`")]
    VerityWithoutSigv3,
}

struct Hook(Option<Func>);

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(func) => write!(f, "func={}", func.name()),
            None => f.write_str("a rule without func="),
        }
    }
}

/// A rule that the kernel does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// What is wrong.
    pub reason: Reason,
    /// Where, in bytes of the line.
    pub span: Range<usize>,
}

impl RuleError {
    /// What the kernel's write returns.
    pub const fn errno(&self) -> Errno {
        match self.reason {
            Reason::TooLarge(_) => Errno::Range,
            _ => Errno::Invalid,
        }
    }
}

/// The keys that a rule may hold, with their operators.
pub const KEYS: [&str; 36] = [
    "func=",
    "mask=",
    "fsmagic=",
    "fsname=",
    "fs_subtype=",
    "fsuuid=",
    "uid=",
    "uid>",
    "uid<",
    "euid=",
    "euid>",
    "euid<",
    "gid=",
    "gid>",
    "gid<",
    "egid=",
    "egid>",
    "egid<",
    "fowner=",
    "fowner>",
    "fowner<",
    "fgroup=",
    "fgroup>",
    "fgroup<",
    "obj_user=",
    "obj_role=",
    "obj_type=",
    "subj_user=",
    "subj_role=",
    "subj_type=",
    "appraise_type=",
    "appraise_algos=",
    "digest_type=",
    "pcr=",
    "template=",
    "keyrings=",
];

impl Reason {
    /// What is allowed there, and the nearest word where one is near.
    pub fn help(&self) -> String {
        let actions = || Action::ALL.map(Action::name).into_iter();
        let funcs = || Func::ALL.map(Func::name).into_iter();
        match self {
            Self::UnknownWord(word) => unknown_word(word),
            Self::NoAction => format!("begin with one of {}", join(actions())),
            Self::UnknownFunc(name) => nearest(name, funcs()).map_or_else(
                || format!("hooks: {}", join(funcs())),
                |near| format!("did you mean `{near}`? Hooks: {}", join(funcs())),
            ),
            Self::UnknownMask(name) => {
                let masks = || Mask::ALL.map(Mask::name).into_iter();
                nearest(name, masks()).map_or_else(
                    || format!("accesses: {}, each with or without `^`", join(masks())),
                    |near| format!("did you mean `{near}`?"),
                )
            }
            Self::UnknownHash(name) => nearest(name, HASH_NAMES.into_iter()).map_or_else(
                || format!("algorithms: {}", join(HASH_NAMES.into_iter())),
                |near| format!("did you mean `{near}`?"),
            ),
            Self::UnknownTemplate(name) => {
                let names = super::parse::TEMPLATES.map(|(name, _)| name);
                nearest(name, names.into_iter()).map_or_else(
                    || format!("templates: {}", join(names.into_iter())),
                    |near| format!("did you mean `{near}`?"),
                )
            }
            Self::UnknownDigestType(_) => "the only digest type is `verity`".to_owned(),
            Self::UnknownAppraiseType(_) => "appraisal types: `imasig`, `imasig|modsig`, `sigv3`".to_owned(),
            Self::NotANumber { value, base } => {
                let hexadecimal = value.strip_prefix("0x").filter(|_| *base == "decimal");
                match hexadecimal.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                    Some(number) => format!("write it in decimal: `{number}`"),
                    None if *base == "decimal" => "digits from 0 to 9, nothing else".to_owned(),
                    None => "digits from 0 to 9 and a to f, with or without `0x` before them".to_owned(),
                }
            }
            Self::EmptyValue(key) => match value_of(key) {
                Some(value) => format!("write {value} behind it, without a blank"),
                None => "write its value behind it, without a blank".to_owned(),
            },
            Self::TooLarge(_) => "ids end at 4294967294, magic numbers at 0xffffffffffffffff".to_owned(),
            Self::NoSuchId(_) => "write an id from 0 to 4294967294".to_owned(),
            Self::NotAUuid(_) => "`findmnt -no UUID -T FILE` tells a file system's UUID".to_owned(),
            Self::NoSuchPcr { last, .. } => format!("write a number from 0 to {last}, of which 0 to 31 are of use"),
            Self::FuncNotBuilt(_) | Self::KeyringsNotBuilt => {
                "take the rule out, or judge for another kernel by `--kernel-config`".to_owned()
            }
            Self::ModsigNotBuilt => "`appraise_type=imasig` asks for a signature in the file's label alone".to_owned(),
            Self::DigestTypeTooLate => "put it before `appraise_type=`".to_owned(),
            Self::SignatureWithVerity(_) => "`appraise_type=sigv3` goes with it".to_owned(),
            Self::EmptyItem(key) => format!("put names between the bars, as in `{key}a|b`"),
            Self::WrongAction { key, wanted } => format!("leave `{key}` out, or make it a rule that says `{wanted}`"),
            Self::NotForFunc { key, .. } => {
                let hooks = join(super::validate::hooks_with(key).map(Func::name));
                if hooks.is_empty() { format!("leave `{key}` out") } else { format!("`{key}` goes with {hooks}") }
            }
            Self::ActionNotForFunc { func, .. } => {
                format!("with it go {}", join(super::validate::actions_with(*func).iter().map(|action| action.name())))
            }
            Self::SetxattrWithoutAlgos => {
                "name the algorithms that labels may be made with: `appraise_algos=sha256,sha512`".to_owned()
            }
            Self::VerityWithoutSigv3 => "add `appraise_type=sigv3` behind it".to_owned(),
            Self::UnavailableHash(_) => "the kernel needs the algorithm built in or as a module".to_owned(),
            Self::UnknownLabel(_) => {
                "label conditions can be loaded only after the security module's own policy, so not from the initramfs"
                    .to_owned()
            }
            Self::TemplateWithoutMeasure => "put `measure` first".to_owned(),
            Self::SecondId(_) | Self::Twice(_) | Self::SecondAction(_) | Self::ModsigAfterSigv3 => {
                "write two rules".to_owned()
            }
            Self::Sigv3WithoutVerity => "`appraise digest_type=verity appraise_type=sigv3`".to_owned(),
        }
    }
}

fn unknown_word(word: &str) -> String {
    if word == "\\" {
        return "a rule cannot go on in the next line".to_owned();
    }
    if word.starts_with('#') {
        return "this kernel takes comments only on lines of their own".to_owned();
    }
    if word.ends_with('\r') {
        return "the line ends in a carriage return; save the file with Unix line ends".to_owned();
    }
    let plain = ["permit_directio", "label=", "appraise_flag="];
    let words = || Action::ALL.map(Action::name).into_iter().chain(KEYS).chain(plain);
    let key = word.find(['=', '<', '>']).map_or(word, |at| &word[..=at]);
    match nearest(key, words()) {
        // The word is known, but not to this kernel, or not with a value.
        Some(near) if near == key => "this kernel does not know the word".to_owned(),
        Some("permit_directio") if key == "permit_directio=" => "write `permit_directio`, without a value".to_owned(),
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("words: {}", join(words().filter(|word| !word.ends_with(['<', '>'])))),
    }
}

/// What stands behind a key.
fn value_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "func=" => "a hook",
        "mask=" => "an access",
        "fsmagic=" => "a hexadecimal number",
        "fsname=" | "fs_subtype=" => "the name of a file system's type",
        "fsuuid=" => "a UUID",
        "appraise_type=" => "`imasig`, `imasig|modsig` or `sigv3`",
        "appraise_algos=" => "hash algorithms, with commas between them",
        "digest_type=" => "`verity`",
        "pcr=" => "a number",
        "template=" => "a template",
        "keyrings=" => "names of keyrings, with bars between them",
        "label=" => "names of data, with bars between them",
        key if key.starts_with("obj_") || key.starts_with("subj_") => "a label",
        key if key.trim_start_matches('e').starts_with(['u', 'g', 'f']) => "a decimal number",
        _ => return None,
    })
}

/// Words above this length are near to none, and comparing them would take time and memory by their length.
const LONGEST: usize = 64;

fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if word.len() > LONGEST {
        return None;
    }
    let distance = |name: &str| strsim::damerau_levenshtein(&word.to_ascii_lowercase(), &name.to_ascii_lowercase());
    let (near, distance) = known.map(|name| (name, distance(name))).min_by_key(|&(_, distance)| distance)?;
    (distance <= 1 + near.len() / 4).then_some(near)
}

fn join(words: impl Iterator<Item = &'static str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

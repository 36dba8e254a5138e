//! What `imactl explain` answers: one definition for JSON and tables.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::plan::State;
use super::policy::cause::Cause;
use super::report::Problem;

/// What the kernel would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// Version of the schema, as in every document.
    pub version: u32,
    /// The file that was asked about.
    pub path: String,
    /// What is done with it: `exec`, `mmap`, `read`, `write`, `module`, `firmware`, `kexec`, …
    pub way: String,
    /// By which user.
    pub uid: u32,
    /// Where the rules were taken from.
    pub policy: String,
    /// Denials deny; otherwise the kernel was started to only record them.
    pub enforced: bool,
    /// It would go through.
    pub allowed: bool,
    /// Every file that is looked at on the way, in the kernel's order.
    pub files: Vec<FilePrediction>,
    /// What keeps the answer from being complete or sure.
    pub problems: Vec<Problem>,
}

/// What the kernel would do with one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePrediction {
    /// The file, links resolved.
    pub path: String,
    /// What it is to an execution: `script`, `program`, `loader`, `library`.
    pub role: Option<String>,
    /// The file that wants it.
    pub wanted_by: Option<String>,
    /// It would go through.
    pub allowed: bool,
    /// It does not satisfy the rule, whether the kernel enforces or not.
    pub fails: bool,
    /// What the program would see: `EACCES`, `EPERM`, or `SIGSEGV`.
    pub seen: Option<String>,
    /// The hook that decided (`BPRM_CHECK`, …); absent where no rule has anything to say.
    pub hook: Option<String>,
    /// Why, in words.
    pub why: String,
    /// The kernel's own word for it in the audit log; absent where it records nothing.
    pub cause: Option<String>,
    /// The rule that decided.
    pub rule: Option<RuleReference>,
    /// State of the label.
    pub label: State,
    /// Why the label is in that state.
    pub label_reason: String,
    /// The key that the label names.
    pub key_id: Option<String>,
    /// The package that owns the file.
    pub package: Option<String>,
    /// What mends it; empty where nothing needs mending.
    pub next: String,
}

/// A rule and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReference {
    /// The file, or where else it comes from.
    pub origin: String,
    /// The line, from 1; absent for rules of no file.
    pub line: Option<usize>,
    /// The rule, as imad writes it.
    pub text: String,
}

impl RuleReference {
    /// `FILE:LINE`, or where else it comes from.
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.origin.clone(), |line| format!("{}:{line}", self.origin))
    }
}

/// A cause in words that can follow "denied: ".
pub const fn cause_in_words(cause: Cause) -> &'static str {
    match cause {
        Cause::MissingHash => "it has no label",
        Cause::SignatureRequired => "the rule wants a signature, and its label is none",
        Cause::VeritySignatureRequired => "the rule wants a signature over its fs-verity digest",
        Cause::Sigv3Required => "the rule wants a signature of version 3",
        Cause::Unknown => "its label cannot be read, or has a signature version that the kernel does not know",
        Cause::InvalidHash => "its content is not what its hash label says",
        Cause::InvalidSignature => "its signature does not verify: other content, another key, or damage",
        Cause::InvalidSignatureVersion => "its label has a signature version that does not belong there",
        Cause::InvalidVeritySignature => "its fs-verity signature does not verify",
        Cause::UnknownData => "its label is of a type that the kernel does not know",
        Cause::MissingHmac => "EVM is active, and it has no security.evm",
        Cause::InvalidHmac | Cause::InvalidFailImmutable => "EVM is active, and its security.evm does not fit",
        Cause::UnverifiableSignature => "its file system could change content unseen",
        Cause::Failed => "its content cannot be hashed: it cannot be read, or the kernel lacks the algorithm",
        Cause::FailedDirectIo => "it is opened with O_DIRECT, and nobody has had it verified before",
        Cause::NoVerityDigest => "the rule wants fs-verity, which it has not",
        Cause::DeniedHashAlgorithm => "the rule does not allow its label's hash algorithm",
        Cause::MappedWriters => "somebody has it mapped writable",
        Cause::FailedMprotect => "a mapping that rules cover may not become executable",
        Cause::NoXattrs => "its file system holds no labels; the kernel records nothing",
        Cause::Blacklisted => "its digest is in the kernel's .blacklist; the kernel records nothing",
        Cause::SignedFileWritten => {
            "signed files cannot be written where a rule covers writing; the kernel records nothing"
        }
    }
}

/// `imactl --json policy diff`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffReport {
    /// Version of the schema.
    pub version: u32,
    /// Where the first rules were taken from.
    pub before: String,
    /// Where the second rules were taken from.
    pub after: String,
    /// Packaged files that were looked at.
    pub compared: u64,
    /// Uses of files that become denied.
    pub denied: u64,
    /// Uses of files that become allowed.
    pub allowed: u64,
    /// Each of these uses, by path.
    pub files: Vec<FileDiff>,
    /// What keeps the answer from being complete or sure.
    pub problems: Vec<Problem>,
}

/// A use of a file that becomes denied or allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// The file.
    pub path: String,
    /// The package that owns it.
    pub package: String,
    /// The use: `exec`, `mmap`, `read`, `write`, `module`, …
    pub way: String,
    /// By the first rules.
    pub before: Side,
    /// By the second.
    pub after: Side,
}

/// One of two verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// It would go through.
    pub allowed: bool,
    /// What the program would see.
    pub seen: Option<String>,
    /// Why it is denied.
    pub why: Option<String>,
    /// The rule that decided; absent where none appraises or exempts it.
    pub rule: Option<RuleReference>,
}

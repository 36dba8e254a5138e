//! The state of a file's label, and what is to be written.
#![forbid(unsafe_code)]

use std::fmt;

use serde::{Deserialize, Serialize};

use super::algo::HashAlgo;
use super::evm::Metadata;
use super::label::{EVM_PORTABLE_SIGNATURE, KeyId, Label, LabelError};
use super::verify::{Verdict, Verifier};

/// The state of a packaged file's label: the first in this order that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its file system or a rule (configuration, `labels.exclude`) keeps it out.
    Excluded,
    /// The file is not there.
    Absent,
    /// It could not be opened or read.
    Unreadable,
    /// imad cannot tell: signature version, algorithm, or an unknown key's portable EVM signature that covers a hash label.
    Unsupported,
    /// The label verifies with a trusted key. Of an fs-verity signature (type 06), which only a rule with `digest_type=verity
    /// appraise_type=sigv3` accepts, the reason says so.
    Good,
    /// The content differs from the package's, and the label does not fit it either.
    Modified,
    /// Nothing verifies for want of a key.
    UntrustedKey,
    /// The inode is immutable or append-only: it cannot be labelled.
    Immutable,
    /// A label is there that does not verify or is by no trusted key; the package's does.
    Stale,
    /// The kernel's own hash label stands where the package has a signature.
    Hash,
    /// No label; the package's verifies.
    Missing,
    /// The package has no signature for it.
    Unsigned,
    /// No package owns it.
    Foreign,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 13] = [
        Self::Excluded,
        Self::Absent,
        Self::Unreadable,
        Self::Unsupported,
        Self::Good,
        Self::Modified,
        Self::UntrustedKey,
        Self::Immutable,
        Self::Stale,
        Self::Hash,
        Self::Missing,
        Self::Unsigned,
        Self::Foreign,
    ];

    /// The state's name in tables, JSON and on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::Absent => "absent",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Good => "good",
            Self::Modified => "modified",
            Self::UntrustedKey => "untrusted-key",
            Self::Immutable => "immutable",
            Self::Stale => "stale",
            Self::Hash => "hash",
            Self::Missing => "missing",
            Self::Unsigned => "unsigned",
            Self::Foreign => "foreign",
        }
    }

    /// Whether relabelling writes the package's signature.
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Missing | Self::Stale | Self::Hash)
    }

    /// Whether a rule that demands a signature denies the file in this state.
    pub const fn is_denied(self) -> bool {
        !matches!(self, Self::Good | Self::Excluded | Self::Absent | Self::Unsupported | Self::Unreadable)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of an open file, as far as its label's state depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What its package says, if one owns it.
    pub packaged: Option<Packaged<'a>>,
    /// `security.ima` as it is.
    pub label: Option<&'a [u8]>,
}

/// What the package says of a file.
#[derive(Debug, Clone, Copy)]
pub struct Packaged<'a> {
    /// The label that it brings.
    pub signature: Option<&'a [u8]>,
    /// The content's digest.
    pub digest: Option<(HashAlgo, &'a [u8])>,
}

/// A file's state and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The state.
    pub state: State,
    /// Why, in words that can follow "PATH: ".
    pub reason: String,
    /// The key that the deciding label names.
    pub key_id: Option<KeyId>,
}

/// The open file, asked only for what its state depends on: an answer may cost as much as the file is long.
pub trait Content {
    /// The digest, or why there is none.
    fn digest(&mut self, algo: HashAlgo) -> Result<Vec<u8>, String>;

    /// `security.evm`, if there is one.
    fn evm(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// What a portable EVM signature would be made over.
    fn metadata(&mut self) -> Result<Metadata, String>;

    /// Whether the inode is immutable or append-only.
    fn is_immutable(&mut self) -> bool;

    /// The fs-verity digest and its algorithm, `None` where the file has no fs-verity, or why neither is known.
    fn verity_digest(&mut self) -> Result<Option<(HashAlgo, Vec<u8>)>, String>;
}

/// What a signature is made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Content,
    Verity,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "signature",
            Self::Verity => "fs-verity signature",
        })
    }
}

/// How one label fares against the content.
enum Fit {
    Good(Over, KeyId),
    Bad(Over, KeyId),
    UnknownKey(KeyId),
    /// An fs-verity signature on a file without fs-verity (`no-verity-digest`).
    NoVerity(KeyId),
    Hash {
        fits: bool,
    },
    Unsupported(String),
    Malformed(LabelError),
}

/// Judges a file that could be opened. An `Err` is a reason for which it could not be read.
pub fn judge(facts: &Facts<'_>, verifier: &mut Verifier<'_>, content: &mut dyn Content) -> Result<Judged, String> {
    let judged = |state, reason: String, key_id| Ok(Judged { state, reason, key_id });
    let current = facts.label.map(|bytes| fit(bytes, verifier, content)).transpose()?;

    match &current {
        Some(Fit::Good(Over::Content, id)) => {
            return judged(State::Good, format!("the signature by key {id} verifies"), Some(*id));
        }
        Some(Fit::Good(Over::Verity, id)) => {
            let why = format!(
                "the fs-verity signature by key {id} verifies; only rules with digest_type=verity appraise_type=sigv3 \
                 accept it"
            );
            return judged(State::Good, why, Some(*id));
        }
        Some(Fit::Unsupported(why)) => return judged(State::Unsupported, why.clone(), None),
        Some(Fit::Hash { fits: true }) => {
            if let Some(judged) = portable(verifier, content)? {
                return Ok(judged);
            }
        }
        _ => {}
    }

    let Some(packaged) = facts.packaged else {
        return judged(State::Foreign, format!("no package owns it, and {}", describe(current.as_ref())), None);
    };
    if let Some((algo, digest)) = packaged.digest
        && content.digest(algo)? != digest
    {
        let why = format!("the content is not what the package installed, and {}", describe(current.as_ref()));
        return judged(State::Modified, why, key_of(current.as_ref()));
    }
    let Some(signature) = packaged.signature else {
        let why = format!("its package carries no signature for it, and {}", describe(current.as_ref()));
        return judged(State::Unsigned, why, key_of(current.as_ref()));
    };

    match fit(signature, verifier, content)? {
        Fit::Good(_, id) if content.is_immutable() => {
            judged(State::Immutable, "the inode is immutable or append-only (chattr -i -a)".to_owned(), Some(id))
        }
        Fit::Good(over, id) => {
            let state = match current {
                None => State::Missing,
                Some(Fit::Hash { .. }) => State::Hash,
                Some(_) => State::Stale,
            };
            judged(
                state,
                format!("{}; the package's {over} by key {id} verifies", describe(current.as_ref())),
                Some(id),
            )
        }
        Fit::UnknownKey(id) => {
            judged(State::UntrustedKey, format!("it is signed by key {id}, which is not trusted here"), Some(id))
        }
        Fit::Unsupported(why) => judged(State::Unsupported, format!("the package's signature: {why}"), None),
        Fit::NoVerity(id) => {
            let why =
                format!("the package's fs-verity signature by key {id} needs fs-verity, and the file has no fs-verity");
            judged(State::Unsigned, why, Some(id))
        }
        Fit::Bad(over, id) => {
            // Without a digest in the package this is all that tells of changed content.
            let state = if packaged.digest.is_none() { State::Modified } else { State::Unsigned };
            judged(state, format!("the package's {over} by key {id} does not verify"), Some(id))
        }
        Fit::Hash { .. } => {
            judged(State::Unsigned, "the package brings a hash where a signature belongs".to_owned(), None)
        }
        Fit::Malformed(error) => {
            judged(State::Unsigned, format!("the package's signature is malformed: {error}"), None)
        }
    }
}

/// A file whose hash label fits: the kernel takes it for a signature where a portable EVM signature vouches for it
/// (`ima_appraise.c: xattr_verify()`, `INTEGRITY_PASS_IMMUTABLE`). `None` where none does.
fn portable(verifier: &mut Verifier<'_>, content: &mut dyn Content) -> Result<Option<Judged>, String> {
    let Some(evm) = content.evm()?.filter(|evm| evm.first() == Some(&EVM_PORTABLE_SIGNATURE)) else { return Ok(None) };
    let judged = |state, reason, key_id| Ok(Some(Judged { state, reason, key_id }));
    match verifier.verify_portable(&evm, &content.metadata()?) {
        Verdict::Good => {
            let why = "its hash fits, and the portable EVM signature over that verifies; it counts where EVM verifies \
                       signatures";
            judged(State::Good, why.to_owned(), None)
        }
        Verdict::Bad => Ok(None),
        Verdict::UnknownKey(id) => {
            let why =
                format!("its hash fits, under a portable EVM signature by key {id}, which is not in /etc/keys/evm");
            judged(State::Unsupported, why, Some(id))
        }
        Verdict::Unsupported => {
            let why =
                "its hash fits, under a portable EVM signature of a version or by an algorithm that imad does not know";
            judged(State::Unsupported, why.to_owned(), None)
        }
    }
}

fn fit(label: &[u8], verifier: &mut Verifier<'_>, content: &mut dyn Content) -> Result<Fit, String> {
    Ok(match Label::parse(label) {
        Err(error) => Fit::Malformed(error),
        Ok(Label::OldSignature) => Fit::Unsupported("a signature of version 1".to_owned()),
        // The digest comes first, as with the kernel.
        Ok(Label::VeritySignature(signature)) => match content.verity_digest()? {
            None => Fit::NoVerity(signature.key_id),
            Some((algo, digest)) => match verifier.verify_verity(&signature, algo, &digest) {
                Verdict::Good => Fit::Good(Over::Verity, signature.key_id),
                Verdict::Bad => Fit::Bad(Over::Verity, signature.key_id),
                Verdict::UnknownKey(id) => Fit::UnknownKey(id),
                Verdict::Unsupported => {
                    Fit::Unsupported(format!("an fs-verity signature over {algo} by key {}", signature.key_id))
                }
            },
        },
        Ok(Label::Digest { algo, digest }) => match HashAlgo::from_kernel_id(algo) {
            None => Fit::Unsupported(format!("a hash label with algorithm number {algo}")),
            Some(algo) => {
                let actual = content.digest(algo)?;
                Fit::Hash { fits: digest.get(..actual.len()) == Some(&actual[..]) }
            }
        },
        Ok(Label::Signature(signature)) => {
            let Some(algo) = signature.hash_algo() else {
                return Ok(Fit::Unsupported(format!("a signature with hash algorithm number {}", signature.algo)));
            };
            if verifier.trust().with_id(signature.key_id).is_empty() {
                return Ok(Fit::UnknownKey(signature.key_id));
            }
            match verifier.verify_label(label, &signature, &content.digest(algo)?) {
                Verdict::Good => Fit::Good(Over::Content, signature.key_id),
                Verdict::Bad => Fit::Bad(Over::Content, signature.key_id),
                Verdict::UnknownKey(id) => Fit::UnknownKey(id),
                Verdict::Unsupported => Fit::Unsupported(format!(
                    "a signature of version {} over {algo} by key {}",
                    signature.version, signature.key_id
                )),
            }
        }
    })
}

fn describe(current: Option<&Fit>) -> String {
    match current {
        None => "it has no label".to_owned(),
        Some(Fit::Good(over, id)) => format!("its {over} by key {id} verifies"),
        Some(Fit::Bad(over, id)) => format!("its {over} by key {id} does not verify"),
        Some(Fit::NoVerity(id)) => {
            format!("its label is an fs-verity signature by key {id}, and the file has no fs-verity")
        }
        Some(Fit::UnknownKey(id)) => format!("its signature is by key {id}, which is not trusted here"),
        Some(Fit::Hash { fits: true }) => "its label is a hash, not a signature".to_owned(),
        Some(Fit::Hash { fits: false }) => "its label is a hash that the content does not have".to_owned(),
        Some(Fit::Unsupported(why)) => format!("its label is {why}"),
        Some(Fit::Malformed(error)) => format!("its label is malformed ({error})"),
    }
}

fn key_of(current: Option<&Fit>) -> Option<KeyId> {
    match current {
        Some(Fit::Good(_, id) | Fit::Bad(_, id) | Fit::UnknownKey(id) | Fit::NoVerity(id)) => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

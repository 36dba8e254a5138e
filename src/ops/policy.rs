//! The policy file: what it is, and the state of its own label.
#![forbid(unsafe_code)]

use crate::model::algo::HashAlgo;
use crate::model::cert::hex;
use crate::model::explain::quote;
use crate::model::plan::{self, Content, Facts, Judged, State};
use crate::model::policy::outline::{Outline, OutlineError, outline};
use crate::model::report::Problem;
use crate::model::verify::Trust;
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::root::Root;

/// No policy is longer.
const LIMIT: u64 = 1 << 22;

/// A policy file, read and judged through one descriptor.
#[derive(Debug)]
pub struct PolicyFile {
    /// The content.
    pub bytes: Vec<u8>,
    /// SHA-256 of the content.
    pub sha256: String,
    /// Its rules, or why the kernel would drop it whole.
    pub outline: Result<Outline, OutlineError>,
    /// The state of its label; no package is asked, so without a good label it is `foreign`.
    pub label: Judged,
}

impl PolicyFile {
    /// Why the file carries no signature by a trusted key; `None` where it does.
    pub fn lacks_signature(&self) -> Option<String> {
        let Judged { state, reason, .. } = &self.label;
        (*state != State::Good).then(|| reason.replace("no package owns it, and ", ""))
    }

    /// What keeps it from being loaded at the next boot, as far as the file alone shows it.
    pub fn fault(&self, path: &str, require_signature: bool) -> Option<Problem> {
        if let Err(error) = &self.outline {
            let what = format!("{path}: {error}; the kernel would drop it whole");
            return Some(Problem::new(what, format!("imactl policy check {path}")));
        }
        let why = self.lacks_signature().filter(|_| require_signature)?;
        Some(Problem::new(
            format!("{path} is not signed by a key that will be in the keyring: {why}"),
            format!("sign it: evmctl ima_sign --key KEY {}, or copy a signed one (cp --preserve=xattr)", quote(path)),
        ))
    }
}

/// Reads a root's policy file; `None` where there is none.
pub fn read(root: &Root, path: &str, trust: &Trust) -> Result<Option<PolicyFile>, String> {
    let mut file = match OpenFile::open_following(root, path.as_bytes()) {
        Ok(file) => file,
        Err(OpenError::Absent) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let bytes = file.read(LIMIT).map_err(|error| error.to_string())?;
    let label = file.label().map_err(|error| error.to_string())?;
    let facts = Facts { packaged: None, label: label.as_deref() };
    Ok(Some(PolicyFile {
        sha256: hex(&file.digest(HashAlgo::Sha256)?),
        outline: outline(&bytes),
        label: plan::judge(&facts, &mut trust.verifier(), &mut file)?,
        bytes,
    }))
}

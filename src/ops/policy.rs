//! The policy file: what it is, and the state of its own label.
#![forbid(unsafe_code)]

use crate::model::algo::HashAlgo;
use crate::model::cert::hex;
use crate::model::plan::{self, Content, Facts, Judged};
use crate::model::policy::outline::{Outline, OutlineError, outline};
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

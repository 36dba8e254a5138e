//! The policy file before the load: what it must be, whatever it says.
#![forbid(unsafe_code)]

use crate::model::cert::Certificate;
use crate::model::config::Config;
use crate::model::policy::outline::Outline;
use crate::model::report::{PolicyOutcome, Problem};
use crate::model::verify::Trust;
use crate::ops::policy;
use crate::sys::root::Root;

/// A policy that may be handed to the kernel, as far as it is seen from itself.
#[derive(Debug)]
pub(super) struct Ready {
    /// Its path in the real root.
    pub(super) path: String,
    /// Its content.
    pub(super) bytes: Vec<u8>,
    /// Its rules.
    pub(super) outline: Outline,
}

/// Reads and checks a policy file. `Ok(None)`: there is none.
pub(super) fn check(
    root: &Root,
    path: &str,
    config: &Config,
    taken: Option<&[Certificate]>,
    report: &mut PolicyOutcome,
) -> Result<Option<Ready>, Problem> {
    path.clone_into(&mut report.path);
    let trust = Trust::new(taken.iter().copied().flatten().cloned());
    let file = policy::read(root, path, &trust)
        .map_err(|why| Problem::new(format!("{path} cannot be read: {why}"), format!("ls -lZ {path}")))?;
    let Some(file) = file else { return Ok(None) };
    let unsigned = file.lacks_signature();
    report.exists = true;
    report.sha256 = Some(file.sha256);
    let outline = file.outline.map_err(|error| {
        Problem::new(format!("{path}: {error}; the kernel would drop it whole"), format!("mend {path}"))
    })?;
    report.rules = Some(outline.rules.len() as u64);
    let Some(taken) = taken else {
        return Err(Problem::new(
            format!(
                "{path} is not loaded: without a trusted keyring every program would be denied or any be let through"
            ),
            "boot a kernel with IMA and CONFIG_INTEGRITY_TRUSTED_KEYRING",
        ));
    };
    if taken.is_empty() {
        return Err(Problem::new(
            format!(
                "{path} is not loaded: the kernel took no certificate from {}, so every program would be denied",
                config.keys.dir
            ),
            format!("put the certificate of your packages' signer into {}", config.keys.dir),
        ));
    }
    if let Some(why) = unsigned.filter(|_| config.policy.require_signature) {
        return Err(Problem::new(
            format!("{path} is not loaded: it is not signed by a key of the .ima keyring: {why}"),
            format!(
                "copy a signed policy with its label (cp --preserve=xattr), or sign it: evmctl ima_sign --key KEY {path}"
            ),
        ));
    }
    Ok(Some(Ready { path: path.to_owned(), bytes: file.bytes, outline }))
}

//! Certificates into `.ima`, and for each the kernel's answer with its reason.
#![forbid(unsafe_code)]

use std::io;

use crate::model::cert::Certificate;
use crate::model::message_id;
use crate::model::report::CertificateOutcome;
use crate::ops::keys;
use crate::sys::keyring::Serial;
use crate::sys::root::Root;

/// Loads every certificate of a root's keys folder, and says what became of each. Returns that, and the certificates that
/// the kernel took.
pub(super) fn load(root: &Root, dir: &str, keyring: Serial) -> io::Result<(Vec<CertificateOutcome>, Vec<Certificate>)> {
    let (outcomes, taken) = keys::load(root, dir, keyring)?;
    outcomes.iter().for_each(say);
    Ok((outcomes, taken))
}

fn say(outcome: &CertificateOutcome) {
    let key = outcome.key_id.as_deref().unwrap_or("none");
    if outcome.accepted {
        tracing::info!(
            message_id = message_id::BOOT_KEY_ACCEPTED,
            file = outcome.file,
            "{}: \"{}\" (key {key}) is in the .ima keyring",
            outcome.file,
            outcome.subject
        );
    }
    if let Some(problem) = &outcome.problem {
        super::run::warn(message_id::BOOT_KEY_REFUSED, problem);
    }
}

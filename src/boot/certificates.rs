//! Certificates into the kernel's keyring, and for each the kernel's answer with its reason.
#![forbid(unsafe_code)]

use std::io;

use super::run::warn;
use crate::model::cert::Certificate;
use crate::model::config::Config;
use crate::model::message_id;
use crate::model::report::{BootReport, CertificateOutcome, KeyringKind, Outcome, Problem};
use crate::ops::keys;
use crate::sys::keyring::{self, Serial};
use crate::sys::root::Root;
use crate::sys::securityfs;

/// Certificates into the kernel's keyring. `None`: this kernel has no trusted one, so no policy is loaded.
pub(super) fn load_keys(root: &Root, config: &Config, report: &mut BootReport) -> (Outcome, Option<Vec<Certificate>>) {
    if !securityfs::has_ima() {
        let what = "this kernel has no IMA, or securityfs is not mounted; nothing is appraised";
        let problem = Problem::new(what, "boot a kernel with CONFIG_IMA_APPRAISE (grep IMA /boot/config-$(uname -r))");
        warn(message_id::BOOT_NO_IMA, &problem);
        report.problems.push(problem);
        return (Outcome::Skipped, None);
    }
    let found = keys::ima_keyring();
    if let Ok((kind, _)) = &found {
        report.keyring = *kind;
    }
    let serial = match found {
        Ok((KeyringKind::Trusted, Some(serial))) => serial,
        Ok((_, found)) if config.uses_untrusted_keyring() => match untrusted(found, report) {
            Some(serial) => serial,
            None => return (Outcome::Failed, None),
        },
        Ok(_) => {
            let what = "this kernel has no trusted keyring .ima, only _ima, which takes any certificate; no certificate \
                        and no policy is loaded";
            let next = "boot a kernel with CONFIG_INTEGRITY_TRUSTED_KEYRING";
            let problem = Problem::new(what, next);
            warn(message_id::BOOT_NO_TRUSTED_KEYRING, &problem);
            report.problems.push(problem);
            return (Outcome::Skipped, None);
        }
        Err(error) => {
            let problem =
                Problem::new(format!("the keyring .ima cannot be found: /proc/keys: {error}"), "cat /proc/keys");
            warn(message_id::BOOT_NO_TRUSTED_KEYRING, &problem);
            report.problems.push(problem);
            return (Outcome::Failed, None);
        }
    };
    let loaded = load(root, &config.keys.dir, serial);
    if report.keyring == KeyringKind::Untrusted
        && let Err(error) = keyring::seal(serial)
    {
        tracing::warn!("_ima stays open to whoever finds it: {error}");
    }
    match loaded {
        Ok((outcomes, taken)) => {
            let all = outcomes.iter().all(|outcome| outcome.accepted);
            report.certificates = outcomes;
            (if all { Outcome::Done } else { Outcome::Failed }, Some(taken))
        }
        Err(error) => {
            let problem = Problem::new(format!("{}: {error}", config.keys.dir), format!("ls -ld {}", config.keys.dir));
            warn(message_id::BOOT_KEY_REFUSED, &problem);
            report.problems.push(problem);
            (Outcome::Failed, Some(Vec::new()))
        }
    }
}

/// `_ima`, made where it was not found, which gives no trust: that is said at every boot.
fn untrusted(found: Option<Serial>, report: &mut BootReport) -> Option<Serial> {
    let (serial, what) = match found.map_or_else(keys::make, Ok) {
        Ok(serial) => {
            report.keyring = KeyringKind::Untrusted;
            let what = "this kernel verifies with the keyring _ima, into which root puts any key \
                        (keys.allow_untrusted_keyring): no protection from who is root";
            (Some(serial), what.to_owned())
        }
        Err(error) => (None, format!("the keyring _ima cannot be made: {error}; no policy is loaded")),
    };
    let problem = Problem::new(what, "boot a kernel with CONFIG_INTEGRITY_TRUSTED_KEYRING");
    warn(message_id::BOOT_NO_TRUSTED_KEYRING, &problem);
    report.problems.push(problem);
    serial
}

/// Loads every certificate of a root's keys folder, and says what became of each. Returns that, and the certificates that
/// the kernel took.
fn load(root: &Root, dir: &str, keyring: Serial) -> io::Result<(Vec<CertificateOutcome>, Vec<Certificate>)> {
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
            "{}: \"{}\" (key {key}) is in the kernel's keyring",
            outcome.file,
            outcome.subject
        );
    }
    if let Some(problem) = &outcome.problem {
        warn(message_id::BOOT_KEY_REFUSED, problem);
    }
}

//! The steps in the initramfs.
#![forbid(unsafe_code)]

use std::path::Path;

use super::run::{Run, warn};
use super::{certificates, load};
use crate::model::cert::Certificate;
use crate::model::config::{BootLoader, Config};
use crate::model::message_id;
use crate::model::plan::State;
use crate::model::policy::outline::Outline;
use crate::model::report::{BootReport, KeyringKind, Outcome, Problem};
use crate::model::verify::Trust;
use crate::ops::{configuration, keys, policy};
use crate::sys::root::Root;
use crate::sys::{mount, securityfs};

/// The folder that PID 1 takes a policy from, and the file.
const PID1_DIR: &str = "/etc/ima";
const PID1_POLICY: &str = "/etc/ima/ima-policy";

/// Does all that is to be done before the switch to the real root. Whatever fails is in the report; the boot goes on.
pub(super) fn initrd(sysroot: &Path) -> BootReport {
    let mut run = Run::new();
    let root = match Root::open(sysroot) {
        Ok(root) => root,
        Err(error) => {
            let what = format!("no policy is loaded: {}: {error}", sysroot.display());
            let problem = Problem::new(what, "check root= on the kernel command line");
            warn(message_id::BOOT_POLICY_NOT_LOADED, &problem);
            run.report.problems.push(problem);
            return run.report;
        }
    };
    let config = run.step("configuration", |report| {
        let (config, problems) = configuration::load(&root);
        for problem in &problems {
            warn(message_id::CONFIGURATION_FAULT, problem);
        }
        let outcome = if problems.is_empty() { Outcome::Done } else { Outcome::Failed };
        report.problems.extend(problems);
        (outcome, config)
    });
    let taken = run.step("keys", |report| load_keys(&root, &config, report));
    let outline = run.step("policy", |report| {
        report.policy.path.clone_from(&config.policy.path);
        match check_policy(&root, &config, taken, report) {
            Ok(Some(outline)) => (Outcome::Done, Some(outline)),
            Ok(None) => (Outcome::Skipped, None),
            Err(problem) => {
                report.policy.problem = Some(problem);
                (Outcome::Failed, None)
            }
        }
    });
    run.step("load", |report| (load_policy(&root, &config, outline.as_ref(), report), ()));
    run.step("hide", |report| (hide(&root, &config, report), ()));
    say(&run.report);
    run.report
}

/// Certificates into `.ima`. `None`: this kernel has no trusted keyring, so no policy is loaded.
fn load_keys(root: &Root, config: &Config, report: &mut BootReport) -> (Outcome, Option<Vec<Certificate>>) {
    if !securityfs::has_ima() {
        let what = "this kernel has no IMA, or securityfs is not mounted; nothing is appraised";
        let problem = Problem::new(what, "boot a kernel with CONFIG_IMA_APPRAISE (grep IMA /boot/config-$(uname -r))");
        warn(message_id::BOOT_NO_IMA, &problem);
        report.problems.push(problem);
        return (Outcome::Skipped, None);
    }
    let keyring = keys::ima_keyring();
    if let Ok((kind, _)) = &keyring {
        report.keyring = *kind;
    }
    let serial = match keyring {
        Ok((KeyringKind::Trusted, Some(serial))) => serial,
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
    match certificates::load(root, &config.keys.dir, serial) {
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

/// Whether the policy may be handed to the kernel. `Ok(None)`: there is nothing to load, or systemd is to load it.
fn check_policy(
    root: &Root,
    config: &Config,
    taken: Option<Vec<Certificate>>,
    report: &mut BootReport,
) -> Result<Option<Outline>, Problem> {
    let path = &config.policy.path;
    let trust = Trust::new(taken.iter().flatten().cloned());
    let file = policy::read(root, path, &trust)
        .map_err(|why| Problem::new(format!("{path} cannot be read: {why}"), format!("ls -lZ {path}")))?;
    let Some(file) = file else { return Ok(None) };
    report.policy.exists = true;
    report.policy.sha256 = Some(file.sha256);
    let outline = file.outline.map_err(|error| {
        Problem::new(format!("{path}: {error}; the kernel would drop it whole"), format!("mend {path}"))
    })?;
    report.policy.rules = Some(outline.rules.len() as u64);
    if config.boot.loader == BootLoader::Systemd {
        return Ok(None);
    }
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
    if config.policy.require_signature && file.label.state != State::Good {
        let why = match file.label.state {
            State::Foreign => file.label.reason.replace("no package owns it, and ", ""),
            _ => file.label.reason,
        };
        return Err(Problem::new(
            format!("{path} is not loaded: it is not signed by a key of the .ima keyring: {why}"),
            format!(
                "copy a signed policy with its label (cp --preserve=xattr), or sign it: evmctl ima_sign --key KEY {path}"
            ),
        ));
    }
    Ok(Some(outline))
}

fn load_policy(root: &Root, config: &Config, outline: Option<&Outline>, report: &mut BootReport) -> Outcome {
    let Some(outline) = outline else { return Outcome::Skipped };
    match load::load(root, &config.policy.path, outline) {
        Ok(proof) => {
            report.policy.loaded = true;
            report.policy.verified_by = Some(proof);
            Outcome::Done
        }
        Err(why) => {
            let next = format!("mend {} and reboot; this boot goes on without it", config.policy.path);
            report.policy.problem = Some(Problem::new(why, next));
            Outcome::Failed
        }
    }
}

/// Keeps PID 1 from loading `/etc/ima/ima-policy`: a second time where it is loaded, at all where it is not, since PID 1
/// stops the machine for good when the kernel refuses it.
fn hide(root: &Root, config: &Config, report: &mut BootReport) -> Outcome {
    if config.boot.loader == BootLoader::Systemd || !securityfs::has_ima() || !root.exists(PID1_POLICY) {
        return Outcome::Skipped;
    }
    match mount::hide(root, PID1_DIR) {
        Ok(hidden) => {
            report.policy.hidden = hidden;
            if hidden { Outcome::Done } else { Outcome::Skipped }
        }
        Err(error) => {
            let what =
                format!("{PID1_DIR} cannot be hidden from systemd, which will load {PID1_POLICY} again: {error}");
            let problem = Problem::new(what, "report it with the output of `journalctl -b -u imad-boot`");
            warn(message_id::BOOT_POLICY_NOT_HIDDEN, &problem);
            report.problems.push(problem);
            Outcome::Failed
        }
    }
}

/// The outcome in the journal, and on the console where it is not what it should be.
fn say(report: &BootReport) {
    let policy = &report.policy;
    match (&policy.problem, policy.loaded) {
        (Some(problem), _) => warn(message_id::BOOT_POLICY_NOT_LOADED, problem),
        (None, true) => tracing::info!(
            message_id = message_id::BOOT_POLICY_LOADED,
            path = policy.path,
            sha256 = policy.sha256,
            "loaded {} ({} rules; {})",
            policy.path,
            policy.rules.unwrap_or(0),
            policy.verified_by.as_deref().unwrap_or("not verified"),
        ),
        (None, false) if policy.exists => {
            tracing::info!("{} is left to systemd (boot.loader = \"systemd\")", policy.path);
        }
        (None, false) => tracing::info!("there is no policy {}; nothing is appraised", policy.path),
    }
}

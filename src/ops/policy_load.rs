//! The policy into the kernel, by path, believed only when verified.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;

use rustix::fs::OFlags;

use crate::model::policy::outline::Outline;
use crate::sys::kmsg::Kmsg;
use crate::sys::root::Root;
use crate::sys::securityfs::{self, Load};

const COMPLETED: &str = "ima: policy update completed";
const FAILED: &str = "ima: policy update failed";

/// Loads a root's policy file. `Ok` tells how the load was verified.
pub fn load(root: &Root, path: &str, outline: &Outline) -> Result<String, String> {
    let target = real_path(root, path).map_err(|error| format!("{path}: {error}"))?;
    let target = target.to_str().ok_or_else(|| format!("{path}: its real path is not UTF-8"))?;
    let watch = Watch::begin();
    let mut load = Load::begin().map_err(|error| refusal_to_open(&error))?;
    let written = load.path(target);
    // Rules become active here, and only here.
    drop(load);

    if let Err(error) = written {
        return Err(why_refused(&error, path, outline));
    }
    watch.proof(path, outline.rules.len())
}

/// Loads rules as text, which come from these lines of a file. `Ok` tells how the load was verified. A line that is
/// refused loses them all.
pub fn load_text(path: &str, rules: &[(usize, Vec<u8>)]) -> Result<String, String> {
    let watch = Watch::begin();
    let mut load = Load::begin().map_err(|error| refusal_to_open(&error))?;
    for (line, rule) in rules {
        let rule = std::str::from_utf8(rule).map_err(|_| format!("{path}:{line}: the rule is not UTF-8"))?;
        match load.rule(rule) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                return Err(format!("the kernel takes signed policies only ({error})"));
            }
            Err(error) => return Err(format!("{path}:{line}: the kernel does not accept \"{rule}\" ({error})")),
        }
    }
    drop(load);
    watch.proof(path, rules.len())
}

/// What shows whether a load came to something.
struct Watch {
    rules_before: Option<usize>,
    kmsg: io::Result<Kmsg>,
}

impl Watch {
    fn begin() -> Self {
        Self { rules_before: rule_count(), kmsg: Kmsg::at_end() }
    }

    /// How the load is verified, or why it is not one.
    fn proof(mut self, path: &str, wanted: usize) -> Result<String, String> {
        let messages = match &mut self.kmsg {
            Ok(kmsg) => kmsg.messages().unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let mut proofs = Vec::new();
        if messages.iter().any(|message| message.contains(FAILED)) {
            return Err(format!("the kernel read {path} but dropped it: \"{FAILED}\""));
        }
        if messages.iter().any(|message| message.contains(COMPLETED)) {
            proofs.push(format!("kernel message \"{COMPLETED}\""));
        }
        if let Some(after) = rule_count() {
            // A first policy takes the place of built-in rules, so their number says only that the file's are there.
            if after < wanted {
                return Err(format!("{after} rules are active after the load, but {path} has {wanted}"));
            }
            proofs.push(match self.rules_before {
                Some(before) => format!("{after} rules read back ({before} before)"),
                None => format!("{after} rules read back"),
            });
        }
        if proofs.is_empty() {
            return Err(format!(
                "the kernel took {path}, but neither its messages nor its rules can be read to verify it"
            ));
        }
        Ok(proofs.join(", "))
    }
}

/// The number of active rules, where the kernel lets them be read.
fn rule_count() -> Option<usize> {
    Some(securityfs::active_rules().ok()??.len())
}

/// The path that the kernel is to open: links are resolved here, inside of the root, since the kernel would resolve
/// absolute ones in the initramfs.
fn real_path(root: &Root, path: &str) -> io::Result<PathBuf> {
    let file = root.open_with(path.as_bytes(), OFlags::PATH)?;
    std::fs::read_link(Root::fd_path(&file))
}

fn refusal_to_open(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "this kernel takes no (further) policy: its policy file is gone".to_owned(),
        Some(libc::EBUSY) => "another load is going on, or this kernel took its only one already".to_owned(),
        Some(libc::EACCES | libc::EPERM) => format!("this process may not load a policy ({error})"),
        _ => format!("the kernel's policy file cannot be opened: {error}"),
    }
}

fn why_refused(error: &io::Error, path: &str, outline: &Outline) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES) => {
            format!(
                "the kernel refused to read {path} ({error}): an active rule demands a signature that it does not have"
            )
        }
        Some(libc::ETXTBSY) => format!("{path} is open for writing ({error})"),
        _ => {
            if let Some((line, rule, error)) = refused_rule(outline) {
                return format!("{path}:{line}: the kernel does not accept \"{rule}\" ({error})");
            }
            format!("the kernel refused {path} ({error}){}", outline.about_labels())
        }
    }
}

/// The first rule that this kernel does not accept, found by a dry run: after a line that is wrong for sure the whole
/// load is lost, so nothing is applied, while each further line still gets its verdict (`ima_write_policy()`).
fn refused_rule(outline: &Outline) -> Option<(usize, &str, io::Error)> {
    let mut load = Load::begin().ok()?;
    match load.rule("not-a-rule") {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        // Content writes are not allowed here, so rules cannot be tried.
        _ => return None,
    }
    for (line, rule) in &outline.rules {
        if let Err(error) = load.rule(rule) {
            return Some((*line, rule, error));
        }
    }
    None
}

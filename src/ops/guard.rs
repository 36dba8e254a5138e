//! Whether this root's boot comes through under a policy: its boot-critical files and the places that hold no labels, put to
//! the rules. In the initramfs, before the load, at little cost; in the running system with every content read.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use rustix::fs::OFlags;

use super::facts::{self, Earlier, Facts, look_among};
use super::loading::Linking;
use super::predict;
use crate::model::explain::quote;
use crate::model::guard::{Denial, Judge};
use crate::model::manifest::{Entry, Manifest, Use, Uses};
use crate::model::policy::builtin::Boot;
use crate::model::policy::effective::Effective;
use crate::model::policy::event::Appended;
use crate::model::policy::profile::KernelProfile;
use crate::model::prediction::{RuleReference, cause_in_words};
use crate::model::report::Problem;
use crate::model::verify::Trust;
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::filesystem::Filesystems;
use crate::sys::root::Root;

/// How well files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A file that is as the manifest has it is believed to have the content that it had then; but the core's is read.
    Labels,
    /// The same, of every file and not only of those that a login needs.
    Every,
    /// Every content is read.
    Content,
}

/// What is asked.
#[derive(Debug)]
pub struct Case<'a> {
    /// The root that is going to be booted.
    pub root: &'a Root,
    /// Its boot-critical files; without a manifest the core alone is looked at.
    pub manifest: Option<&'a Manifest>,
    /// The keys that will be in the keyring.
    pub trust: &'a Trust,
    /// The kernel.
    pub kernel: &'a KernelProfile,
    /// The rules as they will be in force.
    pub rules: &'a Effective,
    /// The magic number of the initramfs's file system (see [`crate::model::guard::initramfs_magic`]).
    pub initramfs: u64,
    /// How well to look.
    pub depth: Depth,
}

/// A file or place that the policy denies to the boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file, or a place in words.
    pub path: Vec<u8>,
    /// Why, in words that can follow "denied: ".
    pub why: String,
    /// The rule.
    pub rule: Option<RuleReference>,
    /// It is of the core.
    pub core: bool,
    /// Without it nobody logs in.
    pub needed: bool,
}

impl Refused {
    /// What is denied, by which rule, and the step that mends it.
    pub fn problem(&self) -> Problem {
        let path = String::from_utf8_lossy(&self.path);
        let rule = self.rule.as_ref().map_or_else(String::new, |rule| format!(" ({}: {})", rule.place(), rule.text));
        let next = if path.starts_with('/') && path != "/run" {
            format!("imactl relabel {}", quote(&path))
        } else {
            "exempt it in the policy (imactl policy check)".to_owned()
        };
        Problem::new(format!("{path}: {}{rule}", self.why), next)
    }
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many files were looked at.
    pub files: u64,
    /// How many of them were read.
    pub read: u64,
    /// What is denied; the core first, then what a login needs.
    pub refused: Vec<Refused>,
}

impl Checked {
    /// The boot does not come through, or not to a login.
    pub fn stops(&self) -> bool {
        self.refused.iter().any(|refused| refused.needed)
    }
}

/// Programs without which not even a rescue shell comes up.
const CORE: [&str; 3] = ["/sbin/init", "/usr/lib/systemd/systemd-executor", "/bin/sh"];
/// What PID 1, the loader and a login open for reading, where they are there.
const READ: [&str; 8] = [
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/nsswitch.conf",
    "/etc/fstab",
    "/etc/machine-id",
    "/usr/lib/systemd/system/multi-user.target",
];

/// Asks for everything.
pub fn check(case: &Case<'_>) -> Checked {
    let judge = Judge::new(case.kernel, case.rules);
    let mut checked = Checked::default();
    for (place, denial) in judge.surroundings(case.initramfs) {
        checked.refused.push(Refused {
            path: place.as_bytes().to_vec(),
            why: cause_in_words(denial.cause).to_owned(),
            rule: denial.rule.and_then(|at| predict::rule(case.rules, at)),
            core: true,
            needed: true,
        });
    }
    // In the initramfs nothing is asked about that would not keep the policy from being loaded.
    let all = case.depth != Depth::Labels;
    let core =
        if case.manifest.is_none_or(|manifest| manifest.entries().is_empty()) { core(case.root) } else { Vec::new() };
    let known = case.manifest.map_or(&[][..], Manifest::entries);
    let read = read(case.root, known);
    let entries = known.iter().chain(&core).chain(&read);
    look_at_all(case, entries.filter(|entry| all || entry.needed), &judge, &mut checked);
    checked.refused.sort_by_key(|refused| (!refused.core, !refused.needed));
    checked
}

/// Asks for these programs of the root alone, with all that they pull in.
pub fn check_programs(case: &Case<'_>, programs: &[&str]) -> Checked {
    let mut checked = Checked::default();
    look_at_all(case, executed(case.root, programs).iter(), &Judge::new(case.kernel, case.rules), &mut checked);
    checked
}

fn look_at_all<'e>(
    case: &Case<'_>,
    entries: impl Iterator<Item = &'e Entry>,
    judge: &Judge<'_>,
    checked: &mut Checked,
) {
    let mut filesystems = Filesystems::default();
    for entry in entries {
        checked.files += 1;
        match look_at(case, entry, judge, &mut filesystems, &mut checked.read) {
            Ok(None) => {}
            Ok(Some(denial)) => checked.refused.push(Refused {
                path: entry.path.clone(),
                why: cause_in_words(denial.cause).to_owned(),
                rule: denial.rule.and_then(|at| predict::rule(case.rules, at)),
                core: entry.core,
                needed: entry.needed,
            }),
            // What was needed and is gone stops the boot, or does not, with and without a policy.
            Err(OpenError::Absent | OpenError::NotRegular) if !entry.core => {}
            Err(error) => checked.refused.push(Refused {
                path: entry.path.clone(),
                why: error.to_string(),
                rule: None,
                core: entry.core,
                needed: entry.needed,
            }),
        }
    }
}

/// Whether the rules that the kernel has by itself let a policy be read, whatever the configuration wants: Secure Boot's, and
/// `ima_policy=secure_boot`'s, ask for a signature.
pub fn lets_policy_be_read(
    root: &Root,
    path: &str,
    trust: &Trust,
    kernel: &KernelProfile,
    boot: &Boot,
) -> Result<(), Problem> {
    let unread = |why: String| Problem::new(format!("{path}: {why}"), format!("ls -l {path}"));
    let file = root.open_with(path.as_bytes(), OFlags::PATH).and_then(|fd| root.real_path(fd));
    let file = file.map_err(|error| unread(error.to_string()))?;
    let facts = facts::gather(root, &file, trust, &kernel.verdicts).map_err(|error| unread(error.to_string()))?;
    let rules = Effective::at_boot(boot, kernel);
    let judge = Judge::new(kernel, &rules);
    let Some(denial) = judge.policy_denial(&facts.file) else { return Ok(()) };
    let rule = denial.rule.and_then(|at| predict::rule(&rules, at));
    let rule = rule.map_or_else(String::new, |rule| format!(" ({}: {})", rule.place(), rule.text));
    let what = format!("the kernel's own rules do not let {path} be loaded: {}{rule}", cause_in_words(denial.cause));
    Err(Problem::new(what, format!("sign it: evmctl ima_sign --key KEY {path}")))
}

/// What is read of which the manifest knows nothing.
fn read(root: &Root, known: &[Entry]) -> Vec<Entry> {
    let known: BTreeSet<&[u8]> = known.iter().map(|entry| &entry.path[..]).collect();
    let read = READ.iter().filter(|path| !known.contains(path.as_bytes()) && root.exists(path));
    read.map(|path| found_now(path.as_bytes(), Use::Read.into(), false)).collect()
}

/// Init, what starts services, and the shell, with all that they pull in.
pub fn core(root: &Root) -> Vec<Entry> {
    executed(root, &CORE)
}

/// These programs, as far as they are there, with all that they pull in.
fn executed(root: &Root, programs: &[&str]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut linking = Linking::new(root, Vec::new());
    for program in programs.iter().filter(|program| root.exists(program)) {
        let parts = linking.execution(program.as_bytes()).parts;
        found.extend(parts.iter().map(|part| found_now(&part.path, Use::from(part.role).into(), true)));
    }
    Manifest::new(found).entries().to_vec()
}

/// An entry of which nothing is on record.
pub(super) fn found_now(path: &[u8], uses: Uses, core: bool) -> Entry {
    Entry { path: path.to_vec(), uses, core, needed: true, size: 0, mtime: (0, 0), label: None }
}

fn look_at(
    case: &Case<'_>,
    entry: &Entry,
    judge: &Judge<'_>,
    filesystems: &mut Filesystems,
    read: &mut u64,
) -> Result<Option<Denial>, OpenError> {
    let mut look = look_among(case.root, &entry.path, filesystems)?;
    if let Some(label) = entry.label.as_deref().filter(|_| case.depth != Depth::Content && !entry.core) {
        let earlier = Earlier { label, size: entry.size, mtime: entry.mtime };
        match look.as_found_earlier(&earlier, case.trust)? {
            Ok(facts) => return denial(case, entry, judge, facts),
            Err(again) => look = again,
        }
    }
    // Most files that have no label are no concern of the policy: none is read for that.
    let facts = if look.is_labelled() {
        *read += 1;
        look.verify(case.trust, judge.kernel)?
    } else {
        look.unread()
    };
    denial(case, entry, judge, facts)
}

fn denial(case: &Case<'_>, entry: &Entry, judge: &Judge<'_>, mut facts: Facts) -> Result<Option<Denial>, OpenError> {
    if entry.uses.has(Use::Module) && has_appended_signature(case.root, &entry.path)? {
        facts.file.appended = Appended::Good;
    }
    Ok(judge.denial(&facts.file, entry.uses))
}

/// Whether a signature is appended to a module. The keys that made the kernel's own modules are in its keyring from the
/// start; it is not verified here.
fn has_appended_signature(root: &Root, path: &[u8]) -> Result<bool, OpenError> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    let file = OpenFile::open(root, path)?;
    Ok(file.ends_with(MARK)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::in_force;

    /// This machine's own root has no labels.
    #[test]
    fn a_root_without_labels_is_refused_where_the_policy_wants_them() {
        let root = Root::running().unwrap();
        let (kernel, trust) = (KernelProfile::default(), Trust::default());
        let asked = |text: &str| {
            let rules = in_force::of_file("policy", text.as_bytes(), &Boot::default(), &kernel).unwrap().rules;
            check(&Case {
                root: &root,
                manifest: None,
                trust: &trust,
                kernel: &kernel,
                rules: &rules,
                initramfs: crate::model::guard::initramfs_magic(true),
                depth: Depth::Labels,
            })
        };
        let checked = asked("dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n");
        assert!(checked.files > 3, "{checked:?}");
        let shell = checked.refused.iter().find(|refused| refused.path.ends_with(b"sh")).unwrap();
        assert!(shell.core && shell.why.ends_with("its label is none"), "{shell:?}");
        assert_eq!(shell.rule.as_ref().unwrap().line, Some(2));
        assert_eq!(asked("measure func=BPRM_CHECK\n").refused, []);
        let passwd = asked("appraise func=FILE_CHECK fsname=ext4\nappraise func=FILE_CHECK fsname=overlay\n");
        assert!(passwd.refused.iter().any(|refused| refused.path == b"/etc/passwd"), "{passwd:?}");
    }
}

//! A rehearsal: one boot under which nothing is denied, and which tells what a policy would have denied.
//!
//! It is asked for by `/etc/imad/state/rehearsal`, which the initramfs takes away before it loads anything, so that no two
//! boots are rehearsals. What came of it is `/var/lib/imad/rehearsal.json`; versioned as [`super::report`] is.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::explain::quote;
use super::next_boot::RefusedFile;
use super::policy::builtin::{Boot, Mode};
use super::policy::effective::Effective;
use super::policy::profile::KernelProfile;
use super::report::Problem;

/// What asks the next boot for a rehearsal.
pub const ARMED: &str = "/etc/imad/state/rehearsal";
/// The same once a boot has taken it, until the report is written.
pub const TAKEN: &str = "/etc/imad/state/rehearsal.taken";
/// The policy that is rehearsed: a copy with its label, since the file may lie where no initramfs sees it.
pub const POLICY: &str = "/etc/imad/state/rehearsal-policy";
/// Files that a report lists; more are counted.
pub const LISTED: usize = 1000;

/// What is asked of the next boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Version of the schema.
    pub version: u32,
    /// The policy's file, as it was found in the root.
    pub policy: String,
    /// SHA-256 of its content.
    pub policy_sha256: String,
    /// When it was asked.
    pub asked_time_us: u64,
    /// Who asked.
    pub who: String,
}

/// How the kernel tells what the policy would deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RehearsalWay {
    /// The policy itself is loaded, and the kernel records what it would deny (`ima_appraise=log`).
    Log,
    /// Rules are loaded that measure what the policy appraises.
    Measure,
    /// Not at all: nothing is loaded.
    #[default]
    Nothing,
}

/// The way that a kernel that was started so leaves, and why there is no better one.
pub fn way(boot: &Boot, profile: &KernelProfile) -> (RehearsalWay, Option<&'static str>) {
    if !profile.ima {
        return (RehearsalWay::Nothing, Some("this kernel has no IMA"));
    }
    if boot.mode(profile).0 == Mode::Log {
        return (RehearsalWay::Log, None);
    }
    if Effective::at_boot(boot, profile).refuses_text() {
        let why = "the kernel's own rules let signed policies be loaded only, which rules that merely measure are not";
        return (RehearsalWay::Nothing, Some(why));
    }
    (RehearsalWay::Measure, None)
}

/// What imad-boot did about a rehearsal, in its report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalOutcome {
    /// The policy's file, as it was asked for.
    pub policy: String,
    /// SHA-256 of its content.
    pub policy_sha256: String,
    /// How the kernel tells.
    pub way: RehearsalWay,
    /// Where it is recorded that no other boot is to be this rehearsal, in words.
    pub store: String,
    /// Rules that were loaded.
    pub rules: u64,
    /// How the load was verified; absent where nothing is loaded.
    pub verified_by: Option<String>,
    /// Entries that the kernel's measurement list had before.
    pub measured_before: u64,
    /// Why nothing is loaded, and what else a person should know.
    pub problems: Vec<Problem>,
}

impl RehearsalOutcome {
    /// What a person is told first in such a boot.
    pub fn summary(&self) -> String {
        let how = match self.way {
            RehearsalWay::Log => "the kernel records what it would deny",
            RehearsalWay::Measure => "the kernel measures what the policy would ask for its label",
            RehearsalWay::Nothing => "nothing could be loaded for it",
        };
        format!("Rehearsal: this boot denies nothing; it is one of {}, and {how}.", self.policy)
    }
}

/// What `imactl rehearse --policy` did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the schema.
    pub version: u32,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The next boot is a rehearsal.
    pub armed: bool,
    /// What was, or would be, asked for.
    pub request: Request,
    /// Rules of the policy.
    pub rules: u64,
    /// How the kernel will tell, if it is the one that boots by default.
    pub way: RehearsalWay,
    /// What the next reboot will do, in words.
    pub next_reboot: String,
    /// What a person should know.
    pub problems: Vec<Problem>,
}

/// `imactl rehearse` without a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalStatus {
    /// Version of the schema.
    pub version: u32,
    /// What is asked of the next boot.
    pub armed: Option<Request>,
    /// The last rehearsal's report.
    pub report: Option<RehearsalReport>,
    /// What wants mending, files that would be denied apart.
    pub problems: Vec<Problem>,
}

/// What came of a rehearsal: `/var/lib/imad/rehearsal.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalReport {
    /// Version of the schema.
    pub version: u32,
    /// The policy's file, as it was asked for.
    pub policy: String,
    /// SHA-256 of its content.
    pub policy_sha256: String,
    /// `uname -r` of the boot.
    pub kernel: String,
    /// How the kernel told.
    pub way: RehearsalWay,
    /// When the report was made.
    pub made_time_us: u64,
    /// How long that took.
    pub duration_us: u64,
    /// The answer in one sentence.
    pub summary: String,
    /// Nothing would have been denied.
    pub passes: bool,
    /// The boot would have come to a login.
    pub comes_through: bool,
    /// Files that the kernel told of.
    pub used: u64,
    /// Files that were put to the policy.
    pub files: u64,
    /// How many of them it would deny.
    pub refused_count: u64,
    /// The first thousand of them, those without which nobody logs in first.
    pub refused: Vec<WouldBeDenied>,
    /// What kept the answer from being complete.
    pub problems: Vec<Problem>,
}

/// A file, or a place without labels, that the policy would deny.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldBeDenied {
    /// The file, why, and what mends it.
    #[serde(flatten)]
    pub file: RefusedFile,
    /// The kernel told of it in that boot; otherwise it is known by what units and programs name.
    pub used: bool,
}

impl RehearsalReport {
    /// Counts, cuts and sums up. What a login needs comes first, then what was used.
    pub fn finish(&mut self, mut refused: Vec<WouldBeDenied>) {
        refused.sort_by(|a, b| {
            let rank = |it: &WouldBeDenied| (!it.file.core, !it.file.needed, !it.used);
            rank(a).cmp(&rank(b)).then_with(|| a.file.path.cmp(&b.file.path))
        });
        self.refused_count = refused.len() as u64;
        self.passes = refused.is_empty();
        let needed = refused.iter().filter(|it| it.file.needed).count();
        self.comes_through = needed == 0;
        let files = |count: usize| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        let told = match self.way {
            RehearsalWay::Nothing => {
                "the kernel told nothing, so this is by what units and programs name alone".to_owned()
            }
            _ => format!("{} used in that boot and {} put to the policy in all", self.used, self.files),
        };
        self.summary = match refused.first() {
            None => format!("{} would have denied nothing ({told}).", self.policy),
            Some(first) if needed > 0 => format!(
                "{} would have kept this machine from a login: it denies {}, of which a login needs {needed}, {} first \
                 ({told}).",
                self.policy,
                files(refused.len()),
                quote(&first.file.path),
            ),
            Some(first) => format!(
                "Under {} this machine would have come to a login; it denies {}, {} first ({told}).",
                self.policy,
                files(refused.len()),
                quote(&first.file.path),
            ),
        };
        refused.truncate(LISTED);
        self.refused = refused;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_what_the_kernel_leaves() {
        let profile = KernelProfile::default();
        let way_of = |line: &str, secure_boot, profile: &KernelProfile| {
            way(&Boot { secure_boot, ..Boot::from_command_line(line) }, profile).0
        };
        assert_eq!(way_of("ro", false, &profile), RehearsalWay::Measure);
        assert_eq!(way_of("ima_appraise=log", false, &profile), RehearsalWay::Log);
        // Secure Boot has the kernel pass that over.
        assert_eq!(way_of("ima_appraise=log", true, &profile), RehearsalWay::Measure);
        assert_eq!(way_of("ima_appraise=off", false, &profile), RehearsalWay::Measure);
        assert_eq!(way_of("ima_policy=secure_boot", false, &profile), RehearsalWay::Nothing);
        // The content gate counts in log mode too; the policy itself is loaded by its path.
        assert_eq!(way_of("ima_policy=secure_boot ima_appraise=log", false, &profile), RehearsalWay::Log);
        let signed = KernelProfile { arch_policy_signed: true, ..profile.clone() };
        assert_eq!(way_of("ro", true, &signed), RehearsalWay::Nothing);
        assert_eq!(way_of("ro", false, &KernelProfile { ima: false, ..profile }), RehearsalWay::Nothing);
    }

    fn refused(path: &str, core: bool, needed: bool, used: bool) -> WouldBeDenied {
        let file = RefusedFile {
            path: path.to_owned(),
            why: "it has no label".to_owned(),
            label: None,
            package: None,
            rule: None,
            next: format!("imactl relabel {path}"),
            needed_for: None,
            core,
            needed,
        };
        WouldBeDenied { file, used }
    }

    #[test]
    fn what_a_login_needs_is_named_first() {
        let mut report = RehearsalReport { policy: "/p".to_owned(), way: RehearsalWay::Measure, ..Default::default() };
        report.finish(Vec::new());
        assert!(report.passes && report.comes_through && report.summary.contains("denied nothing"), "{report:?}");
        report.finish(vec![refused("/b", false, false, false), refused("/c", false, false, true)]);
        assert!(!report.passes && report.comes_through, "{report:?}");
        assert_eq!(report.refused[0].file.path, "/c");
        assert!(report.summary.contains("come to a login; it denies 2 files, /c first"), "{}", report.summary);
        report.finish(vec![
            refused("/b", false, true, false),
            refused("/a", false, false, true),
            refused("/sh", true, true, true),
        ]);
        assert!(!report.comes_through && report.summary.contains("needs 2, /sh first"), "{}", report.summary);
        let paths: Vec<_> = report.refused.iter().map(|it| it.file.path.as_str()).collect();
        assert_eq!(paths, ["/sh", "/b", "/a"]);
        report.finish((0..2 * LISTED).map(|number| refused(&format!("/{number}"), false, false, true)).collect());
        assert_eq!((report.refused.len(), report.refused_count), (LISTED, 2 * LISTED as u64));
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut report = RehearsalReport::default();
        report.finish(vec![refused("/a", true, true, true)]);
        let text = serde_json::to_string(&report).unwrap();
        assert!(text.contains("\"path\":\"/a\"") && text.contains("\"used\":true"), "{text}");
        assert_eq!(serde_json::from_str::<RehearsalReport>(&text).unwrap(), report);
    }
}

//! "Would the next boot come through?": what `imactl check --next-boot` answers, and how it comes to it. One definition for
//! `--json`, `/var/lib/imad/next-boot.json` and tables; versioned as [`super::report`] is.
#![forbid(unsafe_code)]

mod loading;
mod summary;

use serde::{Deserialize, Serialize};

pub use loading::{Findings, KernelFacts, Loads, PolicyFacts, findings};
pub use summary::summarize;

use super::initramfs::Contents;
use super::prediction::RuleReference;
use super::report::Problem;

/// Refused files that are listed of each kernel.
pub const LISTED: usize = 100;

/// What a boot comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The policy is loaded and denies nothing that the boot needs.
    Protected,
    /// The boot comes through without the policy.
    #[default]
    Unprotected,
    /// It cannot be told: what is booted could not be looked at.
    Unknown,
    /// The boot stops.
    Fails,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextBoot {
    /// Version of the schema.
    pub version: u32,
    /// When it was found out.
    pub checked_time_us: u64,
    /// How long that took.
    pub duration_us: u64,
    /// Nothing is in the way of the policy with any kernel.
    pub ready: bool,
    /// The answer in one sentence.
    pub summary: String,
    /// The policy file.
    pub policy: String,
    /// SHA-256 of the policy file; absent where there is none.
    pub policy_sha256: Option<String>,
    /// Files that were put to the policy.
    pub files: u64,
    /// Every kernel that can be booted.
    pub kernels: Vec<BootKernel>,
    /// What kept the answer from being complete.
    pub problems: Vec<Problem>,
    /// What was found in images of initramfs.
    pub images: Vec<Image>,
}

impl NextBoot {
    /// The packages whose files are refused, as far as they are listed; each once.
    pub fn packages(&self) -> Vec<&str> {
        let refused = self.kernels.iter().flat_map(|kernel| &kernel.refused);
        let mut packages: Vec<&str> = refused.filter_map(|file| file.package.as_deref()).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }
}

/// One kernel with its initramfs and command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootKernel {
    /// `uname -r`, as far as it is known; else the version that the boot entry names.
    pub release: String,
    /// What the boot loader's menu shows.
    pub title: Option<String>,
    /// The file that the boot entry was found in.
    pub entry: String,
    /// It is started unless somebody chooses; absent where the boot loader's choice is not known.
    pub is_default: Option<bool>,
    /// The kernel's image.
    pub kernel: String,
    /// The images of the initramfs.
    pub initrds: Vec<String>,
    /// The command line.
    pub command_line: String,
    /// What the boot comes to.
    pub outcome: Outcome,
    /// Nothing is in the way of the policy.
    pub ready: bool,
    /// What is in the way, refused files apart.
    pub problems: Vec<Problem>,
    /// What a person should know all the same.
    pub notes: Vec<Problem>,
    /// How many files the policy denies to the boot.
    pub refused_count: u64,
    /// The first hundred of them, those without which no shell starts first.
    pub refused: Vec<RefusedFile>,
}

/// A file, or a place without labels, that the policy denies to the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedFile {
    /// Its path, or the place in words.
    pub path: String,
    /// Why it is denied.
    pub why: String,
    /// The state of its label in words; absent for places.
    pub label: Option<String>,
    /// The package that owns it.
    pub package: Option<String>,
    /// The rule that denies it.
    pub rule: Option<RuleReference>,
    /// The step that mends it.
    pub next: String,
    /// Without it not even a rescue shell starts.
    pub core: bool,
}

/// An image of an initramfs and what is in it: looking into one that is still the same is spared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The file.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its last change: seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Its device and inode numbers.
    pub inode: (u64, u64),
    /// What is in it.
    pub contents: Contents,
}

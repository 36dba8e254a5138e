//! What will make appraisal fail, or an update hurt, some day: what `imactl doctor` says of a machine, by facts alone.
//!
//! - `facts`: what is looked at
//! - `kernel`, `keys`, `packages`, `boot`, `system`: what is said of it, an area or two each
#![forbid(unsafe_code)]

mod boot;
mod facts;
mod kernel;
mod keys;
mod packages;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use facts::{
    CertificateFacts, CommandLine, Containers, Dracut, Facts, Folder, FolderState, ImageFacts, KernelBuild,
    LabelSupport, Packages, Place, Plugin, Policy, Unit, Unsigned,
};
pub use packages::plugin_problem;

use super::report::{Problem, VERSION};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Protection does not come about, or something that the machine needs will be denied.
    Fault,
    /// It goes well until something else happens: an update, a date, the next image of an initramfs.
    Warning,
    /// What a person should know, and nothing need be done about.
    Note,
}

impl Severity {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a finding is about; in this order they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// What `imactl status` names.
    Status,
    /// What kernels are built with, and EVM.
    Kernel,
    /// Kernel command lines.
    CommandLine,
    /// Certificates.
    Keys,
    /// The policy.
    Policy,
    /// The next boot and the images of its initramfs.
    Boot,
    /// rpm and what packages bring.
    Packages,
    /// Labels, and where they are kept.
    Labels,
    /// Units and folders of imad's own.
    Imad,
}

impl Area {
    /// Its heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Kernel => "Kernel",
            Self::CommandLine => "Command line",
            Self::Keys => "Keys",
            Self::Policy => "Policy",
            Self::Boot => "Next boot",
            Self::Packages => "Packages",
            Self::Labels => "Labels",
            Self::Imad => "imad",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind, a name that stays.
    pub name: String,
    /// What it is about.
    pub area: Area,
    /// How grave it is.
    pub severity: Severity,
    /// The file, package, kernel or unit where it was found.
    pub place: String,
    /// What it is, and the step that mends it.
    #[serde(flatten)]
    pub problem: Problem,
}

/// The answer of `imactl doctor`; versioned as [`super::report`] is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Version of the schema.
    pub version: u32,
    /// Nothing was found but notes.
    pub healthy: bool,
    /// What was found: by area, the gravest first.
    pub findings: Vec<Finding>,
}

/// Findings in the making.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, name: &str, area: Area, severity: Severity, place: impl Into<String>, problem: Problem) {
        self.0.push(Finding { name: name.to_owned(), area, severity, place: place.into(), problem });
    }
}

/// Judges.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let mut found = Findings::default();
    kernel::judge(facts, &mut found);
    keys::judge(facts, &mut found);
    boot::judge(facts, &mut found);
    packages::judge(facts, &mut found);
    system::judge(facts, &mut found);
    let Findings(mut findings) = found;
    findings.sort_by_key(|finding| (finding.area, finding.severity));
    // The status may name what another area names too.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.problem.what.clone()));
    let healthy = findings.iter().all(|finding| finding.severity == Severity::Note);
    Diagnosis { version: VERSION, healthy, findings }
}

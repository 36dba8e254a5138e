//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::model::policy::steps::Way;

/// Shows and mends the labels, keys and policy of Linux file integrity (IMA appraisal).
#[derive(Debug, Parser)]
#[command(
    name = "imactl",
    version,
    max_term_width = 100,
    after_help = "\
Exit status: 0 all well; 1 the answer is no; 2 wrong usage or input; 3 the system refused."
)]
pub struct Arguments {
    /// Print JSON (see imactl(1) for the schema)
    #[arg(long, global = true)]
    pub json: bool,
    /// Work on the root in this folder, without the daemon
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What imactl can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what is protected here, and what wants mending
    Status,
    /// Write the labels that packages bring, where they are missing, stale or mere hashes
    Relabel(Relabel),
    /// Verify the labels of packaged files against their content, or say whether the next boot comes through
    #[command(visible_alias = "verify")]
    Check(Check),
    /// Say whether the kernel lets a file be used, by which rule and label, and what mends it
    Explain(Explain),
    /// Show and put back what was done to labels
    Labels(Labels),
    /// Check, lay out, list and show policies
    Policy(Policy),
    /// Show what boots proved of policies, and let a policy that was given up be tried again
    Trial(Trial),
    /// Look for everything that will make appraisal fail or an update hurt some day, with the steps that mend it
    Doctor,
    /// Arm a policy for the next boot: certificates, labels, initramfs images, the check of the next boot, the policy
    Setup(Setup),
    /// Put back what setup changed
    Teardown(Teardown),
    /// Ask the next boot what a policy would deny, before anything is denied; without a policy, show what the last one said
    Rehearse(Rehearse),
}

/// `imactl relabel`
#[derive(Debug, Args)]
pub struct Relabel {
    /// Files, or folders with all packaged files below them; every packaged file where none is given
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only the files of this package; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "paths")]
    pub package: Vec<String>,
    /// Write nothing, say what would be written
    #[arg(long)]
    pub dry_run: bool,
    /// Read every file, also those whose content cannot have changed since their labels were verified
    #[arg(long)]
    pub full: bool,
}

/// `imactl check`
#[derive(Debug, Args)]
pub struct Check {
    /// Files, or folders with all packaged files below them; every packaged file where none is given
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only the files of this package; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "paths")]
    pub package: Vec<String>,
    /// Read every file, also those whose content cannot have changed since their labels were verified
    #[arg(long)]
    pub full: bool,
    /// Say whether the next boot comes through: every bootable kernel with its own initramfs and command line, under the
    /// policy and the keys that will be there
    #[arg(long, conflicts_with_all = ["paths", "package", "full"])]
    pub next_boot: bool,
    /// With --next-boot: only the kernel with this release (uname -r)
    #[arg(long, value_name = "VERSION", requires = "next_boot")]
    pub kernel: Option<String>,
}

/// `imactl explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// What is done with it; by default what such a file is for
    #[arg(long = "as", value_name = "WAY", value_parser = way())]
    pub way: Option<Way>,
    /// By the user with this number; by default by whoever asks
    #[arg(long, value_name = "UID")]
    pub uid: Option<u32>,
    /// Judge by this policy (name or file) as if it were loaded, not by the rules in force
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: Option<PathBuf>,
}

fn way() -> impl TypedValueParser<Value = Way> {
    PossibleValuesParser::new(Way::ALL.map(Way::name))
        .map(|word| Way::ALL.into_iter().find(|way| way.name() == word).unwrap_or(Way::Exec))
}

/// `imactl labels`
#[derive(Debug, Args)]
pub struct Labels {
    /// What to do
    #[command(subcommand)]
    pub verb: LabelsVerb,
}

/// What imactl can do with labels beside writing those of packages.
#[derive(Debug, Subcommand)]
pub enum LabelsVerb {
    /// Show every change of a file's label that the label journal knows; without a file, the jobs that changed labels
    History(LabelsHistory),
    /// Put back what a job did to labels, where nothing else happened to them since
    Revert(LabelsRevert),
    /// Label the initramfs that dracut unpacked for the shutdown; where the policy would deny it all the same, have systemd
    /// end the system by itself
    Exitrd,
}

/// `imactl labels history`
#[derive(Debug, Args)]
pub struct LabelsHistory {
    /// The file
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// `imactl labels revert`
#[derive(Debug, Args)]
pub struct LabelsRevert {
    /// The job's number (see imactl labels history)
    #[arg(value_name = "JOB")]
    pub job: u64,
    /// Write nothing, say what would be put back
    #[arg(long)]
    pub dry_run: bool,
}

/// `imactl setup`
#[derive(Debug, Args)]
pub struct Setup {
    /// The policy: a name (see imactl policy list) or a signed file, with --root inside of it
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: String,
    /// A certificate to put into the keys folder, DER or PEM; may be repeated
    #[arg(long, value_name = "FILE")]
    pub cert: Vec<PathBuf>,
    /// Change nothing, say what would be done and what is in the way
    #[arg(long)]
    pub dry_run: bool,
    /// Arm it even where a step says no; what that is likely to break is said
    #[arg(long)]
    pub force: bool,
}

/// `imactl teardown`
#[derive(Debug, Args)]
pub struct Teardown {
    /// Change nothing, say what would be put back
    #[arg(long)]
    pub dry_run: bool,
}

/// `imactl rehearse`
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 armed, canceled, or nothing would be denied; 1 something would be, or no rehearsal came to a report; 2 \
wrong usage or input; 3 the system refused.")]
pub struct Rehearse {
    /// Make the next boot a rehearsal of this policy: a name (see imactl policy list) or a file, with --root inside of it
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: Option<String>,
    /// Change nothing, say what the next boot would do
    #[arg(long, requires = "policy")]
    pub dry_run: bool,
    /// Let the next boot be no rehearsal
    #[arg(long, conflicts_with = "policy")]
    pub cancel: bool,
}

/// `imactl policy`
#[derive(Debug, Args)]
pub struct Policy {
    /// What to do
    #[command(subcommand)]
    pub verb: PolicyVerb,
}

/// What imactl can do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Say whether the kernel would take policy files, why not, and what loads but bricks, opens a hole or surprises
    Check(PolicyCheck),
    /// Say which packaged files another policy denies or lets through, that this one does not
    Diff(PolicyDiff),
    /// Lay policy files out: one blank between words, words in the kernel's order; comments and the order of rules stay
    Fmt(PolicyFmt),
    /// List the policies that have names
    List,
    /// Show the rules in effect, or those of a policy, with the lines that they come from
    Show(PolicyShow),
}

/// `imactl policy check`
#[derive(Debug, Args)]
pub struct PolicyCheck {
    /// Policy files, with --root inside of it; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Judge for the kernel with this configuration, compressed by gzip or not, instead of the running one
    #[arg(long, value_name = "FILE")]
    pub kernel_config: Option<PathBuf>,
    /// Judge every line as a policy of its own, and print one JSON object a line
    #[arg(long)]
    pub each_line: bool,
    /// Let warnings be a no (exit status 1)
    #[arg(long)]
    pub strict: bool,
    /// Show notes too, and where what is known of the kernel comes from
    #[arg(long, short)]
    pub verbose: bool,
}

/// `imactl policy diff`
#[derive(Debug, Args)]
pub struct PolicyDiff {
    /// A policy's name (see imactl policy list) or file, or `active`: the rules in force
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// Another
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// Files are used by the user with this number
    #[arg(long, value_name = "UID", default_value_t = 0)]
    pub uid: u32,
}

/// `imactl policy fmt`
#[derive(Debug, Args)]
pub struct PolicyFmt {
    /// Policy files, with --root inside of it, which are changed in place; - is standard input, laid out on standard output
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Change nothing; say which files would change (exit status 1)
    #[arg(long)]
    pub check: bool,
}

/// `imactl policy show`
#[derive(Debug, Args)]
pub struct PolicyShow {
    /// A policy's name (see imactl policy list) or file; without, the rules in effect
    #[arg(value_name = "NAME|FILE")]
    pub policy: Option<PathBuf>,
}

/// `imactl trial`
#[derive(Debug, Args)]
pub struct Trial {
    /// What to do
    #[command(subcommand)]
    pub verb: TrialVerb,
}

/// What imactl can do with boots on trial.
#[derive(Debug, Subcommand)]
pub enum TrialVerb {
    /// Show which policies carried this machine to a confirmed boot, which is on trial, and which was given up and why
    Status,
    /// Take notice of a policy that was given up, so that it is tried again at the next boot
    Acknowledge,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }
}

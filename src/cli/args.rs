//! The command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    /// Verify the labels of packaged files against their content
    Check(Check),
    /// Say in what state a file's label is, why, and what mends it
    Explain(Explain),
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
}

/// `imactl explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
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

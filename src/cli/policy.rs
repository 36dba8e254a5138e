//! `imactl policy`
#![forbid(unsafe_code)]

use std::path::Path;

use super::args::{Arguments, PolicyVerb};
use super::exit::{Answer, Failure};
use super::{policy_check, policy_diff, policy_fmt, policy_show};

pub(super) fn run(arguments: &Arguments, verb: &PolicyVerb) -> Result<Answer, Failure> {
    match verb {
        PolicyVerb::Check(verb) => policy_check::run(arguments, verb),
        PolicyVerb::Diff(verb) => policy_diff::run(arguments, verb),
        PolicyVerb::Fmt(verb) => policy_fmt::run(arguments, verb),
        PolicyVerb::List => policy_show::list(arguments),
        PolicyVerb::Show(verb) => policy_show::show(arguments, verb),
    }
}

/// A file that cannot be read or written is wrong input; the others are dealt with all the same.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("{}: {error}", path.display()), format!("ls -l {}", path.display()))
}

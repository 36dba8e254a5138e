//! imactl: what a person or a script asks of imad.
#![forbid(unsafe_code)]

mod args;
mod check;
mod client;
mod exit;
mod explain;
mod labels;
mod legacy;
mod next_boot;
mod policy;
mod policy_check;
mod policy_diff;
mod policy_fmt;
mod policy_show;
mod progress;
mod rehearse;
mod relabel;
mod render;
mod rules;
mod setup;
mod status;
mod target;
mod trial;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

pub use args::Arguments;

/// The command line's definition, from which `--help`, man pages and completions are made.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The program.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if legacy::is_called(words.next().as_deref()) {
        return legacy::main(words);
    }
    let arguments = match command().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        // clap says wrong usage with 2 and help with 0, as imactl does.
        Err(error) => error.exit(),
    };
    let result = match &arguments.verb {
        args::Verb::Status => status::run(&arguments),
        args::Verb::Relabel(verb) => relabel::run(&arguments, verb),
        args::Verb::Check(verb) => check::run(&arguments, verb),
        args::Verb::Explain(verb) => explain::run(&arguments, verb),
        args::Verb::Labels(verb) => labels::run(&arguments, &verb.verb),
        args::Verb::Policy(verb) => policy::run(&arguments, &verb.verb),
        args::Verb::Trial(verb) => trial::run(&arguments, &verb.verb),
        args::Verb::Setup(verb) => setup::setup(&arguments, verb),
        args::Verb::Teardown(verb) => setup::teardown(&arguments, verb),
        args::Verb::Rehearse(verb) => rehearse::run(&arguments, verb),
    };
    exit::code(result)
}

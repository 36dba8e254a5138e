//! imad: watches package transactions, labels what they bring, and answers on the bus.
//!
//! `engine` decides (pure), `run` carries out on one thread; what blocks, labelling above all, has threads of its own
//! while it lasts, so that an idle daemon is one thread that nothing wakes.
#![forbid(unsafe_code)]

mod answer;
mod authorize;
mod engine;
mod event;
mod jobs;
mod record;
mod run;
mod serve;
mod source;
mod state;
mod tally;
mod turn;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::sys::journal;
use run::Options;

const USAGE: &str = "\
Usage: imad [--bus ADDRESS] [--root DIR]
       imad --help | --version

Labels what the package database says and is missing, then watches package transactions, labels
what they bring, and answers as org.imad1 on the system bus. Started by imad.service; see imad(8).

--bus ADDRESS  use this D-Bus instead of the system bus
--root DIR     work on the root in this folder
SIGHUP reads the configuration again, SIGTERM ends it between two files; what a transaction has
brought is labelled before, and the next boot checked.
Exit status: 0 told to end; 2 wrong usage; 3 it could not begin.
";

/// What the command line asks for.
#[derive(Debug)]
enum Verb {
    Run(Options),
    Help,
    Version,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Verb, String> {
    let mut options = Options { root: PathBuf::from("/"), bus: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bus" => options.bus = Some(value()?),
            "--root" => options.root = value()?.into(),
            "--help" => return Ok(Verb::Help),
            "--version" => return Ok(Verb::Version),
            other => return Err(format!("unknown argument \"{other}\"")),
        }
    }
    Ok(Verb::Run(options))
}

/// The program.
pub fn main() -> ExitCode {
    let mut options = match parse(std::env::args().skip(1)) {
        Ok(Verb::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Verb::Version) => {
            println!("imad {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Verb::Run(options)) => options,
        Err(why) => {
            eprint!("imad: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    journal::init("imad");
    // The program's own path is compared with it.
    if let Ok(path) = options.root.canonicalize() {
        options.root = path;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the event loop cannot be made: {error}");
            return ExitCode::from(3);
        }
    };
    match runtime.block_on(run::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::error!("{why}");
            ExitCode::from(3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let parse = |arguments: &[&str]| parse(arguments.iter().map(|argument| (*argument).to_owned()));
        let Ok(Verb::Run(options)) = parse(&["--bus", "unix:path=/b", "--root", "/r"]) else { panic!() };
        assert_eq!((options.bus.as_deref(), options.root.to_str()), (Some("unix:path=/b"), Some("/r")));
        assert!(matches!(parse(&["--version"]), Ok(Verb::Version)));
        assert!(parse(&["--bus"]).is_err() && parse(&["run"]).is_err());
    }
}

//! Exit status and the last words.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// All well.
    Yes,
    /// The answer is no.
    No,
}

/// Why a verb could not be carried out.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    what: String,
    next: String,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Input,
    System,
}

impl Failure {
    /// The input is wrong.
    pub(super) fn input(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind: Kind::Input, what: what.into(), next: next.into() }
    }

    /// The system refused.
    pub(super) fn system(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind: Kind::System, what: what.into(), next: next.into() }
    }

    /// Says it on standard error.
    pub(super) fn say(&self) {
        eprintln!("imactl: {}", self.what);
        if !self.next.is_empty() {
            eprintln!("Next: {}", self.next);
        }
    }
}

/// Says what went wrong and turns the result into imactl's exit status.
pub(super) fn code(result: Result<Answer, Failure>) -> ExitCode {
    let failure = match result {
        Ok(Answer::Yes) => return ExitCode::SUCCESS,
        Ok(Answer::No) => return ExitCode::from(1),
        Err(failure) => failure,
    };
    failure.say();
    match failure.kind {
        Kind::Input => ExitCode::from(2),
        Kind::System => ExitCode::from(3),
    }
}

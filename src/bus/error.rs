//! The errors of `org.imad1`.
#![forbid(unsafe_code)]

use zbus::message::{Header, Message};
use zbus::names::ErrorName;
use zbus::{DBusError, fdo};

use crate::model::report::Problem;

/// Errors of our own. The text says what is wrong and, after "Next: ", what to do.
#[derive(Debug, Clone, PartialEq, DBusError)]
#[zbus(prefix = "org.imad1.Error")]
pub enum Error {
    /// What the bus or zbus said.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// There is no such job (any more).
    NoSuchJob(String),
    /// A package that is asked for is not installed.
    NoSuchPackage(String),
    /// Too much is waiting already.
    Busy(String),
    /// The package database cannot be read.
    Database(String),
    /// Labels would not find room on their file system.
    NoSpace(String),
    /// An option or argument is not one that the method knows.
    InvalidArgument(String),
    /// The job was cancelled.
    Canceled(String),
    /// Something else went wrong.
    Failed(String),
}

/// What joins a problem and its next step in an error's text.
const NEXT: &str = ". Next: ";

impl Error {
    /// The text for a problem with a next step.
    pub fn text(problem: &Problem) -> String {
        if problem.next.is_empty() { problem.what.clone() } else { format!("{}{NEXT}{}", problem.what, problem.next) }
    }
}

/// Why a method failed: an error of ours, or one of D-Bus itself (`AccessDenied`, `InteractiveAuthorizationRequired`, …).
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// `org.imad1.Error.*`
    Imad(Error),
    /// `org.freedesktop.DBus.Error.*`; what else kept a client from an answer is its [`fdo::Error::ZBus`].
    DBus(fdo::Error),
}

impl Failure {
    /// Whether the daemon itself said so; else nobody has the bus name, or there is no bus.
    pub const fn is_answer(&self) -> bool {
        match self {
            Self::Imad(_) => true,
            Self::DBus(error) => matches!(
                error,
                fdo::Error::AccessDenied(_)
                    | fdo::Error::InteractiveAuthorizationRequired(_)
                    | fdo::Error::InvalidArgs(_)
            ),
        }
    }

    /// What is wrong, and the next step where the daemon named one.
    pub fn problem(&self) -> Problem {
        match self {
            Self::DBus(fdo::Error::ZBus(error)) => Problem::new(error.to_string(), ""),
            _ => problem(self.description().unwrap_or_default()),
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::FDO(error) => Self::DBus(*error),
            error => match Error::from(error) {
                Error::ZBus(error) => Self::DBus(fdo::Error::ZBus(error)),
                error => Self::Imad(error),
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Imad(error)
    }
}

impl From<fdo::Error> for Failure {
    fn from(error: fdo::Error) -> Self {
        Self::DBus(error)
    }
}

impl DBusError for Failure {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        match self {
            Self::Imad(error) => error.create_reply(call),
            Self::DBus(error) => error.create_reply(call),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        match self {
            Self::Imad(error) => error.name(),
            Self::DBus(error) => error.name(),
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Imad(error) => error.description(),
            Self::DBus(error) => error.description(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Error::text(&self.problem()))
    }
}

impl std::error::Error for Failure {}

/// Takes an error's text apart again.
pub fn problem(text: &str) -> Problem {
    text.split_once(NEXT).map_or_else(|| Problem::new(text, ""), |(what, next)| Problem::new(what, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_bus() {
        let sent = Problem::new("no such job", "imactl status");
        assert_eq!(problem(&Error::text(&sent)), sent);
        assert_eq!(problem("plain"), Problem::new("plain", ""));
        let failure = Failure::from(Error::NoSuchJob(Error::text(&sent)));
        assert_eq!(failure.name().as_str(), "org.imad1.Error.NoSuchJob");
        let denied = Failure::from(zbus::Error::from(fdo::Error::AccessDenied("no".to_owned())));
        assert!(denied.is_answer() && denied.problem().what == "no");
        assert!(!Failure::from(zbus::Error::from(fdo::Error::ServiceUnknown("no".to_owned()))).is_answer());
    }
}

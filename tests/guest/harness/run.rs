//! Commands in a guest, and what came of them.

use std::fmt;
use std::time::Duration;

use super::guest::{Failure, Guest, must};
use super::wire::{Command, Status};

/// A command about to run.
#[must_use = "nothing runs before `output`"]
pub(crate) struct Run<'a> {
    guest: &'a Guest,
    command: Command,
}

impl<'a> Run<'a> {
    pub(super) fn new(guest: &'a Guest, argv: Vec<String>) -> Self {
        Self { guest, command: Command { argv, timeout: Duration::from_secs(120), ..Command::default() } }
    }

    /// What it reads (nothing).
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.command.stdin = bytes.into();
        self
    }

    /// A variable beside PATH, HOME, USER, LOGNAME, LANG and TERM.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Who runs it (root).
    pub(crate) fn user(mut self, user: &str) -> Self {
        self.command.user = Some(user.to_owned());
        self
    }

    /// After what time it is killed, with its process group (two minutes).
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.command.timeout = timeout;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn output(self) -> Output {
        must(self.try_output())
    }

    /// Runs it to its end, or says why the guest does not answer.
    pub(crate) fn try_output(self) -> Result<Output, Failure> {
        self.guest.carry_out(&self.command)
    }
}

/// A command that has run.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) argv: Vec<String>,
    pub(crate) status: Status,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Whether it ended with 0.
    pub(crate) fn success(&self) -> bool {
        self.status == Status::Exited(0)
    }

    /// Whether the kernel refused to start it: EACCES here, 126 from a shell.
    pub(crate) fn denied(&self) -> bool {
        let eacces = rustix::io::Errno::ACCESS.raw_os_error();
        [Status::NotStarted(eacces), Status::Exited(126)].contains(&self.status)
    }

    /// Panics with everything there is, unless it ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.success(), "{self}");
        self
    }

    /// What it wrote, without the last line's end; panics unless it ended with 0.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        self.ok().stdout.trim_end().to_owned()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { argv, status, stdout, stderr } = self;
        write!(formatter, "{argv:?}: {status:?}\n--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}\n---")
    }
}

//! Asking the daemon.
#![forbid(unsafe_code)]

use super::exit::Failure;
use crate::model::report::{LabelReport, Status};
use crate::ops::labels::Selection;

/// The daemon's status; `None` where it does not run.
pub(super) fn status() -> Result<Option<Status>, Failure> {
    Ok(None)
}

/// A relabelling job of the daemon; `None` where it does not run.
pub(super) fn relabel(_selection: &Selection, _write: bool) -> Result<Option<LabelReport>, Failure> {
    Ok(None)
}

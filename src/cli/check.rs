//! `imactl check`
#![forbid(unsafe_code)]

use super::args::{Arguments, Check};
use super::exit::{Answer, Failure};
use super::target::{Target, failure, selection};
use super::{next_boot, progress, relabel, render};
use crate::ops::labels::Request;

pub(super) fn run(arguments: &Arguments, verb: &Check) -> Result<Answer, Failure> {
    if verb.next_boot {
        return next_boot::run(arguments, verb.kernel.as_deref());
    }
    let target = Target::open(arguments)?;
    let selection = selection(&target.root, &verb.paths, &verb.package)?;
    let request = Request { full: verb.full, ..target.request(&selection, None) };
    let report = progress::run(&request).map_err(|error| failure(&error))?;
    if arguments.json { render::json(&report) } else { render::label_report(&report) }?;
    Ok(relabel::answer(&report))
}

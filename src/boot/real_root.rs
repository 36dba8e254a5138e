//! The first moments of the real root: `/etc/ima` is shown again.
#![forbid(unsafe_code)]

use std::path::Path;

use super::run::{Run, warn};
use crate::model::message_id;
use crate::model::report::{BootReport, Outcome, Problem};
use crate::ops::status::boot_report;
use crate::sys::mount;
use crate::sys::root::Root;

/// Shows the folder again that was hidden from PID 1, and adds that to the report of the initramfs.
pub(super) fn check() -> Result<BootReport, String> {
    let root = Root::running().map_err(|error| format!("/: {error}"))?;
    let earlier = boot_report(&root).map_err(|problem| problem.what)?;
    let Some(earlier) = earlier else {
        return Err("imad-boot did not run in the initramfs (dracut --force --regenerate-all, reboot)".to_owned());
    };
    let mut run = Run { report: earlier };
    run.step("show", |report| match mount::show(Path::new("/etc/ima")) {
        Ok(0) => (Outcome::Skipped, ()),
        Ok(_) => {
            report.policy.shown_again = true;
            (Outcome::Done, ())
        }
        Err(error) => {
            let problem = Problem::new(format!("/etc/ima cannot be shown again: {error}"), "umount -l /etc/ima");
            warn(message_id::BOOT_POLICY_NOT_HIDDEN, &problem);
            report.problems.push(problem);
            (Outcome::Failed, ())
        }
    });
    Ok(run.report)
}

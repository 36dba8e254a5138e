//! The first moments of the real root: `/etc/ima` is shown again.
#![forbid(unsafe_code)]

use std::path::Path;

use super::run::warn;
use crate::model::message_id;
use crate::model::report::{BootReport, Problem};
use crate::ops::status::boot_report;
use crate::sys::mount;
use crate::sys::root::Root;

/// Shows the folder again that was hidden from PID 1, whatever else went wrong, and adds that to the initramfs's report.
pub(super) fn check() -> Result<BootReport, String> {
    let shown = mount::show(Path::new("/etc/ima"));
    let earlier = Root::running().map_err(|error| format!("/: {error}")).and_then(|root| {
        let report = boot_report(&root).map_err(|problem| problem.what)?;
        report.ok_or_else(|| {
            "imad-boot did not run in the initramfs (dracut --force --regenerate-all, reboot)".to_owned()
        })
    });
    let problem = shown.as_ref().err().map(|error| {
        let problem = Problem::new(format!("/etc/ima cannot be shown again: {error}"), "umount -l /etc/ima");
        warn(message_id::BOOT_POLICY_NOT_HIDDEN, &problem);
        problem
    });
    let mut report = earlier?;
    report.policy.shown_again = shown.is_ok_and(|mounts| mounts > 0);
    report.problems.extend(problem);
    Ok(report)
}

//! The end of a boot that must not go on without a policy: the initramfs's emergency shell.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, ExitCode};

use super::run::on_console;
use crate::model::report::BootReport;

/// Tells a hook of an initramfs without systemd to stop.
const STOP: u8 = 4;
/// Whether systemd runs here (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Stops the boot. What else is queued is dropped with it, above all the switch to the real root; leaving the shell
/// begins again, with imad-boot.
pub(super) fn stop(report: &BootReport) -> ExitCode {
    let why = report.policy.problem.as_ref().map_or("there is no policy", |problem| problem.what.as_str());
    on_console(&format!("the boot stops here, since guard is \"closed\": {why}"));
    tracing::error!("the boot stops here, since guard is \"closed\": {why}");
    if Path::new(SYSTEMD).is_dir() {
        let isolated = Command::new("systemctl").args(["--no-block", "isolate", "emergency.target"]).status();
        if !isolated.as_ref().is_ok_and(std::process::ExitStatus::success) {
            let why = isolated.map_or_else(|error| error.to_string(), |status| status.to_string());
            on_console(&format!("emergency.target cannot be started: {why}"));
            tracing::error!("emergency.target cannot be started: {why}");
        }
    }
    ExitCode::from(STOP)
}

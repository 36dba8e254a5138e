//! The report in the making: steps with their times, and what is said aloud.
#![forbid(unsafe_code)]

use std::path::Path;

use crate::model::report::{BootReport, Outcome, Problem, Step, VERSION};
use crate::ops::status::BOOT_REPORT;
use crate::sys::{clock, durable, kernel, kmsg};

/// A run of imad-boot.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) report: BootReport,
}

impl Run {
    pub(super) fn new() -> Self {
        Self { report: BootReport { version: VERSION, kernel: kernel::release(), ..BootReport::default() } }
    }

    /// Makes a step, taking its times.
    pub(super) fn step<T>(&mut self, name: &str, work: impl FnOnce(&mut BootReport) -> (Outcome, T)) -> T {
        let (begin_us, cpu) = (clock::since_boot_us(), clock::cpu_us());
        let (outcome, value) = work(&mut self.report);
        self.report.steps.push(Step {
            name: name.to_owned(),
            begin_us,
            end_us: clock::since_boot_us(),
            cpu_us: clock::cpu_us() - cpu,
            outcome,
        });
        value
    }
}

/// A line on the console, for whoever sits before a machine that does not do what it should.
pub(super) fn on_console(text: &str) {
    if let Err(error) = kmsg::to_console(&format!("imad-boot: {text}")) {
        tracing::warn!("the console cannot be written to: {error}");
    }
}

/// A problem, said in the journal (with this message id) and on the console.
pub(super) fn warn(message_id: &str, problem: &Problem) {
    tracing::warn!(message_id, what = problem.what, next = problem.next, "{}. Next: {}", problem.what, problem.next);
    on_console(&format!("{}. Next: {}", problem.what, problem.next));
}

/// Writes the report.
pub(super) fn write(report: &BootReport) -> Result<(), String> {
    let path = Path::new(BOOT_REPORT);
    let failed = |error: std::io::Error| format!("{BOOT_REPORT} cannot be written: {error}");
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut json = serde_json::to_vec_pretty(report).map_err(|error| failed(error.into()))?;
    json.push(b'\n');
    durable::replace(path, &json).map_err(failed)
}

//! A bar on the terminal for work that takes more than a moment.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::model::report::LabelReport;
use crate::ops::labels::{self, PackageLabels, Progress, Request, RunError};

const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);

/// A bar that shows itself after a second, on a terminal only.
#[derive(Debug)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        // The template is a constant; a fault in it would leave indicatif's own style.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} files, {msg}, {eta} left") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    pub(super) fn show(&self, done: u64, total: u64, bytes: u64) {
        if let Self(Some(bar)) = self {
            bar.set_length(total.max(done));
            bar.set_position(done);
            bar.set_message(HumanBytes(bytes).to_string());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Self(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}

/// Makes a run with a bar beside it.
pub(super) fn run(request: &Request<'_>) -> Result<LabelReport, RunError> {
    run_by_package(request).map(|(report, _)| report)
}

/// The same, and what it found in each package.
pub(super) fn run_by_package(request: &Request<'_>) -> Result<(LabelReport, Vec<PackageLabels>), RunError> {
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let (finished, waiting) = mpsc::channel::<()>();
        scope.spawn(|| {
            let waiting = waiting;
            let mut patience = PATIENCE;
            let mut bar = None;
            while waiting.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                patience = TICK;
                let counters = [&progress.done, &progress.total, &progress.bytes];
                let [done, total, bytes] = counters.map(|counter| counter.load(Ordering::Relaxed));
                bar.get_or_insert_with(Bar::new).show(done, total, bytes);
            }
        });
        let report = labels::run_by_package(request, &progress);
        drop(finished);
        report
    })
}

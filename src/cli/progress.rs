//! A bar on the terminal for work that takes more than a moment.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

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
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} files, {per_sec}, {msg}, {eta} left") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    pub(super) fn show(&self, done: u64, total: u64, bytes: u64) {
        if let Self(Some(bar)) = self {
            bar.set_length(total.max(done));
            bar.set_position(done);
            let seconds = bar.elapsed().as_secs().max(1);
            bar.set_message(format!("{}, {}/s", HumanBytes(bytes), HumanBytes(bytes / seconds)));
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

/// SIGINT and SIGTERM, which let a run end between two files, as long as this lives.
#[derive(Debug)]
struct Interrupts {
    signals: SigSet,
    fd: SignalFd,
}

impl Interrupts {
    /// Takes them from this thread and those that it makes. `None`: they end the process at once, as ever.
    fn take() -> Option<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).ok()?;
        signals.thread_block().ok()?;
        Some(Self { signals, fd })
    }

    fn came(&self) -> bool {
        self.fd.read_signal().is_ok_and(|signal| signal.is_some())
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // It can only fail for a set that is none.
        self.signals.thread_unblock().unwrap_or_default();
    }
}

/// Makes a run with a bar beside it.
pub(super) fn run(request: &Request<'_>) -> Result<LabelReport, RunError> {
    run_by_package(request).map(|(report, _)| report)
}

/// The same, and what it found in each package.
pub(super) fn run_by_package(request: &Request<'_>) -> Result<(LabelReport, Vec<PackageLabels>), RunError> {
    let progress = Progress::default();
    let interrupts = Interrupts::take();
    std::thread::scope(|scope| {
        let (finished, waiting) = mpsc::channel::<()>();
        scope.spawn(|| {
            let waiting = waiting;
            let begin = Instant::now();
            let mut bar = None;
            while waiting.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                if interrupts.as_ref().is_some_and(Interrupts::came) {
                    progress.cancel.store(true, Ordering::Relaxed);
                }
                if begin.elapsed() >= PATIENCE {
                    let counters = [&progress.done, &progress.total, &progress.bytes];
                    let [done, total, bytes] = counters.map(|counter| counter.load(Ordering::Relaxed));
                    bar.get_or_insert_with(Bar::new).show(done, total, bytes);
                }
            }
        });
        let report = labels::run_by_package(request, &progress);
        drop(finished);
        report
    })
}

//! Where inputs come from: signals, the database's folder, the bus, timers.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use zbus::Connection;

use super::event::{Event, Source};
use super::run::{Input, Inputs};
use crate::bus::request::Request;
use crate::model::report::Problem;
use crate::sys::root::Root;
use crate::sys::watch::{Change, Watch};

/// A watch that could not be kept is tried again after so long.
const PAUSE: Duration = Duration::from_secs(60);

/// SIGTERM, SIGINT and SIGHUP.
pub(super) fn signals(inputs: &Inputs) -> io::Result<()> {
    let kinds: [(SignalKind, fn() -> Input); 3] = [
        (SignalKind::terminate(), || Input::Terminate),
        (SignalKind::interrupt(), || Input::Terminate),
        (SignalKind::hangup(), || Input::Reload),
    ];
    for (kind, input) in kinds {
        let (mut signal, inputs) = (signal(kind)?, inputs.clone());
        tokio::spawn(async move { while signal.recv().await.is_some() && inputs.send(input()).is_ok() {} });
    }
    Ok(())
}

/// What happens to the package database.
pub(super) fn watch(root: Arc<Root>, inputs: Inputs) {
    tokio::spawn(async move {
        loop {
            let Err(error) = follow(&root, &inputs).await else { return };
            let problem = Problem::new(
                format!("the package database cannot be watched: {error}"),
                "sysctl fs.inotify.max_user_watches fs.inotify.max_user_instances",
            );
            if inputs.send(Input::Event(Event::Problem(Source::Watch, Some(problem)))).is_err() {
                return;
            }
            sleep(PAUSE).await;
        }
    });
}

/// Returns when nobody listens any more.
async fn follow(root: &Root, inputs: &Inputs) -> io::Result<()> {
    let mut watch = Watch::new(root)?.into_async()?;
    let send = |event| inputs.send(Input::Event(event)).is_ok();
    // What happened before is not known; at start the first survey is about to be made anyway.
    if !(send(Event::Problem(Source::Watch, None)) && send(Event::Changed(Change::Lost))) {
        return Ok(());
    }
    loop {
        let mut ready = watch.readable_mut().await?;
        let changes = ready.get_inner_mut().changes(root)?;
        ready.clear_ready();
        for change in changes {
            tracing::debug!(?change);
            if !send(Event::Changed(change)) {
                return Ok(());
            }
        }
    }
}

/// What the interfaces ask.
pub(super) fn requests(mut requests: mpsc::UnboundedReceiver<Request>, inputs: Inputs) {
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            if inputs.send(Input::Request(request)).is_err() {
                return;
            }
        }
    });
}

/// Half of the service manager's watchdog period, if it has one.
pub(super) fn watchdog(inputs: &Inputs) {
    if let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) {
        every(inputs, period / 2, || Input::Watchdog);
    }
}

/// The end of a connection.
pub(super) fn closed(connection: Connection, inputs: Inputs) {
    tokio::spawn(async move {
        connection.closed().await;
        drop(connection);
        // The loop is gone only when the process is about to end.
        inputs.send(Input::Connect).unwrap_or_default();
    });
}

/// An input after a while.
pub(super) fn later(inputs: &Inputs, after: Duration, input: fn() -> Input) -> JoinHandle<()> {
    let inputs = inputs.clone();
    tokio::spawn(async move {
        sleep(after).await;
        inputs.send(input()).unwrap_or_default();
    })
}

/// An input again and again.
pub(super) fn every(inputs: &Inputs, period: Duration, input: fn() -> Input) -> JoinHandle<()> {
    let inputs = inputs.clone();
    tokio::spawn(async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if inputs.send(input()).is_err() {
                return;
            }
        }
    })
}

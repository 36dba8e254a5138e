//! Asking the daemon over the bus.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::Duration;

use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::DBusProxy;
use zbus::{Connection, OwnedVariant, Variant};

use super::exit::Failure;
use super::progress::Bar;
use crate::bus;
use crate::bus::error::Failure as Refusal;
use crate::bus::job::JobProxy;
use crate::bus::labels::LabelsProxy;
use crate::bus::manager::ManagerProxy;
use crate::bus::request::How;
use crate::model::report::{LabelReport, Problem, Status};
use crate::ops::labels::Selection;

/// How often a job's progress is looked at.
const TICK: Duration = Duration::from_millis(300);

/// The daemon's status; `None` where it does not run.
pub(super) fn status() -> Result<Option<Status>, Failure> {
    with_daemon(async |connection| {
        let manager = ManagerProxy::new(&connection).await?;
        manager.status(HashMap::new()).await
    })?
    .map(|json| document(&json))
    .transpose()
}

/// A relabelling job of the daemon; `None` where it does not run. Ctrl-C cancels it.
pub(super) fn relabel(selection: &Selection, how: How) -> Result<Option<LabelReport>, Failure> {
    let report = with_daemon(async |connection| {
        let manager = ManagerProxy::new(&connection).await?;
        let mut removed = manager.receive_job_removed().await?;
        let labels = LabelsProxy::new(&connection).await?;
        let path = labels.relabel(options(selection, how)).await?;
        let job = JobProxy::builder(&connection).path(path.clone()).build().await?;
        let bar = Bar::new();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                Some(signal) = removed.next() => {
                    let signal = signal.args()?;
                    if *signal.job() == *path {
                        break;
                    }
                }
                _ = tick.tick() => {
                    let (done, total, bytes) = job.progress().await?;
                    bar.show(done, total, bytes);
                }
                _ = tokio::signal::ctrl_c() => job.cancel().await?,
            }
        }
        let (name, text) = job.error().await?;
        if name.is_empty() { job.get_report(HashMap::new()).await.map(Ok) } else { Ok(Err((name, text))) }
    })?;
    match report {
        None => Ok(None),
        Some(Ok(json)) => document(&json).map(Some),
        Some(Err((name, text))) => {
            let Problem { what, next } = bus::error::problem(&text);
            let is_input = name.ends_with(".NoSuchPackage") || name.ends_with(".InvalidArgument");
            Err(if is_input { Failure::input(what, next) } else { Failure::system(what, next) })
        }
    }
}

fn options(selection: &Selection, how: How) -> HashMap<String, OwnedVariant> {
    let mut options: HashMap<&str, Variant<'_>> = HashMap::from([("write", how.write.into())]);
    if how.full {
        // An older daemon knows no such option, and says so.
        options.insert("full", true.into());
    }
    match selection {
        // Header numbers are the daemon's own.
        Selection::All | Selection::Numbers(_) => {}
        Selection::Packages(names) => {
            options.insert("packages", names.clone().into());
        }
        Selection::Paths(paths) => {
            options.insert("paths", paths.clone().into());
        }
    }
    let owned = options.into_iter().map(|(name, value)| value.try_into_owned().map(|value| (name.to_owned(), value)));
    // Only descriptors cannot be owned, and there are none.
    owned.flatten().collect()
}

/// Runs `ask` if somebody has the daemon's bus name; nobody is started for it.
fn with_daemon<T>(ask: impl AsyncFnOnce(Connection) -> Result<T, Refusal>) -> Result<Option<T>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system(format!("the event loop cannot be made: {error}"), ""))?;
    runtime.block_on(async {
        // Without a bus there is no daemon to ask.
        let Ok(connection) = Connection::system().await else { return Ok(None) };
        let running = async {
            let bus = DBusProxy::new(&connection).await?;
            bus.name_has_owner(bus::NAME.try_into()?).await.map_err(zbus::Error::from)
        };
        match running.await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(refused(&Refusal::from(error))),
        }
        ask(connection).await.map(Some).map_err(|refusal| refused(&refusal))
    })
}

fn refused(refusal: &Refusal) -> Failure {
    let Problem { what, next } = refusal.problem();
    let next = if next.is_empty() { "journalctl -u imad.service".to_owned() } else { next };
    Failure::system(format!("the daemon says: {what}"), next)
}

fn document<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| {
        Failure::system(
            format!("the daemon's answer cannot be read: {error}"),
            "run imactl and imad of the same version",
        )
    })
}

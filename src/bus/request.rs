//! What the interfaces ask of the daemon.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{mpsc, oneshot};
use zbus::message::{Flags, Header};
use zbus::{OwnedObjectPath, OwnedVariant};

use super::error::{Error, Failure};
use super::labels::Page;
use super::view::View;

/// Options of a verb (`a{sv}`).
pub type Options = HashMap<String, OwnedVariant>;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The caller's unique bus name; empty where the message has none.
    pub name: String,
    /// The caller lets polkit ask a person (`ALLOW_INTERACTIVE_AUTHORIZATION`).
    pub interactive: bool,
}

impl Caller {
    /// The sender of a message.
    pub fn of(header: &Header<'_>) -> Self {
        Self {
            name: header.sender().map(ToString::to_string).unwrap_or_default(),
            interactive: header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH),
        }
    }
}

/// How labels are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Write what is missing, stale or a mere hash.
    pub write: bool,
    /// Read every file, also those whose content cannot have changed since their labels were verified.
    pub full: bool,
}

/// What a relabelling job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every packaged file.
    All,
    /// The files of these packages.
    Packages(Vec<String>),
    /// These files, and the packaged files below these folders.
    Paths(Vec<Vec<u8>>),
}

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// A question or an order.
#[derive(Debug)]
pub enum Ask {
    /// The whole status as JSON.
    Status(Reply<String>),
    /// A relabelling job; the flag says whether labels are written.
    Relabel(Subject, How, Reply<OwnedObjectPath>),
    /// What is with a file: a [`crate::model::report::FileReport`] and what kept it from being complete, as JSON.
    Explain(String, Reply<String>),
    /// Files in a state (name, empty for every state that is not good), from an offset on, at most so many.
    List(String, u64, u64, Reply<Page>),
    /// A job's report as JSON.
    Report(u32, Reply<String>),
    /// The end of a job.
    Cancel(u32, Reply<()>),
}

/// A question or an order with its author.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub ask: Ask,
}

/// Where the interfaces read and ask. Clones are the same desk.
#[derive(Debug, Clone)]
pub struct Desk {
    view: Arc<RwLock<View>>,
    requests: mpsc::UnboundedSender<Request>,
}

impl Desk {
    /// A desk and where its requests come out.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, received) = mpsc::unbounded_channel();
        (Self { view: Arc::default(), requests }, received)
    }

    /// What is to be seen.
    pub fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed.
    pub fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the daemon and waits for the answer.
    pub(super) async fn ask<T>(&self, header: &Header<'_>, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let request = Request { caller: Caller::of(header), ask: ask(reply) };
        let ending = || Failure::from(Error::Failed("the daemon is ending. Next: ask again".to_owned()));
        self.requests.send(request).map_err(|_| ending())?;
        answer.await.map_err(|_| ending())?
    }
}

/// Refuses options that a verb does not know.
pub(super) fn known(options: &Options, names: &[&str]) -> Result<(), Error> {
    match options.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) if names.is_empty() => Err(Error::InvalidArgument(format!("no option \"{key}\"; there is none yet"))),
        Some(key) => Err(Error::InvalidArgument(format!("no option \"{key}\"; there are: {}", names.join(", ")))),
    }
}

/// An option's value.
pub(super) fn option<T>(options: &Options, name: &str, kind: &str) -> Result<Option<T>, Error>
where
    T: TryFrom<OwnedVariant>,
{
    let Some(value) = options.get(name) else { return Ok(None) };
    let wrong = || Error::InvalidArgument(format!("option \"{name}\" is not of type {kind}"));
    let value = value.try_clone().map_err(|_| wrong())?;
    T::try_from(value).map(Some).map_err(|_| wrong())
}

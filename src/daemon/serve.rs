//! The bus: connecting, showing jobs, and saying what changed.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use zbus::connection::Builder;
use zbus::fdo::{ObjectManager, Properties, RequestNameFlags, RequestNameReply};
use zbus::object_server::{Interface, InterfaceRef};
use zbus::{Connection, OwnedVariant, Variant};

use crate::bus::job::{Job, JobRecord};
use crate::bus::keyring::Keyring;
use crate::bus::labels::Labels;
use crate::bus::manager::{Manager, ManagerSignals};
use crate::bus::policy::Policy;
use crate::bus::request::Desk;
use crate::bus::view;
use crate::bus::{JOBS, NAME, PATH};
use crate::model::report::Transaction;

/// Times that a name which another connection has is asked for again, and the pause before each: a daemon that
/// executes its new version may meet its own old connection.
const TRIES: u32 = 10;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Values of an interface's properties, as last told.
type Told = HashMap<String, OwnedVariant>;

/// The daemon on the bus.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) connection: Connection,
    desk: Desk,
    told: [Told; 4],
}

impl Served {
    /// Connects, puts the objects there and takes the name.
    pub(super) async fn connect(address: Option<&str>, desk: &Desk) -> zbus::Result<Self> {
        let builder = match address {
            Some(address) => Builder::address(address),
            None => Builder::system(),
        };
        let connection = builder
            .serve_at(PATH, Manager::new(desk.clone()))
            .serve_at(PATH, Policy::new(desk.clone()))
            .serve_at(PATH, Keyring::new(desk.clone()))
            .serve_at(PATH, Labels::new(desk.clone()))
            .serve_at(JOBS, ObjectManager)
            .build()
            .await?;
        let mut served = Self { connection, desk: desk.clone(), told: Default::default() };
        let jobs: Vec<Arc<JobRecord>> = desk.view().jobs.values().cloned().collect();
        for record in jobs {
            served.show(&record).await?;
        }
        served.publish().await?;
        served.take_name().await?;
        Ok(served)
    }

    async fn take_name(&self) -> zbus::Result<()> {
        for _ in 0..TRIES {
            match self.connection.request_name_with_flags(NAME, RequestNameFlags::DO_NOT_QUEUE).await {
                Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner) => return Ok(()),
                Ok(_) | Err(zbus::Error::NameTaken) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        Err(zbus::Error::NameTaken)
    }

    async fn interface<I: Interface>(&self) -> zbus::Result<InterfaceRef<I>> {
        self.connection.object_server().interface(PATH).await
    }

    /// Tells what changed since it was told last.
    pub(super) async fn publish(&mut self) -> zbus::Result<()> {
        let [manager, policy, keyring, labels] = std::mem::take(&mut self.told);
        self.told = [
            self.publish_interface::<Manager>(manager).await?,
            self.publish_interface::<Policy>(policy).await?,
            self.publish_interface::<Keyring>(keyring).await?,
            self.publish_interface::<Labels>(labels).await?,
        ];
        Ok(())
    }

    /// One signal for all of an interface's properties that changed.
    async fn publish_interface<I: Interface>(&self, told: Told) -> zbus::Result<Told> {
        let interface = self.interface::<I>().await?;
        let emitter = interface.signal_emitter();
        let server = self.connection.object_server();
        let values = interface.get().await.get_all(server, &self.connection, None, emitter).await?;
        let changed: HashMap<&str, Variant<'_>> = values
            .iter()
            .filter(|(name, value)| told.get(*name) != Some(value))
            .map(|(name, value)| Ok((name.as_str(), value.try_clone()?.into())))
            .collect::<zbus::Result<_>>()?;
        if !changed.is_empty() && !told.is_empty() {
            Properties::properties_changed(emitter, I::name(), changed, Cow::Borrowed(&[])).await?;
        }
        Ok(values)
    }

    /// Puts a job's object there.
    pub(super) async fn show(&self, record: &Arc<JobRecord>) -> zbus::Result<()> {
        let job = Job::new(record.clone(), self.desk.clone());
        self.connection.object_server().at(record.path(), job).await?;
        Ok(())
    }

    /// Says that a job is new.
    pub(super) async fn job_new(&self, record: &JobRecord) -> zbus::Result<()> {
        self.interface::<Manager>().await?.job_new(record.id(), record.path().into()).await
    }

    /// Says how far a job is.
    pub(super) async fn job_changed(&self, record: &JobRecord, state_too: bool) -> zbus::Result<()> {
        let interface = self.connection.object_server().interface::<_, Job>(record.path()).await?;
        let (job, emitter) = (interface.get().await, interface.signal_emitter());
        if state_too {
            job.state_changed(emitter).await?;
            if !record.snapshot().error.0.is_empty() {
                job.error_changed(emitter).await?;
            }
        }
        job.progress_changed(emitter).await
    }

    /// Says that a job ended.
    pub(super) async fn job_removed(&self, record: &JobRecord, result: &str) -> zbus::Result<()> {
        self.interface::<Manager>().await?.job_removed(record.id(), record.path().into(), result).await
    }

    /// Takes an ended job's object away.
    pub(super) async fn forget(&self, record: &JobRecord) -> zbus::Result<()> {
        self.connection.object_server().remove::<Job, _>(record.path()).await.map(drop)
    }

    /// Says what a transaction brought.
    pub(super) async fn transaction(&self, transaction: &Transaction) -> zbus::Result<()> {
        self.interface::<Manager>().await?.transaction_finished(view::transaction(transaction)).await
    }
}

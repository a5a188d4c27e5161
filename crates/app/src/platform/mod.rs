//! The parts of the platform in one process: how they are put together, and taken apart in order.
//! What differs between the profiles is in `embedded` and `distributed`; all else is here.

#[cfg(feature = "distributed")]
mod aggregates;
#[cfg(feature = "distributed")]
mod cms;
#[cfg(feature = "distributed")]
mod connect;
#[cfg(feature = "distributed")]
mod distributed;
mod embedded;
#[cfg(feature = "distributed")]
mod landing;

use std::path::Path;
use std::sync::Arc;

use engine::aggregates::Aggregates;
use engine::crew::{Board, Crew, CrewSettings, Gear};
use engine::hub::Hub;
use engine::ingest::Ingest;
use engine::metrics::Metrics;
use engine::ports::{Bus, Clock, ControlPlane, HotStore, IdGen, LimitGate};
use engine::worker::Ports;
use http::{Decided, Probe};
use prometheus_client::registry::Registry;
use store::control::Control;
use store::{DbOptions, SqliteDb};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{SystemClock, SystemIds};
#[cfg(feature = "distributed")]
use crate::config::distributed::Distributed;
use crate::failure::Outcome;
use crate::roles::Roles;

#[cfg(feature = "distributed")]
pub use aggregates::keeper;
#[cfg(feature = "distributed")]
pub use cms::check as check_cms;
#[cfg(feature = "distributed")]
pub use connect::{Connect, Connector};
#[cfg(feature = "distributed")]
pub use distributed::wait_for;
pub use embedded::PARTITION;

/// Where the data is, and so which profile runs.
#[derive(Clone, Copy)]
pub enum Data<'a> {
    /// In a directory of our own: the embedded profile.
    Dir(&'a Path, &'a DbOptions),
    /// With services: the distributed profile.
    #[cfg(feature = "distributed")]
    Services(&'a Distributed),
}

/// A running platform, but for its HTTP server.
pub struct Platform {
    /// What operators set.
    pub control: Control,
    /// Takes events.
    pub ingest: Arc<Ingest>,
    /// The event path's store.
    pub hot: Arc<dyn HotStore>,
    /// Answers about what was granted, added up.
    pub aggregates: Arc<dyn Aggregates>,
    /// Sessions of devices.
    pub hub: Arc<Hub>,
    /// How it is heard that an event is decided.
    pub decided: Decided,
    /// How the partitions are that this process decides; empty where it decides none.
    pub board: Board,
    /// What `/readyz` asks; taken by the server.
    pub probes: Vec<Probe>,
    /// What `/metrics` shows; parts that come later register themselves in it.
    pub registry: Registry,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and secrets.
    pub ids: Arc<dyn IdGen>,
    /// The installation's secret.
    pub server_key: [u8; 32],
    crew: Option<Crew>,
    house: House,
    holder: Holder,
}

/// What a profile brings along.
struct Base {
    control: Control,
    /// Where the calculator gets its rules.
    plane: Arc<dyn ControlPlane>,
    hot: Arc<dyn HotStore>,
    aggregates: Arc<dyn Aggregates>,
    hub: Arc<Hub>,
    bus: Arc<dyn Bus>,
    limits: Option<Arc<dyn LimitGate>>,
    probes: Vec<Probe>,
    server_key: [u8; 32],
    house: House,
    holder: Holder,
}

/// Who holds the data, and lets go of it at the very end.
enum Holder {
    Embedded(SqliteDb),
    #[cfg(feature = "distributed")]
    Distributed(distributed::Connections),
}

/// What runs beside everything else until it is told to stop.
#[derive(Default)]
struct House {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// What all parts of this process share.
struct Sources {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    metrics: Metrics,
}

impl Platform {
    /// Opens the data and starts the parts of the roles. Errors: the data is in use, damaged, of
    /// another version or cannot be written; a service does not answer in time.
    pub async fn start(data: Data<'_>, roles: Roles) -> Outcome<Self> {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let sources = Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds), metrics };
        let base = match data {
            Data::Dir(dir, options) => embedded::open(dir, options, &sources).await?,
            #[cfg(feature = "distributed")]
            Data::Services(settings) => {
                distributed::open(settings, roles, &sources, &mut registry).await?
            }
        };
        let platform = Self::of(base, sources, registry, roles);
        if let Data::Dir(dir, _) = data
            && platform.crew.is_some()
        {
            embedded::taken_over(&platform.board, dir).await?;
        }
        Ok(platform)
    }

    fn of(base: Base, sources: Sources, mut registry: Registry, roles: Roles) -> Self {
        let Sources { clock, ids, metrics } = sources;
        let Base { control, plane, hot, aggregates, hub, bus, limits, .. } = base;
        let (mut probes, server_key) = (base.probes, base.server_key);
        let (house, holder) = (base.house, base.holder);
        hub.metrics().register(&mut registry);
        let ingest =
            Arc::new(Ingest::new(bus.clone(), clock.clone(), ids.clone(), metrics.clone()));
        let store = hot.clone();
        let ports = Ports { bus, store, control: plane, clock: clock.clone(), limits };
        let gear =
            Gear { ports, metrics, hub: Some(hub.clone()), settings: CrewSettings::default() };
        let crew = roles.calculator.then(|| Crew::start(gear));
        let board = crew.as_ref().map(|crew| crew.board().clone()).unwrap_or_default();
        if crew.is_some() {
            let board = board.clone();
            probes.insert(0, Probe { name: "calculator", check: Box::new(move || board.check()) });
        }
        let decided = match &holder {
            Holder::Embedded(_) => Decided::Here(board.progress(PARTITION)),
            #[cfg(feature = "distributed")]
            Holder::Distributed(_) => Decided::Anywhere,
        };
        Self {
            control,
            ingest,
            hot,
            aggregates,
            hub,
            decided,
            board,
            probes,
            registry,
            clock,
            ids,
            server_key,
            crew,
            house,
            holder,
        }
    }

    /// The database of the embedded profile.
    pub fn sqlite(&self) -> Option<&SqliteDb> {
        match &self.holder {
            Holder::Embedded(db) => Some(db),
            #[cfg(feature = "distributed")]
            Holder::Distributed(_) => None,
        }
    }

    /// Stops housekeeping, the crew and the store, in this order: each finishes what it has in
    /// hand.
    pub async fn stop(self) {
        self.house.stop().await;
        if let Some(crew) = self.crew {
            crew.stop().await;
        }
        match self.holder {
            Holder::Embedded(db) => db.close().await,
            #[cfg(feature = "distributed")]
            Holder::Distributed(connections) => connections.close().await,
        }
    }
}

impl House {
    /// Runs a task that ends when its token says so.
    fn run<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(tokio::spawn(task(self.stop.clone())));
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("housekeeping broke off");
            }
        }
    }
}

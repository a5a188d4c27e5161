//! The parts of the platform in one process: how they are put together, and taken apart in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::hub::{Hub, HubSettings};
use engine::ingest::Ingest;
use engine::policy::Health;
use engine::ports::{Bus, Clock, ControlPlane, HotStore, IdGen, Position};
use engine::worker::{BATCH_MAX_DEFAULT, Ports, Worker};
use prometheus_client::registry::Registry;
use store::control::{Control, LocalControlPlane, jobs};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{SystemClock, SystemIds};
use crate::data_dir;
use crate::failure::{Code, Failure, Outcome};
use crate::housekeeping::{keep_house, watch_room};
use crate::roles::Roles;

/// The one partition of the embedded log.
const PARTITION: i32 = 0;
/// How long the calculator may take to take over at the start.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(20);

/// How long the relay may go on announcing when the platform stops; the rest is announced at the
/// next start.
const RELAY_WITHIN: Duration = Duration::from_secs(5);

/// A running platform, but for its HTTP server.
pub struct Platform {
    /// The database.
    pub db: SqliteDb,
    /// What operators set.
    pub control: Control,
    /// Takes events.
    pub ingest: Arc<Ingest>,
    /// The event path's store.
    pub hot: Arc<dyn HotStore>,
    /// Sessions of devices.
    pub hub: Arc<Hub>,
    /// How far the log is decided.
    pub decided: watch::Receiver<Option<Position>>,
    /// What `/metrics` shows; parts that come later register themselves in it.
    pub registry: Registry,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and secrets.
    pub ids: Arc<dyn IdGen>,
    calculator: Option<Calculator>,
    house: [JoinHandle<()>; 2],
    stop_house: CancellationToken,
    /// Keeps the channel of `decided` open where nothing decides.
    _undecided: watch::Sender<Option<Position>>,
}

/// Worker and relay.
struct Calculator {
    worker: std::thread::JoinHandle<Health>,
    worker_health: watch::Receiver<Health>,
    stop_worker: CancellationToken,
    relay: JoinHandle<Health>,
    relay_health: watch::Receiver<Health>,
    stop_relay: CancellationToken,
}

impl Platform {
    /// Opens the data directory, brings its schema up to date and starts the parts of the roles.
    /// Errors: the directory is in use, damaged, of a newer version, or cannot be written.
    pub async fn start(dir: &Path, roles: Roles, options: &DbOptions) -> Outcome<Self> {
        data_dir::make(dir)?;
        let told = |doing| move |error: store::StoreError| data_dir::failure(doing, dir, &error);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn IdGen> = Arc::new(SystemIds);
        let db = SqliteDb::open(&dir.join(data_dir::DATABASE), options).map_err(told("open"))?;
        let steps = store::migrate::migrate(&db, clock.now()).await.map_err(told("migrate"))?;
        if !steps.is_empty() {
            tracing::info!(?steps, "schema brought up to date");
        }
        let control = Control::Sqlite(db.clone());
        let now = clock.now();
        control
            .write(move |sql| jobs::fail_running(sql, "the process that ran it ended", now))
            .await
            .map_err(told("write to"))?;

        let mut registry = Registry::default();
        let metrics = engine::metrics::Metrics::registered(&mut registry);
        let hot: Arc<dyn HotStore> = Arc::new(SqliteHotStore::new(db.clone()));
        let hub = Hub::new(hot.clone(), HubSettings::default());
        hub.metrics().register(&mut registry);
        let bus: Arc<dyn Bus> = Arc::new(
            SqliteBus::open(db.clone(), clock.clone(), hub.clone())
                .await
                .map_err(told("read the log of"))?,
        );
        let plane: Arc<dyn ControlPlane> =
            Arc::new(LocalControlPlane::new(control.clone(), clock.clone()));
        let ingest =
            Arc::new(Ingest::new(bus.clone(), clock.clone(), ids.clone(), metrics.clone()));
        let ports =
            Ports { bus, store: hot.clone(), control: plane, clock: clock.clone(), limits: None };
        let undecided = watch::Sender::new(None);
        let (decided, calculator) = match roles.calculator {
            true => {
                let (decided, calculator) = Calculator::start(ports, hub.clone(), metrics)?;
                (decided, Some(calculator))
            }
            false => (undecided.subscribe(), None),
        };
        let stop_house = CancellationToken::new();
        let house = [
            tokio::spawn(keep_house(control.clone(), clock.clone(), stop_house.clone())),
            tokio::spawn(watch_room(db.clone(), stop_house.clone())),
        ];
        let platform = Self {
            db,
            control,
            ingest,
            hot,
            hub,
            decided,
            registry,
            clock,
            ids,
            calculator,
            house,
            stop_house,
            _undecided: undecided,
        };
        platform.taken_over(dir).await?;
        Ok(platform)
    }

    async fn taken_over(&self, dir: &Path) -> Outcome {
        if self.calculator.is_none() {
            return Ok(());
        }
        let mut decided = self.decided.clone();
        let taken_over = decided.wait_for(Option::is_some);
        match tokio::time::timeout(TAKE_OVER_WITHIN, taken_over).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Failure::new(Code::Failure, "the calculator does not start")
                .why(self.calculator_health().err().unwrap_or_default())
                .mend(format!("run incent doctor --data-dir {}", dir.display()))),
        }
    }

    /// How worker and relay are. Errors: what is wrong, in plain words.
    pub fn calculator_health(&self) -> Result<(), String> {
        self.health_probe()()
    }

    /// [`Self::calculator_health`] for those who ask later.
    pub fn health_probe(&self) -> Box<dyn Fn() -> Result<(), String> + Send + Sync> {
        let parts = self.calculator.as_ref();
        let parts = parts
            .map(|c| [("calculator", c.worker_health.clone()), ("relay", c.relay_health.clone())]);
        Box::new(move || {
            for (name, health) in parts.iter().flatten() {
                match &*health.borrow() {
                    // A part that has had nothing to do yet is still starting.
                    Health::Working | Health::Starting => {}
                    Health::Waiting(why) => return Err(format!("the {name} waits: {why}")),
                    Health::Stopped => return Err(format!("the {name} has stopped")),
                    Health::Halted(why) => return Err(format!("the {name} has halted: {why}")),
                }
            }
            Ok(())
        })
    }

    /// Stops worker, relay and store, in this order: each finishes what it has in hand.
    pub async fn stop(self) {
        self.stop_house.cancel();
        for part in self.house {
            if part.await.is_err() {
                tracing::error!("housekeeping broke off");
            }
        }
        if let Some(calculator) = self.calculator {
            calculator.stop().await;
        }
        self.db.close().await;
    }
}

impl Calculator {
    fn start(
        ports: Ports,
        hub: Arc<Hub>,
        metrics: engine::metrics::Metrics,
    ) -> Outcome<(watch::Receiver<Option<Position>>, Self)> {
        let mut worker = Worker::new(PARTITION, BATCH_MAX_DEFAULT, ports, metrics);
        worker.announce_progress_to(hub);
        let (decided, worker_health) = (worker.progress(), worker.health());
        let relay = worker.relay();
        let relay_health = relay.health();
        let (stop_worker, stop_relay) = (CancellationToken::new(), CancellationToken::new());
        let worker = worker
            .on_thread(Handle::current(), stop_worker.clone())
            .map_err(|e| Failure::new(Code::Failure, "cannot start a thread").why(e.to_string()))?;
        let relay = tokio::spawn(relay.run(stop_relay.clone()));
        let calculator =
            Self { worker, worker_health, stop_worker, relay, relay_health, stop_relay };
        Ok((decided, calculator))
    }

    async fn stop(self) {
        self.stop_worker.cancel();
        let worker = tokio::task::spawn_blocking(move || self.worker.join());
        if !matches!(worker.await, Ok(Ok(_))) {
            tracing::error!("the calculator's thread broke off");
        }
        // With the worker gone, the relay ends by itself when all that was committed is announced.
        let mut relay = self.relay;
        let ended = match tokio::time::timeout(RELAY_WITHIN, &mut relay).await {
            Ok(ended) => ended,
            Err(_) => {
                self.stop_relay.cancel();
                relay.await
            }
        };
        if ended.is_err() {
            tracing::error!("the relay broke off");
        }
    }
}

//! What the server needs to serve.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{KeyId, TenantId};
use domain::time::Timestamp;
use engine::aggregates::Aggregates;
use engine::ingest::Ingest;
use engine::ports::{Clock, HotStore, IdGen, Position};
use prometheus_client::registry::Registry;
use store::control::Control;
use tokio::sync::watch;

use crate::api::tenants::create::NewLimits;
use crate::auth::{CredentialId, Directory};
use crate::metrics::Metrics;
use crate::route::Services;

/// A part of the platform that must be up before this process takes requests.
pub struct Probe {
    /// Its name: `store`, `calculator`.
    pub name: &'static str,
    /// `Err` says what is wrong, in plain words.
    pub check: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// How the server hears that an event is decided, for callers who wait for it.
#[derive(Clone, Debug)]
pub enum Decided {
    /// There is one log, decided in this process: its position tells at once. `None` until the
    /// calculator has started.
    Here(watch::Receiver<Option<Position>>),
    /// In any process: the store is asked, after growing pauses.
    Anywhere,
}

/// All that handlers use. Made once by the binary (or a test) and shared by [`App`].
pub struct Parts {
    /// What operators set and everybody reads.
    pub control: Control,
    /// Takes events.
    pub ingest: Arc<Ingest>,
    /// The event path's store: dry runs, and what a push client missed.
    pub hot: Arc<dyn HotStore>,
    /// Answers about what was granted, added up.
    pub aggregates: Arc<dyn Aggregates>,
    /// How it is heard that an event is decided.
    pub decided: Decided,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and secrets.
    pub ids: Arc<dyn IdGen>,
    /// What `/readyz` asks.
    pub probes: Vec<Probe>,
    /// Counters of this crate, see [`Metrics::register`].
    pub metrics: Metrics,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// Settings.
    pub config: Config,
}

/// Settings of the HTTP server.
#[derive(Clone)]
pub struct Config {
    /// The platform admin's bearer token; `None` = nobody is the platform admin.
    pub admin_token: Option<Arc<str>>,
    /// The bearer token of the platform's own processes, which read what they decide by; `None` =
    /// nobody is one.
    pub service_token: Option<Arc<str>>,
    /// Secret of this installation: seals page tokens. The same on every machine that serves it.
    pub server_key: [u8; 32],
    /// Development mode: the keys of a tenant's issuer may be fetched from this machine, by http.
    pub dev: bool,
    /// The limits of a new tenant whose request names none.
    pub default_limits: NewLimits,
    /// What this process serves; push is served where there is a hub for it.
    pub services: Services,
    /// Requests a second that one credential may make, and how many at once after a pause.
    pub rate: Rate,
    /// Events a second that all credentials of one tenant together may send, and how many at once
    /// after a pause.
    pub tenant_events: Rate,
    /// Requests that may be in progress at the same time; more are answered 503.
    pub in_flight_max: usize,
    /// How many of them may be of one tenant; more are answered 429.
    pub tenant_in_flight_max: usize,
    /// Open connections; more wait to be accepted.
    pub connections_max: usize,
    /// How long the headers of a request may take to arrive.
    pub header_timeout: Duration,
    /// How long its body may take.
    pub body_timeout: Duration,
    /// How long a client may take nothing at all of what is written to it. Longer than
    /// `PushSettings::write_within`, which tells a WebSocket client why.
    pub stall_timeout: Duration,
}

/// How many requests or events are taken, as a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Refill a second.
    pub per_second: u32,
    /// Size of the bucket.
    pub burst: u32,
}

/// Events taken of one tenant unless told otherwise: about as many as one process decides in a
/// second, and a file of a hundred thousand at once.
pub const TENANT_EVENTS: Rate = Rate { per_second: 10_000, burst: 100_000 };

impl Config {
    /// Settings that suit a small server.
    pub fn new(server_key: [u8; 32]) -> Self {
        Self {
            admin_token: None,
            service_token: None,
            server_key,
            dev: false,
            default_limits: NewLimits::default(),
            services: Services::all(),
            rate: Rate { per_second: 2_000, burst: 10_000 },
            tenant_events: TENANT_EVENTS,
            in_flight_max: 4_096,
            tenant_in_flight_max: 1_024,
            connections_max: 20_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(15),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The tokens and the key are secrets.
        f.debug_struct("Config")
            .field("dev", &self.dev)
            .field("rate", &self.rate)
            .field("tenant_events", &self.tenant_events)
            .finish_non_exhaustive()
    }
}

/// A handle to the server's parts; clones share them.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The parts and what the server keeps while it runs.
pub struct Shared {
    parts: Parts,
    pub(crate) rate: crate::dispatch::RateLimiter<CredentialId>,
    pub(crate) tenant_events: crate::dispatch::RateLimiter<TenantId>,
    pub(crate) tenants_in_flight: Arc<crate::dispatch::InFlight>,
    pub(crate) lines: crate::dispatch::Lines,
    pub(crate) in_flight: Arc<tokio::sync::Semaphore>,
    pub(crate) directory: Directory,
    pub(crate) running: crate::dispatch::Running,
}

impl App {
    /// A server of these parts.
    pub fn new(parts: Parts) -> Self {
        let rate = crate::dispatch::RateLimiter::new(parts.config.rate);
        let tenant_events = crate::dispatch::RateLimiter::new(parts.config.tenant_events);
        let tenants_in_flight = Arc::default();
        let lines = crate::dispatch::Lines::default();
        let in_flight = Arc::new(tokio::sync::Semaphore::new(parts.config.in_flight_max));
        let directory = Directory::new(parts.config.dev);
        let running = crate::dispatch::Running::default();
        Self(Arc::new(Shared {
            parts,
            rate,
            tenant_events,
            tenants_in_flight,
            lines,
            in_flight,
            directory,
            running,
        }))
    }
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
    /// Forgets what is remembered of a key, because it was revoked.
    pub(crate) fn forget_key(&self, key: KeyId) {
        self.0.directory.forget_key(key);
    }
    /// What it keeps while it runs.
    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

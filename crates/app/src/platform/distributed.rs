//! The distributed profile: PostgreSQL and Kafka are elsewhere, and so may be the other roles. At
//! the start a service that does not answer is waited for; later on the parts that need it wait,
//! `/readyz` says for which, and all go on by themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates_redis::Running;
use bus_kafka::{KafkaBus, Listener};
use engine::hub::{Hub, HubSettings};
use engine::metrics::Metrics;
use engine::policy::Backoff;
use engine::ports::{HotStore, LimitGate, PortError, PortErrorKind};
use http::Probe;
use limits_redis::RedisLimits;
use prometheus_client::registry::Registry;
use store::control::Control;
use store::hot::PgHotStore;
use store::postgres::check_current;
use store::{PgDb, PgOptions};
use tokio_util::sync::CancellationToken;

use super::connect::{Connect, look_after};
use super::landing::{self, Coast};
use super::{Base, Holder, House, Sources, aggregates, cms};
use crate::config::distributed::Distributed;
use crate::failure::{Code, Failure, Outcome};
use crate::housekeeping::{keep_house, keep_partitions};
use crate::roles::Roles;

/// How long a service is waited for at the start.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Pauses between two looks at a service that does not answer at the start.
const LOOK_AGAIN: Backoff =
    Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) };
/// Pause between two looks whether a service still answers.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Connections to the services.
pub(super) struct Connections {
    db: PgDb,
    bus: Arc<KafkaBus>,
    listener: Option<Listener>,
    aggregator: Option<Running>,
}

impl Connections {
    /// Leaves the group, so that others take our partitions at once, and closes.
    pub async fn close(self) {
        let Self { db, bus, listener, aggregator } = self;
        if let Some(aggregator) = aggregator {
            aggregator.stop().await;
        }
        let let_go = tokio::task::spawn_blocking(move || {
            drop(listener);
            bus.leave();
        });
        if let_go.await.is_err() {
            tracing::error!("Kafka was not left in order; its group will notice by itself");
        }
        db.close();
    }
}

/// Connects to the services. Errors: one of them does not answer within a minute, refuses us, or
/// has not the schema or the topics that this program works with.
pub(super) async fn open(
    settings: &Distributed,
    roles: Roles,
    sources: &Sources,
    registry: &mut Registry,
) -> Outcome<Base> {
    let unusable = |error: store::StoreError| {
        Failure::usage("the database cannot be used").why(error.to_string())
    };
    let db = PgDb::open(&PgOptions::new(&settings.database_url)).map_err(unusable)?;
    wait_for("PostgreSQL", async || Ok(check_current(&db).await?)).await?;
    let kafka = &settings.kafka;
    let bus = match roles.calculator {
        true => wait_for("Kafka", async || KafkaBus::join(kafka).await).await?,
        false => wait_for("Kafka", async || KafkaBus::connect(kafka).await).await?,
    };
    let bus = Arc::new(bus);
    let control = Control::Postgres(db.clone());
    let (plane, cms) = cms::plane(settings, roles, &control, sources).await?;
    let hot: Arc<dyn HotStore> = Arc::new(PgHotStore::new(db.clone()));
    let limits = match (&settings.redis_url, roles.calculator) {
        (Some(url), true) => Some(limits(url, hot.clone(), sources)?),
        _ => None,
    };
    let hub = Hub::new(hot.clone(), HubSettings::default());
    let listener = match roles.push {
        true => Some(wait_for("Kafka", async || Listener::start(kafka, hub.clone()).await).await?),
        false => None,
    };

    let answers = aggregates::answers(settings, &db)?;
    let aggregator = match roles.aggregator {
        true => aggregates::start(settings, &db, roles, sources).await?,
        false => None,
    };

    let mut house = House::default();
    if roles.cms || roles.aggregator {
        let (db, metrics) = (db.clone(), sources.metrics.clone());
        house.run(|stop| aggregates::watch_slots(db, metrics, stop));
    }
    if roles.cms || roles.calculator {
        let (clock, retention) = (sources.clock.clone(), settings.retention);
        house.run(|stop| keep_house(control.clone(), clock.clone(), stop));
        house.run(|stop| keep_partitions(db.clone(), clock, retention, stop));
    }
    connectors(settings, roles, &sources.metrics, &mut house);
    let mut probes = services(&mut house, &db, &bus);
    probes.extend(cms);
    probes.extend(aggregator.as_ref().map(|running| aggregates::probe(running, roles)));
    let coast = Coast { db: &db, clock: &sources.clock, registry, house: &mut house };
    probes.extend(landing::start(settings, roles, coast).await?);
    let connections = Connections { db, bus: bus.clone(), listener, aggregator };
    let (holder, server_key) = (Holder::Distributed(connections), settings.server_key);
    let aggregates = answers;
    Ok(Base {
        control,
        plane,
        hot,
        aggregates,
        hub,
        bus,
        limits,
        probes,
        server_key,
        house,
        holder,
    })
}

/// Looks after the connectors that are named like the topics that are read here.
fn connectors(settings: &Distributed, roles: Roles, metrics: &Metrics, house: &mut House) {
    let Some(url) = &settings.connect_url else { return };
    let (connect, kafka) = (Connect::new(url), &settings.kafka);
    let aggregates = roles.aggregator && settings.redis_url.is_some();
    let analytics = roles.analytics && settings.landing.is_some();
    let topics = [(aggregates, &kafka.aggregates_topic), (analytics, &kafka.analytics_topic)];
    for (_, topic) in topics.into_iter().filter(|(is_read, _)| *is_read) {
        let (connect, metrics) = (connect.clone(), metrics.clone());
        house.run(|stop| look_after(connect, topic.clone(), metrics, stop));
    }
}

/// Redis in front of the limits. It need not be there: it advises.
fn limits(url: &str, store: Arc<dyn HotStore>, sources: &Sources) -> Outcome<Arc<dyn LimitGate>> {
    let Sources { clock, ids, metrics } = sources;
    let (clock, ids, metrics) = (clock.clone(), ids.clone(), metrics.clone());
    let around = limits_redis::Surroundings { store, clock, ids, metrics };
    match RedisLimits::start(&limits_redis::Settings::new(url), around) {
        Ok(limits) => Ok(Arc::new(limits)),
        Err(error) => Err(Failure::usage("Redis cannot be used").why(error.to_string())),
    }
}

/// Asks until there is an answer, for a minute at most. Errors: none came, or one that will stay
/// the same.
pub async fn wait_for<T>(
    service: &str,
    mut ask: impl AsyncFnMut() -> Result<T, PortError>,
) -> Outcome<T> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let may_pass = matches!(error.kind, PortErrorKind::Unavailable | PortErrorKind::Full);
        if !may_pass {
            return Err(Failure::new(Code::Failure, format!("{service} cannot be used"))
                .why(error.to_string()));
        }
        if begun.elapsed() >= START_WITHIN {
            let waited = START_WITHIN.as_secs();
            return Err(Failure::new(
                Code::Unavailable,
                format!("{service} did not answer as it should within {waited} s"),
            )
            .why(error.to_string())
            .mend("see that it runs and that its address is right; incent doctor looks at each"));
        }
        tries += 1;
        let pause = LOOK_AGAIN.pause(tries);
        tracing::warn!(service, %error, ?pause, "waiting for it before starting");
        tokio::time::sleep(pause).await;
    }
}

/// Looks after what every process needs.
fn services(house: &mut House, db: &PgDb, bus: &Arc<KafkaBus>) -> Vec<Probe> {
    let (db, bus) = (db.clone(), bus.clone());
    let postgres = watched(house, "postgresql", move || {
        let db = db.clone();
        async move { Ok(db.ping().await?) }
    });
    let kafka = watched(house, "kafka", move || {
        let bus = bus.clone();
        async move { bus.ping().await }
    });
    vec![postgres, kafka]
}

/// Looks after a service until told to stop, and tells `/readyz`.
fn watched<F>(
    house: &mut House,
    name: &'static str,
    mut look: impl FnMut() -> F + Send + 'static,
) -> Probe
where
    F: Future<Output = Result<(), PortError>> + Send,
{
    let trouble: Arc<Mutex<Option<String>>> = Arc::default();
    let seen = trouble.clone();
    house.run(move |stop: CancellationToken| async move {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let Some(now) = stop.run_until_cancelled(look()).await else { return };
            let now = now.err().map(|error| error.to_string());
            let mut known = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match (&*known, &now) {
                (None, Some(error)) => tracing::warn!(service = name, error, "it does not answer"),
                (Some(_), None) => tracing::info!(service = name, "it answers again"),
                _ => {}
            }
            *known = now;
        }
    });
    let check = move || {
        let known = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().map_or(Ok(()), Err)
    };
    Probe { name, check: Box::new(check) }
}

//! The role `analytics`: captured incentives land in a directory as Parquet files.

use std::sync::Arc;
use std::time::Duration;

use analytics::{Around, Drift, Landing, LandingError, Metrics, Status, follow};
use bus_kafka::CapturedReader;
use domain::time::{Day, Zone};
use engine::ports::Clock;
use http::Probe;
use prometheus_client::registry::Registry;
use store::PgDb;
use store::postgres::incentives_by_day;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::House;
use super::distributed::wait_for;
use crate::config::distributed::Distributed;
use crate::failure::{Code, Failure, Outcome};
use crate::roles::Roles;

/// Pause between two comparisons with the database.
const COMPARE_EVERY: Duration = Duration::from_secs(600);
/// Days that are compared, today included.
const COMPARE_DAYS: i32 = 4;

/// What the landing finds around it.
pub(super) struct Coast<'a> {
    pub db: &'a PgDb,
    pub clock: &'a Arc<dyn Clock>,
    pub registry: &'a mut Registry,
    pub house: &'a mut House,
}

/// Starts it, if this process has the role. Errors: it was asked for, and no directory is named;
/// the directory cannot be used; Kafka does not answer in time or has no such topic.
pub(super) async fn start(
    settings: &Distributed,
    roles: Roles,
    coast: Coast<'_>,
) -> Outcome<Option<Probe>> {
    let place = match (&settings.landing, roles.analytics) {
        (Some(place), true) => place,
        // Who asks for everything gets it where there is a place for it.
        (None, true) if roles != Roles::ALL => {
            return Err(Failure::usage("the role analytics needs a directory")
                .mend("set INCENT_ANALYTICS_DIR to the directory in which files are to land"));
        }
        _ => return Ok(None),
    };
    let Coast { db, clock, registry, house } = coast;
    let (kafka, topic) = (&settings.kafka, &settings.kafka.analytics_topic);
    let landing = Landing::open(&place.dir, topic, place.cut, clock.now()).map_err(unusable)?;
    let offsets = landing.offsets().clone();
    let follows = async || CapturedReader::from_offsets(kafka, topic, &offsets).await;
    let feed = Arc::new(wait_for("Kafka", follows).await?);
    let (metrics, status) = (Metrics::registered(registry), Status::default());
    house.run({
        let (metrics, status, clock, db) =
            (metrics.clone(), status.clone(), clock.clone(), db.clone());
        move |stop| compare(Compared { db, clock, status, metrics }, stop)
    });
    let around = Around { feed, clock: clock.clone(), metrics, status: status.clone() };
    house.run(|stop| async move {
        let runtime = Handle::current();
        let follows = move || follow(landing, around, &runtime, &stop);
        if tokio::task::spawn_blocking(follows).await.is_err() {
            tracing::error!("landing broke off; what was in hand comes again at the next start");
        }
    });
    Ok(Some(Probe { name: "analytics", check: Box::new(move || status.check()) }))
}

fn unusable(error: LandingError) -> Failure {
    let code = match error {
        LandingError::Locked(_) => Code::Conflict,
        LandingError::Disk { .. } => Code::Unavailable,
        _ => Code::Failure,
    };
    // Its messages say how to mend what they tell.
    Failure::new(code, "captured incentives cannot land").why(error.to_string())
}

struct Compared {
    db: PgDb,
    clock: Arc<dyn Clock>,
    status: Status,
    metrics: Metrics,
}

/// Compares the last days with the database now and then.
async fn compare(compared: Compared, stop: CancellationToken) {
    let Compared { db, clock, status, metrics } = compared;
    loop {
        let landed = status.landed();
        let today = Zone::utc().day(clock.now());
        let from = Day(today.0 - COMPARE_DAYS + 1);
        match incentives_by_day(&db, from, &landed.applied).await {
            Ok(stored) => metrics.differs(&Drift::between(&stored, &landed.rows)),
            Err(error) => tracing::warn!(%error, "what has landed cannot be compared for now"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(COMPARE_EVERY)).await.is_none() {
            return;
        }
    }
}

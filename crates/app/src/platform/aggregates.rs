//! Aggregates on the distributed profile: who keeps them in Redis, and who answers about them.

use std::sync::Arc;
use std::time::Duration;

use aggregates_redis::{Aggregator, Keeper, Running, Surroundings};
use bus_kafka::CapturedReader;
use domain::id::TenantId;
use engine::aggregates::{Aggregates, Answered, DaySum, Leader, Leaderboard, SumsAsked};
use engine::metrics::Metrics;
use engine::policy::Health;
use engine::ports::PortFuture;
use http::Probe;
use store::PgDb;
use store::control::{Control, LedgerAnswers};
use store::hot::PgLedger;
use tokio_util::sync::CancellationToken;

use super::Sources;
use super::distributed::wait_for;
use crate::clock::SystemIds;
use crate::config::distributed::Distributed;
use crate::failure::{Failure, Outcome};
use crate::roles::Roles;

/// How long somebody who asks waits for Redis before the ledger answers.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Pause between two looks at the replication slots.
const SLOTS_EVERY: Duration = Duration::from_secs(10);

/// Keeps aggregates in the Redis of this address. Errors: the address is none.
pub fn keeper(url: &str, db: &PgDb) -> Outcome<Keeper> {
    keeper_of(&aggregates_redis::Settings::new(url), db)
}

fn keeper_of(settings: &aggregates_redis::Settings, db: &PgDb) -> Outcome<Keeper> {
    let ledger = Arc::new(PgLedger::new(db.clone()));
    Keeper::new(settings, ledger, Arc::new(SystemIds))
        .map_err(|error| Failure::usage("Redis cannot be used").why(error.to_string()))
}

/// Starts the role. `None` where there is no Redis, in a process that has all roles. Errors: no
/// Redis in one that was to have this role; Kafka does not answer, or lacks the topic.
pub(super) async fn start(
    settings: &Distributed,
    db: &PgDb,
    roles: Roles,
    sources: &Sources,
) -> Outcome<Option<Running>> {
    let Some(url) = &settings.redis_url else {
        if roles == Roles::ALL {
            tracing::info!("without Redis no aggregates are kept; the ledger answers for them");
            return Ok(None);
        }
        return Err(Failure::usage(
            "the role aggregator keeps aggregates in Redis, and none is named",
        )
        .mend("set INCENT_REDIS_URL to redis://host:6379, or leave the role out"));
    };
    let (kafka, topic) = (&settings.kafka, settings.kafka.aggregates_topic.clone());
    let group = format!("{}.aggregator", kafka.group);
    let joined = async || CapturedReader::join(kafka, &topic, &group).await;
    let feed = Arc::new(wait_for("Kafka", joined).await?);
    let metrics = sources.metrics.clone();
    let keeper = Arc::new(keeper(url, db)?);
    Ok(Some(Aggregator::start(Surroundings {
        feed,
        topic,
        keeper,
        clock: sources.clock.clone(),
        metrics,
        compare_every: settings.aggregates_check_every,
    })))
}

/// What `/readyz` says about the role. Where others are served as well, waiting for Redis keeps
/// nobody away from them.
pub(super) fn probe(running: &Running, roles: Roles) -> Probe {
    let health = running.health();
    let is_alone = roles == Roles { aggregator: true, ..Roles::default() };
    let check = move || match &*health.borrow() {
        Health::Halted(why) => Err(format!("has halted: {why}")),
        Health::Waiting(why) if is_alone => Err(format!("waits: {why}")),
        _ => Ok(()),
    };
    Probe { name: "aggregator", check: Box::new(check) }
}

/// Who answers: the aggregates in Redis where they are kept, or else the ledger.
pub(super) fn answers(settings: &Distributed, db: &PgDb) -> Outcome<Arc<dyn Aggregates>> {
    let ledger = LedgerAnswers::new(Control::Postgres(db.clone()));
    let Some(url) = &settings.redis_url else { return Ok(Arc::new(ledger)) };
    let patience = aggregates_redis::Settings { url: url.clone(), answer_within: ANSWER_WITHIN };
    let kept = keeper_of(&patience, db)?;
    Ok(Arc::new(KeptOrLedger { kept, ledger }))
}

/// Asks the ledger where Redis has no answer.
struct KeptOrLedger {
    kept: Keeper,
    ledger: LedgerAnswers,
}

impl Aggregates for KeptOrLedger {
    fn sums<'a>(&'a self, asked: &'a SumsAsked) -> PortFuture<'a, Answered<DaySum>> {
        Box::pin(async move {
            match self.kept.sums(asked).await {
                Ok(answered) => Ok(answered),
                Err(error) => {
                    tracing::debug!(%error, "the ledger answers instead of Redis");
                    self.ledger.sums(asked).await
                }
            }
        })
    }

    fn leaders<'a>(
        &'a self,
        tenant: TenantId,
        board: &'a Leaderboard,
        max: u32,
    ) -> PortFuture<'a, Answered<Leader>> {
        Box::pin(async move {
            match self.kept.leaders(tenant, board, max).await {
                Ok(answered) => Ok(answered),
                Err(error) => {
                    tracing::debug!(%error, "the ledger answers instead of Redis");
                    self.ledger.leaders(tenant, board, max).await
                }
            }
        })
    }
}

/// Tells how far behind the readers of replication slots are, until told to stop.
pub(super) async fn watch_slots(db: PgDb, metrics: Metrics, stop: CancellationToken) {
    loop {
        let captured = store::postgres::capture(&db).await;
        // One that is gone is not shown as it was.
        metrics.forget_slots();
        match captured {
            Ok(capture) => {
                for slot in capture.slots {
                    metrics.slot(&slot.name, slot.behind_bytes, slot.is_active);
                }
            }
            Err(error) => tracing::debug!(%error, "the replication slots are not known"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(SLOTS_EVERY)).await.is_none() {
            return;
        }
    }
}

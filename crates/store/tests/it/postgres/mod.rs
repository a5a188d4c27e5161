//! The distributed profile's store, over a real PostgreSQL and a log in memory.

mod admission;
mod captured;
mod control;
mod frozen;
mod lookups;
mod partitions;
mod plans;
mod repeats;

use std::sync::Arc;
use std::time::Duration;

use engine::ports::{Bus, HotStore, PortFuture};
use store::control::Control;
use store::hot::PgHotStore;
use store::{PgDb, PgOptions, StoreError};
use testkit::clock::ManualClock;
use testkit::contract::Table;
use testkit::event::time;
use testkit::log::MemoryLog;
use testkit::postgres::cluster;
use tokio::sync::OnceCell;
use tokio_postgres::SimpleQueryMessage;
use uuid::Uuid;

use crate::path::{Profile, Stand};

mod hot_store {
    testkit::hot_store_contract!(super::postgres());
}

mod whole {
    testkit::path_contract!(super::postgres());
}

/// A migrated database that each test gets a copy of.
const TEMPLATE: &str = "migrated";

/// A migrated database of its own.
pub(crate) async fn database() -> PgDb {
    static MIGRATED: OnceCell<()> = OnceCell::const_new();
    let migrate = || async {
        cluster().create(TEMPLATE, "template0");
        let db = PgDb::open(&PgOptions::new(cluster().url(TEMPLATE))).expect("opens");
        store::postgres::migrate(&db, time("2026-01-01T00:00:00Z")).await.expect("migrates");
        db.close();
    };
    MIGRATED.get_or_init(migrate).await;
    let made = tokio::task::spawn_blocking(|| cluster().database(Some(TEMPLATE)));
    let url = made.await.expect("makes a database");
    PgDb::open(&patient(url)).expect("opens")
}

/// On a loaded machine a test may fall silent for longer than a process should.
fn patient(url: String) -> PgOptions {
    let long = Duration::from_secs(60);
    PgOptions { idle_in_transaction: long, lock: long, statement: long, ..PgOptions::new(url) }
}

async fn postgres() -> Stand {
    let clock = Stand::clock_at_first();
    Stand::over(Box::new(Postgres::new(clock.clone()).await), clock)
}

/// The distributed profile, but for Kafka.
struct Postgres {
    db: PgDb,
    log: Arc<MemoryLog>,
}

impl Postgres {
    async fn new(clock: Arc<ManualClock>) -> Self {
        let log = Arc::new(MemoryLog::new(clock, Uuid::from_u128(0x106)));
        Self { db: database().await, log }
    }
}

impl Profile for Postgres {
    fn control(&self) -> Control {
        Control::Postgres(self.db.clone())
    }

    fn bus(&self) -> Arc<dyn Bus> {
        self.log.clone()
    }

    fn store(&self) -> Arc<dyn HotStore> {
        Arc::new(PgHotStore::new(self.db.clone()))
    }

    fn restart(&mut self) -> PortFuture<'_, ()> {
        // What a process knows of a database is its connections.
        Box::pin(async {
            let again = once_more(&self.db).await?;
            self.db.close();
            self.db = again;
            Ok(())
        })
    }

    fn rows(&self, table: Table) -> PortFuture<'_, Vec<String>> {
        Box::pin(async move { Ok(dump(&self.db, select(table)).await?) })
    }

    fn fresh(&self, clock: Arc<ManualClock>) -> PortFuture<'_, Box<dyn Profile>> {
        Box::pin(async { Ok(Box::new(Self::new(clock).await) as Box<dyn Profile>) })
    }
}

/// The same database over connections of their own, as another process has it.
async fn once_more(db: &PgDb) -> store::Result<PgDb> {
    let client = db.client().await?;
    let name = client.query_one("select current_database()::text", &[]).await;
    let name: String = name.map_err(StoreError::from)?.get(0);
    PgDb::open(&patient(cluster().url(&name)))
}

/// Columns that say when or in which batch something was written are left out, and the order is
/// one that does not depend on them.
fn select(table: Table) -> &'static str {
    match table {
        Table::Events => "select * from events order by log_offset",
        Table::EventIds => "select * from event_ids order by log_offset",
        Table::Incentives => {
            "select incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version,
                    event_id, type, reward_currency, reward_amount, coupon_code, issued_at, seq,
                    tenant_day_used, tenant_day_cap, tenant_total_used, tenant_total_cap,
                    user_day_used, user_day_cap, user_total_used, user_total_cap, limit_day, budgets
             from incentives order by source_partition, batch_seq, ordinal"
        }
        Table::UserStates => "select user_id, tenant_id, seq, state from user_states order by 1",
        Table::Users => {
            "select user_id, tenant_id, external_ref, attributes,
                    (extract(epoch from created_at) * 1000000)::bigint
             from users order by user_id"
        }
        Table::Marks => "select * from user_marks order by user_id, mark_key",
        Table::Usage => "select * from limit_usage order by 1, 2, 3",
        Table::Completions => "select * from user_aggregations order by aggregation_id",
        Table::Publications => "select incentive_id, user_id from incentive_event_log order by 1",
        Table::DeadLetters => {
            "select dead_letter_id, tenant_id, source, reason, detail, encode(raw, 'escape')
             from dead_letters order by dead_letter_id"
        }
        Table::Actions => "select * from actions order by 1, 2",
        Table::Batches => "select * from batches order by 1, 2",
    }
}

async fn dump(db: &PgDb, sql: &str) -> store::Result<Vec<String>> {
    let client = db.client().await?;
    let mut lines = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            let cells = (0..row.len()).map(|i| row.get(i).unwrap_or("null"));
            lines.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    Ok(lines)
}

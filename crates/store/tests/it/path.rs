//! The event path's ports over SQLite: the suites that every adapter passes.

use std::sync::Arc;

use domain::config::TenantMode;
use domain::id::{LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::time::Zone;
use engine::ports::{Announce, Bus, HotStore, IdGen as _, IncentiveEvent, PortFuture};
use rusqlite::types::ValueRef;
use store::control::tenants::{self, NewTenant, TenantStatus, TenantUpdate};
use store::control::{Change, Control};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use testkit::clock::{CountingIds, ManualClock};
use testkit::contract::{Subject, Table};
use testkit::dir::TempDir;
use testkit::event::time;

mod bus {
    testkit::bus_contract!(super::Sqlite::new());
}

mod hot_store {
    testkit::hot_store_contract!(super::Sqlite::new());
}

/// The embedded profile under test.
pub struct Sqlite {
    pub db: SqliteDb,
    bus: Arc<SqliteBus>,
    clock: Arc<ManualClock>,
    ids: CountingIds,
    dir: TempDir,
}

/// Nobody listens.
struct Silence;

impl Announce for Silence {
    fn announce(&self, _events: &[IncentiveEvent]) {}
}

impl Sqlite {
    /// A new database.
    pub async fn new() -> Self {
        let (dir, clock) = (TempDir::new(), ManualClock::at(time("2026-03-02T12:00:00Z")));
        let clock = Arc::new(clock);
        let (db, bus) = open(&dir, &clock).await;
        Self { db, bus, clock, ids: CountingIds::default(), dir }
    }

    fn change(&self) -> Change {
        Change { actor: "test".into(), at: time("2026-01-01T00:00:00Z") }
    }

    pub fn control(&self) -> Control {
        Control::Sqlite(self.db.clone())
    }
}

async fn open(dir: &TempDir, clock: &Arc<ManualClock>) -> (SqliteDb, Arc<SqliteBus>) {
    let path = dir.path().join("incent.db");
    let db = SqliteDb::open(&path, &DbOptions::default()).expect("opens");
    store::migrate::migrate(&db, time("2026-01-01T00:00:00Z")).await.expect("migrates");
    let bus = SqliteBus::open(db.clone(), clock.clone(), Arc::new(Silence)).await.expect("opens");
    (db, Arc::new(bus))
}

impl Subject for Sqlite {
    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn store(&self) -> Arc<dyn HotStore> {
        Arc::new(SqliteHotStore::new(self.db.clone()))
    }

    fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }

    fn tenant(&self) -> PortFuture<'_, TenantId> {
        let tenant = TenantId(self.ids.uuid());
        let limit = || (LimitId(self.ids.uuid()), LimitSpec::default());
        let new = NewTenant {
            tenant_id: tenant,
            name: "Acme".into(),
            time_zone: Zone::named("Europe/Paris").expect("a zone"),
            allowed_lateness_s: 7 * 86_400,
            coupon_key: self.ids.secret(),
            tenant_limit: limit(),
            user_limit: limit(),
        };
        let change = self.change();
        Box::pin(async move {
            self.control().write(move |sql| tenants::create(sql, &new, &change)).await?;
            Ok(tenant)
        })
    }

    fn set_mode(&self, tenant: TenantId, mode: TenantMode) -> PortFuture<'_, ()> {
        let change = self.change();
        Box::pin(async move {
            self.control().write(move |sql| tenants::set_mode(sql, tenant, mode, &change)).await?;
            Ok(())
        })
    }

    fn suspend(&self, tenant: TenantId) -> PortFuture<'_, ()> {
        let change = self.change();
        let update = TenantUpdate {
            name: "Acme".into(),
            time_zone: Zone::utc(),
            status: TenantStatus::Suspended,
            allowed_lateness_s: 0,
        };
        Box::pin(async move {
            let suspend = move |sql: &mut dyn store::control::Sql| {
                tenants::update(sql, tenant, &update, None, &change)
            };
            self.control().write(suspend).await?;
            Ok(())
        })
    }

    fn restart(&mut self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            self.db.close().await;
            (self.db, self.bus) = open(&self.dir, &self.clock).await;
            Ok(())
        })
    }

    fn rows(&self, table: Table) -> PortFuture<'_, Vec<String>> {
        Box::pin(async move { Ok(self.db.read(move |conn| dump(conn, table)).await?) })
    }
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
        Table::Users => "select * from users order by user_id",
        Table::Marks => "select * from user_marks order by user_id, mark_key",
        Table::Usage => "select * from limit_usage order by 1, 2, 3",
        Table::Completions => "select * from user_aggregations order by aggregation_id",
        Table::Publications => "select incentive_id, user_id from incentive_event_log order by 1",
        Table::DeadLetters => "select * from dead_letters order by dead_letter_id",
        Table::Actions => "select * from actions order by 1, 2",
        Table::Batches => "select * from batches order by 1, 2",
    }
}

fn dump(conn: &rusqlite::Connection, table: Table) -> store::Result<Vec<String>> {
    let mut query = conn.prepare(select(table))?;
    let columns = query.column_count();
    let mut rows = query.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let cells =
            (0..columns).map(|i| row.get_ref(i).map(cell)).collect::<Result<Vec<_>, _>>()?;
        lines.push(cells.join("|"));
    }
    Ok(lines)
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => panic!("a float: {n}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with('{') => text.to_owned(),
            _ => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        },
    }
}

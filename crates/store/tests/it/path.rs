//! The event path's ports over each database: the suites that every adapter passes.

use std::sync::Arc;

use domain::config::TenantMode;
use domain::id::{CampaignId, CohortId, LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::Zone;
use engine::ports::{
    Announce, Bus, ControlPlane, HotStore, IdGen as _, IncentiveEvent, PortFuture,
};
use rusqlite::types::ValueRef;
use store::control::campaigns::{self, CampaignContent, NewCampaign};
use store::control::cohorts::{self, Criteria, NewCohort, Refresh};
use store::control::limits::{self, LimitScope};
use store::control::tenants::{self, NewTenant, TenantStatus, TenantUpdate};
use store::control::{Change, Control, LocalControlPlane, Sql};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use testkit::clock::{CountingIds, ManualClock};
use testkit::contract::{Subject, Table};
use testkit::dir::TempDir;
use testkit::event::time;

mod bus {
    testkit::bus_contract!(super::sqlite());
}

mod hot_store {
    testkit::hot_store_contract!(super::sqlite());
}

mod whole {
    testkit::path_contract!(super::sqlite());
}

/// A profile's database and log.
pub trait Profile: Send + Sync {
    fn control(&self) -> Control;
    fn bus(&self) -> Arc<dyn Bus>;
    fn store(&self) -> Arc<dyn HotStore>;
    fn restart(&mut self) -> PortFuture<'_, ()>;
    fn rows(&self, table: Table) -> PortFuture<'_, Vec<String>>;
    /// Another one, empty.
    fn fresh(&self, clock: Arc<ManualClock>) -> PortFuture<'_, Box<dyn Profile>>;
}

/// A profile under test, with what is the same for all of them.
pub struct Stand {
    profile: Box<dyn Profile>,
    clock: Arc<ManualClock>,
    ids: Arc<CountingIds>,
}

async fn sqlite() -> Stand {
    let clock = Stand::clock_at_first();
    Stand::over(Box::new(Sqlite::new(clock.clone()).await), clock)
}

impl Stand {
    pub fn clock_at_first() -> Arc<ManualClock> {
        Arc::new(ManualClock::at(time("2026-03-02T12:00:00Z")))
    }

    pub fn over(profile: Box<dyn Profile>, clock: Arc<ManualClock>) -> Self {
        Self { profile, clock, ids: Arc::default() }
    }

    /// One change of the control plane.
    fn write<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&mut dyn Sql, &Change, &CountingIds) -> store::Result<T> + Send + 'static,
    ) -> PortFuture<'a, T> {
        let ids = self.ids.clone();
        Box::pin(async move {
            let change = Change { actor: "test".into(), at: time("2026-01-01T00:00:00Z") };
            Ok(self.profile.control().write(move |sql| work(sql, &change, &ids)).await?)
        })
    }
}

/// The embedded profile.
struct Sqlite {
    db: SqliteDb,
    bus: Arc<SqliteBus>,
    clock: Arc<ManualClock>,
    dir: TempDir,
}

/// Nobody listens.
struct Silence;

impl Announce for Silence {
    fn announce(&self, _events: &[IncentiveEvent]) {}
}

impl Sqlite {
    async fn new(clock: Arc<ManualClock>) -> Self {
        let dir = TempDir::new();
        let (db, bus) = open(&dir, &clock).await;
        Self { db, bus, clock, dir }
    }
}

impl Profile for Sqlite {
    fn control(&self) -> Control {
        Control::Sqlite(self.db.clone())
    }

    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn store(&self) -> Arc<dyn HotStore> {
        Arc::new(SqliteHotStore::new(self.db.clone()))
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

    fn fresh(&self, clock: Arc<ManualClock>) -> PortFuture<'_, Box<dyn Profile>> {
        Box::pin(async { Ok(Box::new(Self::new(clock).await) as Box<dyn Profile>) })
    }
}

async fn open(dir: &TempDir, clock: &Arc<ManualClock>) -> (SqliteDb, Arc<SqliteBus>) {
    let path = dir.path().join("incent.db");
    let db = SqliteDb::open(&path, &DbOptions::default()).expect("opens");
    store::migrate::migrate(&db, time("2026-01-01T00:00:00Z")).await.expect("migrates");
    let bus = SqliteBus::open(db.clone(), clock.clone(), Arc::new(Silence)).await.expect("opens");
    (db, Arc::new(bus))
}

impl Subject for Stand {
    fn bus(&self) -> Arc<dyn Bus> {
        self.profile.bus()
    }

    fn store(&self) -> Arc<dyn HotStore> {
        self.profile.store()
    }

    fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }

    fn tenant(&self) -> PortFuture<'_, TenantId> {
        self.write(|sql, change, ids| {
            let tenant_id = TenantId(ids.uuid());
            let limit = || (LimitId(ids.uuid()), LimitSpec::default());
            let new = NewTenant {
                tenant_id,
                name: "Acme".into(),
                time_zone: Zone::named("Europe/Paris").expect("a zone"),
                allowed_lateness_s: 7 * 86_400,
                coupon_key: [7; 32],
                tenant_limit: limit(),
                user_limit: limit(),
            };
            tenants::create(sql, &new, change)?;
            Ok(tenant_id)
        })
    }

    fn set_mode(&self, tenant: TenantId, mode: TenantMode) -> PortFuture<'_, ()> {
        self.write(move |sql, change, _| {
            tenants::set_mode(sql, tenant, mode, change)?;
            Ok(())
        })
    }

    fn suspend(&self, tenant: TenantId) -> PortFuture<'_, ()> {
        self.write(move |sql, change, _| {
            let update = TenantUpdate {
                name: "Acme".into(),
                time_zone: Zone::utc(),
                status: TenantStatus::Suspended,
                allowed_lateness_s: 0,
            };
            tenants::update(sql, tenant, &update, None, change)?;
            Ok(())
        })
    }

    fn control_plane(&self) -> Arc<dyn ControlPlane> {
        Arc::new(LocalControlPlane::new(self.profile.control(), self.clock.clone()))
    }

    fn set_limits(
        &self,
        tenant: TenantId,
        global: LimitSpec,
        user: LimitSpec,
    ) -> PortFuture<'_, ()> {
        self.write(move |sql, change, ids| {
            for (scope, spec) in [(LimitScope::Global, global), (LimitScope::User, user)] {
                let key = (scope, LimitId(ids.uuid()));
                limits::upsert(sql, tenant, key, &spec, None, change)?;
            }
            Ok(())
        })
    }

    fn weekly_cohort(&self, tenant: TenantId, criteria_json: String) -> PortFuture<'_, CohortId> {
        self.write(move |sql, change, ids| {
            let cohort_id = CohortId(ids.uuid());
            let new = NewCohort { cohort_id, key: None, name: "Regulars".into() };
            let criteria = Criteria { json: criteria_json, refresh: Refresh::Weekly };
            cohorts::create_dynamic(sql, tenant, &new, &criteria, change)?;
            Ok(cohort_id)
        })
    }

    fn campaign(
        &self,
        tenant: TenantId,
        rule_json: String,
        cohort_id: Option<CohortId>,
    ) -> PortFuture<'_, CampaignId> {
        self.write(move |sql, change, ids| {
            let campaign_id = CampaignId(ids.uuid());
            let is_quest = rule_json.contains("\"steps\"");
            let content = CampaignContent {
                name: "Spring".into(),
                start_at: None,
                end_at: None,
                cohort_id,
                priority: 0,
                rule_json,
                actions: vec![campaigns::ANY_ACTION.into()],
            };
            let kind = if is_quest { CampaignType::Quest } else { CampaignType::Simple };
            let new = NewCampaign { campaign_id, key: None, kind, content };
            campaigns::create(sql, tenant, &new, change)?;
            campaigns::activate(sql, tenant, campaign_id, None, change)?;
            Ok(campaign_id)
        })
    }

    fn pause(&self, tenant: TenantId, campaign: CampaignId) -> PortFuture<'_, ()> {
        self.write(move |sql, change, _| {
            campaigns::pause(sql, tenant, campaign, None, change)?;
            Ok(())
        })
    }

    fn fresh(&self) -> PortFuture<'_, Box<dyn Subject>> {
        Box::pin(async {
            let clock = Self::clock_at_first();
            let profile = self.profile.fresh(clock.clone()).await?;
            Ok(Box::new(Self::over(profile, clock)) as Box<dyn Subject>)
        })
    }

    fn restart(&mut self) -> PortFuture<'_, ()> {
        self.profile.restart()
    }

    fn rows(&self, table: Table) -> PortFuture<'_, Vec<String>> {
        self.profile.rows(table)
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

//! The store over real database files.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod campaigns;
mod cohorts;
mod config;
mod db;
mod ledger;
mod migrations;
mod operators;
mod path;
mod plans;
#[cfg(feature = "distributed")]
mod postgres;
mod recompute;
mod statements;
mod tenants;

use std::path::PathBuf;

use domain::id::{CampaignId, CohortId, KeyId, LimitId, TenantId, UserRef};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{Timestamp, Zone};
use rusqlite::Connection;
use store::control::campaigns::{CampaignContent, NewCampaign};
use store::control::tenants::{ALLOWED_LATENESS_S, NewTenant, create};
use store::control::{Change, PageRequest, Sql, SqliteSession};
use store::{DbOptions, Result, SqliteDb};
use testkit::dir::TempDir;
use uuid::Uuid;

/// A migrated database in a directory of its own.
struct TestDb {
    db: SqliteDb,
    dir: TempDir,
}

impl TestDb {
    fn new() -> Self {
        Self::with(&DbOptions::default())
    }

    fn with(options: &DbOptions) -> Self {
        let dir = TempDir::new();
        let db = SqliteDb::open(&dir.path().join("incent.db"), options).expect("opens");
        store::migrate::migrate_blocking(&db, at(0)).expect("migrates");
        Self { db, dir }
    }

    /// With the tenants A and B.
    fn with_tenants() -> Self {
        let t = Self::new();
        t.write(|sql| {
            create(sql, &new_tenant(A), &change(0))?;
            create(sql, &new_tenant(B), &change(0))
        })
        .expect("creates");
        t
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("incent.db")
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.db.write_blocking(move |conn| work(&mut SqliteSession(conn)))
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
    ) -> T {
        self.db.read_blocking(move |conn| work(&mut SqliteSession(conn))).expect("reads")
    }

    /// What only the hot path writes.
    fn hot(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static) {
        self.db.write_blocking(move |conn| Ok(work(conn)?)).expect("writes");
    }

    fn config_version(&self, tenant: TenantId) -> i64 {
        self.read(move |sql| store::control::config::version(sql, tenant))
            .expect("there is such a tenant")
    }

    /// Runs a change and tells by how much it raised the tenant's configuration version.
    fn raised<T: Send + 'static>(
        &self,
        tenant: TenantId,
        work: impl FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
    ) -> (i64, T) {
        let before = self.config_version(tenant);
        let done = self.write(work).expect("changes");
        (self.config_version(tenant) - before, done)
    }
}

const A: TenantId = TenantId(Uuid::from_u128(0xa));
const B: TenantId = TenantId(Uuid::from_u128(0xb));

/// So many seconds after 2026-01-01.
fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time").plus_micros(seconds * 1_000_000)
}

fn change(seconds: i64) -> Change {
    Change { actor: "admin".to_owned(), at: at(seconds) }
}

fn campaign_id(n: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(n))
}

fn cohort_id(n: u128) -> CohortId {
    CohortId(Uuid::from_u128(n))
}

fn key_id(n: u128) -> KeyId {
    KeyId(Uuid::from_u128(n))
}

fn user(name: &str) -> UserRef {
    UserRef::new(name).expect("a reference")
}

fn page<K>(size: u32) -> PageRequest<K> {
    PageRequest::first(size).expect("a size")
}

fn after<K>(key: K, size: u32) -> PageRequest<K> {
    PageRequest::new(Some(key), size).expect("a size")
}

fn new_tenant(id: TenantId) -> NewTenant {
    let limit = |n| LimitId(Uuid::from_u128(id.0.as_u128() << 8 | n));
    NewTenant {
        tenant_id: id,
        name: format!("Shop {}", id.0.as_u128()),
        time_zone: Zone::named("Europe/Paris").expect("a zone"),
        allowed_lateness_s: ALLOWED_LATENESS_S,
        coupon_key: [7; 32],
        tenant_limit: (limit(1), LimitSpec { max_per_day: Some(1000), ..LimitSpec::default() }),
        user_limit: (limit(2), LimitSpec::default()),
    }
}

fn content(name: &str) -> CampaignContent {
    CampaignContent {
        name: name.to_owned(),
        start_at: None,
        end_at: Some(at(86_400)),
        cohort_id: None,
        priority: 0,
        rule_json: r#"{"actions":["purchase"]}"#.to_owned(),
        actions: vec!["purchase".to_owned()],
    }
}

fn new_campaign(n: u128, name: &str) -> NewCampaign {
    NewCampaign {
        campaign_id: campaign_id(n),
        key: None,
        kind: CampaignType::Simple,
        content: content(name),
    }
}

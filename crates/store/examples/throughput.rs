//! How fast events become incentives on the embedded profile, held against plain batched writes of
//! the rows that come out, with the same indexes, in the same run.
//!
//! `cargo run --release -p incent-store --example throughput -- [events] [users] [batch]`
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program to be looked at")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use domain::event::RecordKind;
use domain::id::{CampaignId, LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{Timestamp, Zone};
use engine::ingest::{IncomingEvent, Ingest};
use engine::metrics::Metrics;
use engine::ports::{Announce, IdGen as _, IncentiveEvent};
use engine::relay::Relay;
use engine::worker::{Ports, Worker};
use rusqlite::Connection;
use rusqlite::types::Value;
use store::control::campaigns::{self, CampaignContent, NewCampaign};
use store::control::tenants::{self, NewTenant};
use store::control::{Change, Control, LocalControlPlane};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use testkit::clock::{CountingIds, ManualClock};
use testkit::dir::TempDir;
use tokio_util::sync::CancellationToken;

const SENDERS: usize = 4;

struct Silence;
impl Announce for Silence {
    fn announce(&self, _events: &[IncentiveEvent]) {}
}

struct Size {
    events: usize,
    users: usize,
    batch: usize,
}

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse().expect("a number"));
    let mut next = |default| args.next().unwrap_or(default);
    let size = Size { events: next(200_000), users: next(20_000), batch: next(2000) };
    let dir = TempDir::new();
    let path = dir.path().join("incent.db");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ours = runtime.block_on(run(&path, &size));
    let plain = plain(&path, &dir.path().join("plain.db"), &size);
    println!("ours  {ours:9.0} events/s");
    println!("plain {plain:9.0} events/s");
    println!("ratio {:9.2}", ours / plain);
}

async fn run(path: &Path, size: &Size) -> f64 {
    let db = SqliteDb::open(path, &DbOptions::default()).expect("opens");
    let now: Timestamp = "2026-03-02T12:00:00Z".parse().expect("a time");
    store::migrate::migrate(&db, now).await.expect("migrates");
    let (clock, ids) = (Arc::new(ManualClock::at(now)), Arc::new(CountingIds::default()));
    let control = Control::Sqlite(db.clone());
    let tenant = prepare(&control, &ids, now).await;
    let bus = SqliteBus::open(db.clone(), clock.clone(), Arc::new(Silence)).await.expect("opens");
    let ports = Ports {
        bus: Arc::new(bus),
        store: Arc::new(SqliteHotStore::new(db.clone())),
        control: Arc::new(LocalControlPlane::new(control, clock.clone())),
        clock: clock.clone(),
    };
    let ingest = Arc::new(Ingest::new(ports.bus.clone(), clock, ids, Metrics::detached()));
    let metrics = Metrics::detached();
    let stop = CancellationToken::new();
    let worker = Worker::new(0, size.batch, ports.clone(), metrics.clone());
    let mut progress = worker.progress();
    let transport = (ports.bus.clone(), ports.store.clone());
    let relay = Relay::new(0, transport, ports.clock.clone(), worker.progress(), metrics.clone());
    let relay = tokio::spawn(relay.run(CancellationToken::new()));
    let worker =
        worker.on_thread(tokio::runtime::Handle::current(), stop.clone()).expect("a thread");

    let cpu = cpu_seconds();
    let started = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| tokio::spawn(send(ingest.clone(), tenant, n, size.events, size.users)))
        .collect();
    for sender in senders {
        sender.await.expect("sends");
    }
    let accepted = started.elapsed().as_secs_f64();
    let end = i64::try_from(size.events).expect("fits");
    progress.wait_for(|p| p.is_some_and(|p| p.next_offset >= end)).await.expect("decides");
    let decided = started.elapsed().as_secs_f64();
    stop.cancel();
    tokio::task::spawn_blocking(move || worker.join()).await.expect("joins").expect("no panic");
    relay.await.expect("no panic");
    let published = started.elapsed().as_secs_f64();
    assert_eq!(metrics.incentives_granted(), size.events as u64);
    let cpu = cpu_seconds() - cpu;
    println!(
        "accepted {accepted:.2} s, decided {decided:.2} s, recorded {published:.2} s, cpu {cpu:.2} s"
    );
    println!("{:?}", db.stats());
    db.close().await;
    size.events as f64 / published
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |n: usize| after.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

async fn prepare(control: &Control, ids: &Arc<CountingIds>, now: Timestamp) -> TenantId {
    let ids = ids.clone();
    let change = Change { actor: "probe".into(), at: now };
    let rule = r#"{"on": ["purchase"], "when": "event.amount >= 1",
                   "rewards": [{"type": "POINTS", "amount": {"formula": "event.amount * 2"}}]}"#;
    let make = move |sql: &mut dyn store::control::Sql| {
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
        tenants::create(sql, &new, &change)?;
        let campaign_id = CampaignId(ids.uuid());
        let content = CampaignContent {
            name: "Double points".into(),
            start_at: None,
            end_at: None,
            cohort_id: None,
            priority: 0,
            rule_json: rule.into(),
            actions: vec!["purchase".into()],
        };
        let new = NewCampaign { campaign_id, key: None, kind: CampaignType::Simple, content };
        campaigns::create(sql, tenant_id, &new, &change)?;
        campaigns::activate(sql, tenant_id, campaign_id, None, &change)?;
        Ok(tenant_id)
    };
    control.write(make).await.expect("a tenant")
}

async fn send(ingest: Arc<Ingest>, tenant: TenantId, sender: usize, events: usize, users: usize) {
    let mine: Vec<usize> = (sender..events).step_by(SENDERS).collect();
    for part in mine.chunks(500) {
        let event = |n: &usize| {
            // Users in no order, as in life.
            let user = n.wrapping_mul(2_654_435_761) % users;
            IncomingEvent {
                event_id: format!("order-{n}").parse().expect("an id"),
                user_id: format!("user-{user}").parse().expect("a reference"),
                action: "purchase".parse().expect("an action"),
                event_ts: None,
                payload: format!(r#"{{"amount": {}.{:02}, "country": "FR"}}"#, n % 90 + 1, n % 100),
            }
        };
        let part = part.iter().map(event).collect();
        let accepted = ingest.accept(tenant, RecordKind::Live, part).await.expect("accepts");
        assert!(accepted.iter().all(|r| r.offset().is_some()));
    }
}

/// Tables of the event path, and how many of their rows come with one event.
const TABLES: [&str; 8] = [
    "events",
    "event_ids",
    "incentives",
    "incentive_event_log",
    "user_states",
    "users",
    "limit_usage",
    "batches",
];

/// Writes the rows that came out into an empty database of the same schema: prepared inserts, as
/// many rows in a transaction as `batch` events bring, one thread, nothing read.
fn plain(from: &Path, to: &Path, size: &Size) -> f64 {
    let source = Connection::open(from).expect("opens");
    let db = SqliteDb::open(to, &DbOptions::default()).expect("opens");
    store::migrate::migrate_blocking(&db, Timestamp::default()).expect("migrates");
    db.close_blocking();
    let conn = Connection::open(to).expect("opens");
    for (name, value) in [("synchronous", "full"), ("wal_autocheckpoint", "16384")] {
        conn.pragma_update(None, name, value).expect("sets");
    }
    conn.pragma_update(None, "cache_size", -65_536).expect("sets");
    conn.pragma_update(None, "foreign_keys", false).expect("sets");
    let tables = TABLES.map(|table| (insert_of(&source, table), rows_of(&source, table)));
    let batches = size.events.div_ceil(size.batch);
    let started = Instant::now();
    for batch in 0..batches {
        conn.execute_batch("begin immediate").expect("begins");
        for (sql, rows) in &tables {
            let share = rows.len().div_ceil(batches);
            let mut insert = conn.prepare_cached(sql).expect("prepares");
            for row in rows.iter().skip(batch * share).take(share) {
                insert.execute(rusqlite::params_from_iter(row)).expect("inserts");
            }
        }
        conn.execute_batch("commit").expect("commits");
    }
    size.events as f64 / started.elapsed().as_secs_f64()
}

fn insert_of(source: &Connection, table: &str) -> String {
    let query = source.prepare(&format!("select * from {table}")).expect("prepares");
    let marks = vec!["?"; query.column_count()].join(", ");
    format!("insert into {table} values ({marks})")
}

fn rows_of(source: &Connection, table: &str) -> Vec<Vec<Value>> {
    let order = match table {
        "event_ids" => "log_offset",
        "incentives" => "batch_seq, ordinal",
        _ => "1",
    };
    let mut query =
        source.prepare(&format!("select * from {table} order by {order}")).expect("prepares");
    let columns = query.column_count();
    let rows = query.query_map([], |row| (0..columns).map(|i| row.get(i)).collect());
    rows.expect("reads").collect::<Result<_, _>>().expect("reads")
}

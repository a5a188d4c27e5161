//! The embedded profile end to end, every event granting: events accepted, decided, committed,
//! published and logged, against plain batched writes of the same rows into the same tables with
//! the same indexes (one transaction per batch of the same size), in the same run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use domain::event::RecordKind;
use domain::id::{CampaignId, LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{Timestamp, Zone};
use engine::ingest::{IncomingEvent, Ingest};
use engine::metrics::Metrics;
use engine::ports::{Announce, Bus, Clock, IdGen, IncentiveEvent};
use engine::worker::{BATCH_MAX_DEFAULT, Ports, Worker};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use store::control::{Change, Control, LocalControlPlane, campaigns, tenants};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));
const START: i64 = 1_780_000_000_000_000;

struct StepClock(AtomicI64);
impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_stored(self.0.fetch_add(50, Ordering::Relaxed))
    }
}
pub struct Ids(pub AtomicI64);
impl IdGen for Ids {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + self.0.fetch_add(1, Ordering::Relaxed) as u128)
    }
    fn secret(&self) -> [u8; 32] {
        [1; 32]
    }
}
struct Nobody;
impl Announce for Nobody {
    fn announce(&self, _: &[IncentiveEvent]) {}
}

/// Event number `n`: a fifth as many users as events at 100,000, at most a million users.
pub fn event(n: u64, users: u64) -> IncomingEvent {
    let user = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    IncomingEvent {
        event_id: format!("order-{n}").parse().unwrap(),
        user_id: format!("user-{}", user % users).parse().unwrap(),
        action: "purchase".parse().unwrap(),
        event_ts: None,
        payload: format!(r#"{{"amount":{}.{:02},"category":"books","country":"FR"}}"#, 10 + n % 90, n % 100),
    }
}

pub async fn set_up(db: &SqliteDb) {
    store::migrate::migrate(db, Timestamp::from_stored(START)).await.unwrap();
    open_shop(&Control::Sqlite(db.clone()), TENANT, Timestamp::from_stored(START)).await;
}

/// A tenant with both limits and one campaign, under which every event grants.
pub async fn open_shop(control: &Control, tenant: TenantId, at: Timestamp) {
    let change = Change { actor: "bench".to_owned(), at };
    let id = move |n: u128| Uuid::from_u128(tenant.0.as_u128() ^ (n << 64));
    control
        .write(move |sql| {
            let limit = |n| (LimitId(id(n)), LimitSpec { max_per_day: Some(u64::MAX >> 2), max_total: Some(u64::MAX >> 2), window_days: Some(30) });
            tenants::create(sql, &tenants::NewTenant {
                tenant_id: tenant,
                name: "bench".to_owned(),
                time_zone: Zone::named("Europe/Paris").unwrap(),
                allowed_lateness_s: 604_800,
                coupon_key: [1; 32],
                tenant_limit: limit(1),
                user_limit: limit(2),
            }, &change)?;
            let rule = serde_json::json!({"version": 1, "on": ["purchase"], "when": "event.amount >= 10",
                "rewards": [{"type": "POINTS", "amount": {"perStep": {"give": "2", "each": "10", "of": "event.amount"}}}]});
            let rule = domain::compile::check_rule(&rule, CampaignType::Simple).unwrap();
            let campaign = CampaignId(id(3));
            campaigns::create(sql, tenant, &campaigns::NewCampaign {
                campaign_id: campaign,
                key: None,
                kind: CampaignType::Simple,
                content: campaigns::CampaignContent {
                    name: "points".to_owned(), start_at: None, end_at: None, cohort_id: None, priority: 0,
                    rule_json: rule.to_stored().to_string(), actions: rule.actions(),
                },
            }, &change)?;
            campaigns::activate(sql, tenant, campaign, None, &change)
        })
        .await
        .unwrap();
}

/// Runs `events` events through; seconds for each stretch of `stretch` events.
async fn ours(dir: &Path, events: u64, stretch: u64, users: u64) -> Vec<f64> {
    let db = SqliteDb::open(&dir.join("incent.db"), &DbOptions::default()).unwrap();
    set_up(&db).await;
    let clock: Arc<dyn Clock> = Arc::new(StepClock(AtomicI64::new(START)));
    let bus: Arc<dyn Bus> = Arc::new(SqliteBus::open(db.clone(), clock.clone(), Arc::new(Nobody)).await.unwrap());
    let store = Arc::new(SqliteHotStore::new(db.clone()));
    let control = Arc::new(LocalControlPlane::new(Control::Sqlite(db.clone()), clock.clone()));
    let ports = Ports { bus: bus.clone(), store, control, clock: clock.clone(), limits: None };
    let mut worker = Worker::new(0, BATCH_MAX_DEFAULT, ports, Metrics::detached());
    let relay = worker.relay();
    let stop = CancellationToken::new();
    let mut progress = worker.progress();
    let health = worker.health();
    let thread = worker.on_thread(tokio::runtime::Handle::current(), stop.clone()).unwrap();
    let relaying = tokio::spawn(relay.run(stop.clone()));
    let ingest = Arc::new(Ingest::new(bus, clock, Arc::new(Ids(AtomicI64::new(1))), Metrics::detached()));

    let mut seconds = Vec::new();
    let mut sent = 0;
    while sent < events {
        let begin = Instant::now();
        let end = sent + stretch;
        // Two senders' worth of calls in flight, as a busy server has.
        let mut calls = std::collections::VecDeque::new();
        while sent < end {
            let batch: Vec<_> = (sent..(sent + 1000).min(end)).map(|n| event(n, users)).collect();
            sent += batch.len() as u64;
            let ingest = ingest.clone();
            calls.push_back(tokio::spawn(async move { ingest.accept(TENANT, RecordKind::Live, batch).await.unwrap().len() }));
            if calls.len() >= 4 {
                calls.pop_front().unwrap().await.unwrap();
            }
        }
        for call in calls {
            call.await.unwrap();
        }
        if progress.wait_for(|p| p.is_some_and(|p| p.next_offset >= sent as i64)).await.is_err() {
            panic!("the worker has ended: {:?}", health.borrow());
        }
        seconds.push(begin.elapsed().as_secs_f64());
        show(seconds.len() as u64 * stretch, &seconds, stretch);
    }
    // The relay's rest counts towards the last stretch.
    let begin = Instant::now();
    // The relay tells nobody when it has logged the last one, so it is asked.
    loop {
        let logged: i64 = db.read(|c| Ok(c.query_row("select count(*) from incentive_event_log", [], |r| r.get(0))?)).await.unwrap();
        if logged as u64 >= events {
            break;
        }
        // tidy-allow(sleep-in-test): a benchmark that polls a database
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    *seconds.last_mut().unwrap() += begin.elapsed().as_secs_f64();
    stop.cancel();
    let _ended = relaying.await;
    drop(ingest);
    thread.join().unwrap();
    db.close().await;
    seconds
}

/// Shows how far a long run has come.
fn show(events: u64, seconds: &[f64], stretch: u64) {
    let rate = stretch as f64 / seconds.last().copied().unwrap_or(1.0);
    eprint!("\r{events:>12} events, {rate:>8.0} a second ");
}

/// The tables that the path writes, and how a plain program would write a row.
const TABLES: [&str; 5] = ["events", "event_ids", "incentives", "users", "incentive_event_log"];

/// Writes the rows that `ours` left in `from` into a new database, a transaction per batch; seconds
/// for each stretch.
fn plain(dir: &Path, from: &Path, events: u64, stretch: u64) -> Vec<f64> {
    let db = SqliteDb::open(&dir.join("incent.db"), &DbOptions::default()).unwrap();
    tokio::runtime::Handle::current().block_on(set_up(&db));
    let source = Connection::open(from).unwrap();
    // To find the rows again; not part of what is timed.
    source.execute_batch("create index by_offset on event_ids (log_offset); create index by_event on incentives (event_id);").unwrap();
    let columns: BTreeMap<&str, usize> = TABLES.iter().map(|t| (*t, source.prepare(&format!("select * from {t} limit 0")).unwrap().column_count())).collect();
    let inserts: Vec<String> = TABLES.iter().map(|t| {
        let marks = vec!["?"; columns[t]].join(",");
        format!("insert or ignore into {t} values ({marks})")
    }).collect();
    let mut seconds = Vec::new();
    let mut done = 0;
    while done < events {
        let end = (done + stretch).min(events);
        // Read first and timed in one piece, so that checkpoints fall into the time as they do
        // for the platform.
        let mut batches = Vec::new();
        while done < end {
            let to = (done + BATCH_MAX_DEFAULT as u64).min(end);
            batches.push((to, read_rows(&source, done, to)));
            done = to;
        }
        let begin = Instant::now();
        for (to, rows) in batches {
            let inserts = inserts.clone();
            db.write_blocking(move |conn| {
                for (insert, rows) in inserts.iter().zip(&rows.tables) {
                    let mut statement = conn.prepare_cached(insert)?;
                    for row in rows {
                        statement.execute(params_from_iter(row))?;
                    }
                }
                let mut state = conn.prepare_cached(
                    "insert into user_states values (?, ?, ?, ?, ?)
                     on conflict (user_id) do update set version = excluded.version, seq = excluded.seq, state = excluded.state")?;
                for row in &rows.states {
                    state.execute(params_from_iter(row))?;
                }
                let mut batch = conn.prepare_cached("insert or replace into batches values (0, ?, 1, 0, 0, '{}', '{}', 0)")?;
                batch.execute([to as i64])?;
                Ok(())
            }).unwrap();
        }
        seconds.push(begin.elapsed().as_secs_f64());
        show(done, &seconds, stretch);
    }
    db.close_blocking();
    seconds
}

struct Rows {
    tables: Vec<Vec<Vec<Value>>>,
    states: Vec<Vec<Value>>,
}

fn read_rows(source: &Connection, from: u64, to: u64) -> Rows {
    let all = |sql: &str| -> Vec<Vec<Value>> {
        let mut statement = source.prepare_cached(sql).unwrap();
        let count = statement.column_count();
        let rows = statement.query_map([from as i64, to as i64], |row| (0..count).map(|i| row.get(i)).collect()).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let range = "e.log_offset >= ?1 and e.log_offset < ?2";
    // One event, one incentive.
    let granted = format!("from events e join incentives i on i.event_id = e.event_id where {range}");
    let tables = vec![
        all(&format!("select * from events e where {range}")),
        all(&format!("select * from event_ids e where {range}")),
        all(&format!("select i.* {granted}")),
        all(&format!("select u.* from events e join users u on u.user_id = e.user_id and u.created_at = e.append_time where {range}")),
        all(&format!("select l.* {} join incentive_event_log l on l.incentive_id = i.incentive_id where {range}", granted.replace(&format!(" where {range}"), ""))),
    ];
    let states = format!("select s.* from (select distinct user_id from events e where {range}) e join user_states s on s.user_id = e.user_id");
    Rows { tables, states: all(&states) }
}

pub async fn run(events: u64) {
    let users = (events / 5).clamp(1000, 1_000_000);
    let stretch = (events / 10).clamp(1000, 100_000);
    let root = PathBuf::from(std::env::temp_dir()).join(format!("incent-bench-{}", std::process::id()));
    let (a, b) = (root.join("ours"), root.join("plain"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    println!("{events} events of {users} users, every event granting; stretches of {stretch}");
    let ours = ours(&a, events, stretch, users).await;
    let from = a.join("incent.db");
    let plain = tokio::task::spawn_blocking(move || plain(&b, &from, events, stretch)).await.unwrap();
    eprintln!();
    println!("{:>12} {:>14} {:>14} {:>8}", "events", "incent ev/s", "plain ev/s", "ratio");
    for (i, (o, p)) in ours.iter().zip(&plain).enumerate() {
        let rate = |s: f64| stretch as f64 / s;
        println!("{:>12} {:>14.0} {:>14.0} {:>7.0}%", (i as u64 + 1) * stretch, rate(*o), rate(*p), p / o * 100.0);
    }
    let (total_ours, total_plain): (f64, f64) = (ours.iter().sum(), plain.iter().sum());
    println!("\nall: {:.0} ev/s, {:.0} % of plain writes", events as f64 / total_ours, total_plain / total_ours * 100.0);
    println!("cost per event, last stretch against the first: {:.2} x", ours[ours.len() - 1] / ours[0]);
    let _removed = std::fs::remove_dir_all(&root);
}

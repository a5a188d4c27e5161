//! The whole path of an event over PostgreSQL with limits in Redis, while Redis is emptied, set
//! back, killed, frozen, filled and lied to: every row is as it is without Redis, and at rest
//! Redis says what PostgreSQL says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::decide::Needs;
use domain::id::{CampaignId, LimitId, UserRef, user_id};
use domain::limit::{LimitSpec, Window};
use domain::rule::CampaignType;
use domain::time::{Period, Timestamp};
use engine::ports::{Bus as _, HotStore, LimitGate};
use engine::worker::Ports;
use limits_redis::Settings;
use store::control::campaigns::{self, CampaignContent, NewCampaign};
use store::control::tenants::{self, NewTenant};
use store::control::{Change, Control, LocalControlPlane};
use store::hot::PgHotStore;
use store::{PgDb, PgOptions};
use testkit::calculator::run_to_end;
use testkit::clock::ManualClock;
use testkit::event::event;
use testkit::log::MemoryLog;
use testkit::postgres::cluster;
use testkit::random::Random;
use testkit::redis::RedisServer;
use uuid::Uuid;

use crate::stage::{Gate, TENANT, now, reserved_on, settings, shown, until, zone};

const PARTS: usize = 12;
const EVENTS_IN_PART: usize = 40;
const USERS: u64 = 24;
const PER_DAY: u64 = 60;

/// A tenant whose limits are used up by half of its events.
struct World {
    db: PgDb,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    now: Timestamp,
}

impl World {
    async fn new(now: Timestamp) -> Self {
        let url = tokio::task::spawn_blocking(|| cluster().database(None)).await;
        let long = Duration::from_secs(60);
        let options = PgOptions {
            idle_in_transaction: long,
            lock: long,
            statement: long,
            ..PgOptions::new(url.expect("a database"))
        };
        let db = PgDb::open(&options).expect("opens");
        store::postgres::migrate(&db, now).await.expect("migrates");
        let clock = Arc::new(ManualClock::at(now));
        let log = Arc::new(MemoryLog::new(clock.clone(), Uuid::from_u128(0x106)));
        let world = Self { db, log, clock, now };
        world.set_up().await;
        world
    }

    async fn set_up(&self) {
        let change = Change { actor: "test".into(), at: self.now };
        let zone = zone(self.now);
        let caps = |n, day, total| {
            let spec = LimitSpec { max_per_day: Some(day), max_total: total, window_days: Some(9) };
            (LimitId(Uuid::from_u128(n)), spec)
        };
        let control = Control::Postgres(self.db.clone());
        let write = control.write(move |sql| {
            let tenant = NewTenant {
                tenant_id: TENANT,
                name: "Acme".into(),
                time_zone: zone,
                allowed_lateness_s: 86_400,
                coupon_key: [7; 32],
                tenant_limit: caps(1, PER_DAY * 4, None),
                user_limit: caps(2, 12, Some(11)),
            };
            tenants::create(sql, &tenant, &change)?;
            let campaign_id = CampaignId(Uuid::from_u128(3));
            let content = CampaignContent {
                name: "Points".into(),
                start_at: None,
                end_at: None,
                cohort_id: None,
                priority: 0,
                rule_json: serde_json::json!({"version": 1, "on": ["purchase"],
                    "rewards": [{"type": "POINTS", "amount": "1"}]})
                .to_string(),
                actions: vec!["purchase".into()],
            };
            let kind = CampaignType::Simple;
            let campaign = NewCampaign { campaign_id, key: None, kind, content };
            campaigns::create(sql, TENANT, &campaign, &change)?;
            campaigns::activate(sql, TENANT, campaign_id, None, &change)
        });
        write.await.expect("writes");
    }

    fn store(&self) -> Arc<PgHotStore> {
        Arc::new(PgHotStore::new(self.db.clone()))
    }

    /// Decides what was not decided yet, in a life of its own.
    async fn run(&self, limits: Option<Arc<dyn LimitGate>>) {
        let control =
            LocalControlPlane::new(Control::Postgres(self.db.clone()), self.clock.clone());
        let ports = Ports {
            bus: self.log.clone(),
            store: self.store(),
            control: Arc::new(control),
            clock: self.clock.clone(),
            limits,
        };
        let ends = run_to_end(&ports, 16).await;
        assert!(ends.is_clean(), "{ends:?}");
    }

    /// Appends the n-th part of the log, the same in every world.
    async fn append(&self, part: usize) {
        let mut dice = Random(part as u64);
        let records = (0..EVENTS_IN_PART).map(|n| {
            // Some users come more often than others; some events come twice.
            let user = dice.below(USERS).min(dice.below(USERS));
            let n = if n % 13 == 12 { n - 12 } else { n };
            let id = format!("e-{part}-{n}");
            let user = if n % 13 == 0 { 0 } else { user };
            event(TENANT, &id).user(&format!("user-{user}")).ts(self.now).record()
        });
        self.log.append(records.collect()).await.expect("appends");
    }

    /// All rows of what was decided, as text.
    async fn rows(&self) -> Vec<String> {
        let client = self.db.client().await.expect("connects");
        let mut all = Vec::new();
        for (table, order) in [
            ("events", "log_offset"),
            ("incentives", "user_id, seq"),
            ("user_states", "user_id"),
            ("limit_usage", "tenant_id, limit_key, bucket"),
        ] {
            let sql = format!("select to_jsonb(t)::text from {table} t order by {order}");
            for row in client.query(&sql, &[]).await.expect("reads") {
                all.push(format!("{table} {}", row.get::<_, String>(0)));
            }
        }
        all
    }
}

/// Redis at rest against PostgreSQL.
async fn assert_same(server: &RedisServer, world: &World) {
    let day = zone(world.now).day(world.now);
    let today = Window::Period(Period::Day);
    let names: Vec<UserRef> =
        (0..USERS).map(|n| format!("user-{n}").parse().expect("a reference")).collect();
    let limit = (TENANT, domain::limit::TENANT_LIMIT_KEY.to_owned());
    let needs = Needs {
        users: names.iter().map(|name| user_id(TENANT, name)).collect(),
        usage: [(limit.clone(), day)].into(),
        ..Needs::default()
    };
    let loaded = world.store().load(Arc::new(needs)).await.expect("loads");
    let shown = shown(server);
    assert_eq!(shown["daily"], loaded.usage[&limit].used(today, day).to_string());
    let mut found = 0;
    for name in &names {
        // A user who has earned nothing since Redis was emptied has no key.
        let Some(use_) = shown.get(&format!("{{{name}}}:daily")) else { continue };
        let stored = &loaded.users[&user_id(TENANT, name)];
        assert_eq!(*use_, stored.state.limit.used(today, day).to_string(), "{name}");
        found += 1;
    }
    assert_eq!(found + 1, shown.len(), "{shown:?}");
    assert!(found > 3, "{shown:?}");
    assert_eq!(reserved_on(server, day), 0);
}

fn life(server: &RedisServer) -> Settings {
    Settings {
        patience: Duration::from_millis(20),
        answer_within: Duration::from_millis(300),
        ..settings(&server.url())
    }
}

/// What happens to Redis before a part of the log is decided.
fn before(part: usize, server: &mut RedisServer) {
    let lie = |user: u64, text: &str| {
        server.ask(&["set", &format!("limit:{{{TENANT}}}:{{user-{user}}}:daily"), text]);
    };
    match part {
        2 => server.kill(),
        3 => server.restart(),
        4 => server.keep_copy(),
        6 => server.restart(),
        7 => drop(server.ask(&["config", "set", "maxmemory", "1"])),
        8 => {
            server.ask(&["config", "set", "maxmemory", "0"]);
            (0..USERS).for_each(|user| lie(user, "999999"));
            server.ask(&["set", &format!("limit:{{{TENANT}}}:daily"), "999999"]);
        }
        9 => (0..USERS).for_each(|user| lie(user, "0")),
        10 => server.freeze(true),
        11 => server.freeze(false),
        _ => {}
    }
}

/// Empties Redis again and again until it is told to stop.
async fn empty_always(server: &RedisServer, stop: &AtomicBool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(3));
    // Between two of them the rest of the task has its turn.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::SeqCst) {
        tokio::task::block_in_place(|| server.ask(&["flushall"]));
        ticks.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_redis_no_row_differs() {
    let mut server = RedisServer::start(&[]);
    let now = now(&server);
    let (world, plain) = tokio::join!(World::new(now), World::new(now));
    let mut gate = Gate::open(&life(&server), world.store(), now).await;
    let mut kinds = BTreeSet::new();
    for part in 0..PARTS {
        before(part, &mut server);
        if part % 4 == 3 {
            // Another process takes over.
            note(&mut kinds, &gate);
            gate = Gate::closed(&life(&server), world.store(), now);
        }
        world.append(part).await;
        let limits: Arc<dyn LimitGate> = gate.limits.clone();
        if part == 1 {
            let stop = AtomicBool::new(false);
            let run = async {
                world.run(Some(limits)).await;
                stop.store(true, Ordering::SeqCst);
            };
            tokio::join!(run, empty_always(&server, &stop));
        } else {
            world.run(Some(limits)).await;
        }
        plain.append(part).await;
        plain.run(None).await;
    }
    let (rows, expected) = (world.rows().await, plain.rows().await);
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
    assert!(expected.iter().any(|row| row.contains("LIMIT_USER_TOTAL")), "a limit is reached");
    note(&mut kinds, &gate);
    assert!(kinds.contains("lost") && kinds.contains("unknown"), "{kinds:?}");

    let last = Gate::open(&life(&server), world.store(), now).await;
    world.append(PARTS).await;
    world.run(Some(last.limits.clone())).await;
    last.scrub().await;
    until("nothing is reserved", || reserved_on(&server, zone(now).day(now)) == 0).await;
    last.scrub().await;
    assert_same(&server, &world).await;
}

fn note(kinds: &mut BTreeSet<&'static str>, gate: &Gate) {
    let all = ["lost", "unknown", "stale", "fenced", "missed", "leaked", "mended"];
    kinds.extend(all.iter().filter(|kind| gate.metrics.limits_events(kind) > 0));
}

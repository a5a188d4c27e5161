//! The distributed profile end to end, every event granting: from records in Kafka to incentives
//! committed, published and logged, by processes of the real binary on the real services, against
//! plain writes of the same rows on the same PostgreSQL in the same run. Everything shares the
//! machine's processors.

mod plain;
mod processor;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus_kafka::KafkaBus;
use domain::event::RecordKind;
use domain::id::TenantId;
use domain::time::Timestamp;
use engine::ingest::Ingest;
use engine::metrics::Metrics;
use engine::ports::{Bus, Clock};
use store::control::Control;
use store::postgres::{Retention, keep_partitions, migrate};
use store::{PgDb, PgOptions};
use testkit::services::{connect_url, kafka_brokers, postgres_url, redis_url};
use uuid::Uuid;

use crate::pipeline::{Ids, event, open_shop};

/// Tenants, so that partitions are used evenly.
const TENANTS: u64 = 16;
const PARTITIONS: i32 = 4;
/// Pause between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The connectors of `deploy/debezium`: file, what their topic is called in the configuration.
const CONNECTORS: [(&str, &str); 2] = [("db.incentives.json", "db.incentives"), ("db.incentives.redis.json", "db.incentives.redis")];

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::from_stored(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
    }
}

pub async fn run(events: u64, only: Option<&str>) {
    println!("{events} records of {TENANTS} tenants on {PARTITIONS} partitions, every one granting");
    let is_wanted = |what: &str| only.is_none_or(|only| only == what);
    let mut rates = Vec::new();
    for (what, title, calculators) in [("one", "one calculator", 1), ("two", "two calculators", 2)] {
        if is_wanted(what) {
            rates.push(measure(events, title, calculators, false).await);
        }
    }
    if let [one, two] = rates[..] {
        println!("two calculators against one: {:.2} x (goal: 0.9 or more)\n", two / one);
    }
    if is_wanted("all") {
        measure(events, "one calculator, all other roles and both connectors", 1, true).await;
    }
}

/// Runs and reports; gives events a second.
async fn measure(events: u64, title: &str, calculators: usize, with_all: bool) -> f64 {
    let stage = Stage::new(if with_all { "all".to_owned() } else { format!("ic{calculators}") }).await;
    let connectors: Vec<_> = if with_all {
        CONNECTORS.iter().map(|(file, topic)| Connector::start(&stage, file, topic)).collect()
    } else {
        Vec::new()
    };
    for connector in &connectors {
        connector.wait(&stage).await;
    }
    stage.feed(events).await;
    let _others = with_all.then(|| stage.serve("dcm,aggregator,analytics", "others"));

    let before = processor::used();
    let processes: Vec<_> = (0..calculators).map(|n| stage.serve("ic", &format!("ic-{n}"))).collect();
    stage.decided(events).await;
    let done = Now.now().micros();
    let used: BTreeMap<_, _> = processor::used()
        .into_iter()
        .map(|(service, seconds)| (service, seconds - before.get(service).copied().unwrap_or_default()))
        .collect();
    let begun = (0..calculators).map(|n| stage.taken_over_at(&format!("ic-{n}"))).min().unwrap();
    let ours = (done - begun) as f64 / 1e6;
    if with_all {
        let lag = stage.captured().await;
        println!("{title}: both connectors had captured all {lag:.1} s after the last commit");
    }
    let shares = stage.shares().await;
    drop(processes);
    drop(_others);
    drop(connectors);

    let bare = stage.another_database().await;
    let plain = plain::write(&stage.db, &bare).await.as_secs_f64();
    let goal = if with_all { 40 } else { 60 };
    let (ours, plain) = (events as f64 / ours, events as f64 / plain);
    println!(
        "{title}: {ours:.0} ev/s, plain writes {plain:.0} ev/s: {:.0} % (goal: {goal} % or more)",
        ours / plain * 100.0
    );
    println!("  seconds of processor time: {}", listed(&used));
    println!("  incentives by partition: {shares:?}\n");
    drop(bare);
    stage.end().await;
    ours
}

fn listed(used: &BTreeMap<&str, f64>) -> String {
    used.iter().map(|(service, seconds)| format!("{service} {seconds:.1}")).collect::<Vec<_>>().join(", ")
}

/// A database and topics of one measurement.
struct Stage {
    dir: PathBuf,
    name: String,
    /// The first tenant's id.
    tenants: u128,
    db: PgDb,
    settings: bus_kafka::Settings,
}

impl Stage {
    async fn new(name: String) -> Self {
        let name = format!("bench_{}_{name}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(dir.join("files")).unwrap();
        let (db, url) = database(&name).await;
        let mut settings = bus_kafka::Settings::new(&kafka_brokers());
        settings.events_topic = format!("tenant-events-{name}");
        settings.incentives_topic = format!("incentive-generated-{name}");
        settings.analytics_topic = format!("db.incentives-{name}");
        settings.aggregates_topic = format!("db.incentives.redis-{name}");
        let config = format!(
            "databaseUrl: {url}\nkafka: {}\neventsTopic: {}\nincentivesTopic: {}\nanalyticsTopic: {}\n\
             aggregatesTopic: {}\ngroup: {name}\nserverKey: {}\nredisUrl: {}\nanalyticsDir: {}\n",
            settings.brokers, settings.events_topic, settings.incentives_topic, settings.analytics_topic,
            settings.aggregates_topic, "0f".repeat(32), redis_url(), dir.join("files").display()
        );
        std::fs::write(dir.join("incent.yaml"), config).unwrap();
        // The microsecond in the middle, as in a UUIDv8 of ours.
        let tenants = 0x0199_0000_0000_8000_8000_0000_0000_0000 | u128::from(Now.now().micros().unsigned_abs() & 0xFFFF_FFFF) << 16;
        let stage = Self { dir, name, tenants, db, settings };
        let partitions = PARTITIONS.to_string();
        let made = stage.command(&["topics", "create", "--partitions", &partitions, "--replication", "1"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        stage
    }

    /// A tenant of this measurement alone: Redis remembers those of others, and would fence us off.
    fn tenant(&self, n: u64) -> TenantId {
        TenantId(Uuid::from_u128(self.tenants + u128::from(n)))
    }

    async fn open_shops(&self, db: &PgDb) {
        for n in 0..TENANTS {
            open_shop(&Control::Postgres(db.clone()), self.tenant(n), Now.now()).await;
        }
    }

    /// Another database with the same tables, tenants and slots.
    async fn another_database(&self) -> PgDb {
        let (db, _) = database(&format!("{}_plain", self.name)).await;
        self.open_shops(&db).await;
        let client = db.client().await.unwrap();
        for (_, topic) in CONNECTORS {
            let slot = format!("{}_{}", self.name, topic.replace('.', "_"));
            client.execute("select pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await.unwrap();
        }
        db
    }

    fn command(&self, args: &[&str]) -> Command {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/incent");
        assert!(binary.exists(), "no binary: cargo build --release --features distributed");
        let mut command = Command::new(binary);
        command.args(args).arg("--config").arg(self.dir.join("incent.yaml")).current_dir(&self.dir);
        command.env("INCENT_ADMIN_TOKEN", "the admin of a benchmark, 0123456789abcdef");
        command
    }

    /// A process with these roles, ready.
    fn serve(&self, roles: &str, name: &str) -> Process {
        let log = File::create(self.log(name)).unwrap();
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--roles", roles]);
        command.env("INCENT_LOG", "info").stderr(log).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready on") {
            line.clear();
            let read = out.read_line(&mut line).unwrap();
            assert!(read > 0, "{}", std::fs::read_to_string(self.log(name)).unwrap());
        }
        Process(child, out)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// When a process took its first partition over, in microseconds.
    fn taken_over_at(&self, name: &str) -> i64 {
        let log = std::fs::read_to_string(self.log(name)).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let taken = lines.filter(|line| line.to_string().contains("the partition is taken over"));
        let times = taken.filter_map(|line| line["timestamp"].as_str()?.parse::<Timestamp>().ok());
        times.map(|at| at.micros()).min().expect("a partition was taken over")
    }

    /// Has so many records in Kafka.
    async fn feed(&self, events: u64) {
        self.open_shops(&self.db).await;
        let bus: Arc<dyn Bus> = Arc::new(KafkaBus::connect(&self.settings).await.unwrap());
        let ids = Arc::new(Ids(AtomicI64::new(1)));
        let ingest = Arc::new(Ingest::new(bus, Arc::new(Now), ids, Metrics::detached()));
        // A fifth as many as events; each tenant has its own.
        let users = (events / 5 / TENANTS).clamp(100, 100_000);
        let mut calls = VecDeque::new();
        let mut sent = 0;
        while sent < events {
            let to = (sent + 1000).min(events);
            let batch: Vec<_> = (sent..to).map(|n| event(n, users)).collect();
            let (ingest, tenant) = (ingest.clone(), self.tenant(sent / 1000 % TENANTS));
            calls.push_back(tokio::spawn(async move {
                assert_eq!(ingest.accept(tenant, RecordKind::Live, batch).await.unwrap().len() as u64, to - sent);
            }));
            sent = to;
            if calls.len() >= 8 {
                calls.pop_front().unwrap().await.unwrap();
            }
        }
        for call in calls {
            call.await.unwrap();
        }
    }

    async fn number(&self, sql: &str) -> i64 {
        self.db.client().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Returns when so many are decided, published and logged.
    async fn decided(&self, events: u64) {
        let begun = Instant::now();
        // A small table, so that looking costs nothing; the log is counted when it may be whole.
        let reached = "select coalesce(sum(next_offset), 0)::bigint from positions where published_batch = batch_seq";
        let logged = "select count(*) from incentive_event_log";
        loop {
            let so_far = self.number(reached).await as u64;
            eprint!("\r{so_far:>12} decided, published and logged ");
            if so_far >= events && self.number(logged).await as u64 >= events {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(3600), "it does not come to an end");
            // tidy-allow(sleep-in-test): a benchmark that polls a database
            tokio::time::sleep(LOOK_EVERY).await;
        }
        eprintln!();
        assert_eq!(self.number("select count(*) from incentives").await as u64, events, "every event grants once");
    }

    /// Incentives by source partition.
    async fn shares(&self) -> Vec<i64> {
        let client = self.db.client().await.unwrap();
        let rows = client.query("select count(*) from incentives group by source_partition order by 1", &[]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Seconds until the slots have confirmed what is committed now.
    async fn captured(&self) -> f64 {
        let begun = Instant::now();
        let client = self.db.client().await.unwrap();
        let now: String = client.query_one("select pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
        let behind = format!(
            "select count(*) from pg_replication_slots where database = current_database() \
             and confirmed_flush_lsn < '{now}'::pg_lsn"
        );
        while self.number(&behind).await > 0 {
            // tidy-allow(sleep-in-test): a benchmark that polls a database
            tokio::time::sleep(LOOK_EVERY).await;
        }
        begun.elapsed().as_secs_f64()
    }
}

impl Stage {
    /// Gives back what it has taken of the services: slots would keep the log for ever.
    async fn end(self) {
        let admin = PgDb::open(&PgOptions::new(&postgres_url())).unwrap();
        let client = admin.client().await.unwrap();
        for database in [self.name.clone(), format!("{}_plain", self.name)] {
            // A connector that was told to go may hold its slot a moment longer.
            let drop_slots = format!(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '{database}'"
            );
            while client.batch_execute(&drop_slots).await.is_err() {
                // tidy-allow(sleep-in-test): a benchmark that polls a database
                tokio::time::sleep(LOOK_EVERY).await;
            }
            client.batch_execute(&format!("drop database {database} with (force)")).await.unwrap();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// A new database with our tables and this month's partitions.
async fn database(name: &str) -> (PgDb, String) {
    let server = postgres_url();
    let admin = PgDb::open(&PgOptions::new(&server)).unwrap();
    admin.client().await.unwrap().batch_execute(&format!("create database {name}")).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let db = PgDb::open(&PgOptions::new(&url)).unwrap();
    let now = Now.now();
    migrate(&db, now).await.unwrap();
    keep_partitions(&db, now, Retention { events_days: 36_500, incentives_days: 36_500 }).await.unwrap();
    (db, url)
}

/// A process of the platform; it stops in order when dropped.
struct Process(Child, #[expect(dead_code, reason = "its output is kept open")] BufReader<std::process::ChildStdout>);

impl Drop for Process {
    fn drop(&mut self) {
        _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        _ = self.0.wait();
    }
}

/// One of our connectors on the stage's database; it goes when dropped, its slot with the database.
struct Connector {
    url: String,
}

impl Connector {
    fn start(stage: &Stage, file: &str, topic: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/debezium").join(file);
        let mut file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut config = file["config"].take();
        let prefix = format!("{}_{}", config["topic.prefix"].as_str().unwrap(), stage.name);
        config["database.dbname"] = stage.name.as_str().into();
        config["slot.name"] = format!("{}_{}", config["slot.name"].as_str().unwrap(), stage.name).into();
        config["transforms.exactTopic.regex"] = format!("{prefix}\\.public\\.incentives").into();
        config["transforms.exactTopic.replacement"] = format!("{topic}-{}", stage.name).into();
        config["topic.prefix"] = prefix.into();
        let url = format!("{}/connectors/{topic}-{}", connect_url(), stage.name);
        let mut tries = 0;
        // While Connect shares its work out anew it takes nothing.
        while let Err(error) = ureq::put(format!("{url}/config")).send_json(&config) {
            tries += 1;
            assert!(tries < 60, "Connect does not take the connector: {error}");
            // tidy-allow(sleep-in-test): a benchmark that asks a service again
            std::thread::sleep(Duration::from_millis(500));
        }
        Self { url }
    }

    /// Waits until all slots of the stage are read.
    async fn wait(&self, stage: &Stage) {
        let active = "select count(*) from pg_replication_slots where database = current_database() and active";
        let begun = Instant::now();
        while stage.number(active).await < CONNECTORS.len() as i64 {
            assert!(begun.elapsed() < Duration::from_secs(120), "no slot is read: see {}/status", self.url);
            // tidy-allow(sleep-in-test): a benchmark that polls a database
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        _ = ureq::delete(&self.url).call();
    }
}

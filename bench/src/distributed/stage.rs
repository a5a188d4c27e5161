//! A database and topics of one measurement on the real services, and processes on them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
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
use futures_util::StreamExt as _;
use store::control::Control;
use store::postgres::{Retention, keep_partitions, migrate};
use store::{PgDb, PgOptions};
use testkit::services::{connect_url, kafka_brokers, postgres_url, redis_url};
use uuid::Uuid;

use crate::pipeline::{Ids, event, open_shop};

/// Tenants, so that partitions are used evenly.
pub const TENANTS: u64 = 16;
pub const PARTITIONS: i32 = 4;
/// The platform's admin.
pub const ADMIN: &str = "the admin of a benchmark, 0123456789abcdef";
/// Pause between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The connectors of `deploy/debezium`: file, what their topic is called in the configuration.
pub const CONNECTORS: [(&str, &str); 2] = [("db.incentives.json", "db.incentives"), ("db.incentives.redis.json", "db.incentives.redis")];

/// The machine's clock.
pub struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::from_stored(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
    }
}

/// A database and topics of one measurement.
pub struct Stage {
    pub dir: PathBuf,
    name: String,
    /// The first tenant's id.
    tenants: u128,
    pub db: PgDb,
    pub settings: bus_kafka::Settings,
}

impl Stage {
    pub async fn new(name: String) -> Self {
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
    pub fn tenant(&self, n: u64) -> TenantId {
        TenantId(Uuid::from_u128(self.tenants + u128::from(n)))
    }

    pub async fn open_shops(&self, db: &PgDb) {
        for n in 0..TENANTS {
            open_shop(&Control::Postgres(db.clone()), self.tenant(n), Now.now()).await;
        }
    }

    /// Another database with the same tables, tenants and slots.
    pub async fn another_database(&self) -> PgDb {
        let (db, _) = database(&format!("{}_plain", self.name)).await;
        self.open_shops(&db).await;
        let client = db.client().await.unwrap();
        for (_, topic) in CONNECTORS {
            let slot = format!("{}_{}", self.name, topic.replace('.', "_"));
            client.execute("select pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await.unwrap();
        }
        db
    }

    /// The binary with the stage's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program();
        command.args(args).arg("--config").arg(self.dir.join("incent.yaml"));
        command.env("INCENT_ADMIN_TOKEN", ADMIN);
        command
    }

    /// The binary in the stage's folder.
    pub fn program(&self) -> Command {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/incent");
        assert!(binary.exists(), "no binary: cargo build --release --features distributed");
        let mut command = Command::new(binary);
        command.current_dir(&self.dir);
        command
    }

    /// A process with these roles, ready.
    pub fn serve(&self, roles: &str, name: &str) -> Process {
        let log = File::create(self.log(name)).unwrap();
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--roles", roles]);
        command.env("INCENT_LOG", "info").stderr(log).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let url = loop {
            line.clear();
            let read = out.read_line(&mut line).unwrap();
            assert!(read > 0, "{}", std::fs::read_to_string(self.log(name)).unwrap());
            if let Some((_, url)) = line.split_once("ready on ") {
                break url.trim().to_owned();
            }
        };
        Process { child, url, _out: out }
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// What a process has logged with these words, and when, in microseconds.
    pub fn logged(&self, name: &str, words: &str) -> Vec<(i64, serde_json::Value)> {
        let log = std::fs::read_to_string(self.log(name)).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let said = lines.filter(|line| line.to_string().contains(words));
        said.map(|line| (line["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap().micros(), line)).collect()
    }

    /// When a process took its first partition over, in microseconds.
    pub fn taken_over_at(&self, name: &str) -> i64 {
        self.logged(name, "the partition is taken over").first().expect("a partition was taken over").0
    }

    /// What sends events to this stage.
    pub async fn ingest(&self) -> Arc<Ingest> {
        let bus: Arc<dyn Bus> = Arc::new(KafkaBus::connect(&self.settings).await.unwrap());
        let ids = Arc::new(Ids(AtomicI64::new(1)));
        Arc::new(Ingest::new(bus, Arc::new(Now), ids, Metrics::detached()))
    }

    /// Sends events, `n`th of their kind, of one tenant.
    pub async fn send(&self, ingest: &Ingest, tenant: u64, events: Range<u64>, users: u64) {
        let count = events.end - events.start;
        let batch = events.map(|n| event(n, users)).collect();
        let accepted = ingest.accept(self.tenant(tenant), RecordKind::Live, batch).await.unwrap();
        assert_eq!(accepted.len() as u64, count);
    }

    /// Has so many records in Kafka.
    pub async fn feed(&self, events: u64) {
        self.open_shops(&self.db).await;
        let ingest = self.ingest().await;
        // A fifth as many as events; each tenant has its own.
        let users = (events / 5 / TENANTS).clamp(100, 100_000);
        let calls = (0..events).step_by(1000).map(|from| {
            self.send(&ingest, from / 1000 % TENANTS, from..(from + 1000).min(events), users)
        });
        futures_util::stream::iter(calls).buffer_unordered(8).for_each(async |()| {}).await;
    }

    pub async fn number(&self, sql: &str) -> i64 {
        self.db.client().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Returns when so many are decided, published and logged.
    pub async fn decided(&self, events: u64) {
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
    pub async fn shares(&self) -> Vec<i64> {
        let client = self.db.client().await.unwrap();
        let rows = client.query("select count(*) from incentives group by source_partition order by 1", &[]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Seconds until the slots have confirmed what is committed now.
    pub async fn captured(&self) -> f64 {
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
    pub async fn end(self) {
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
            client.batch_execute(&format!("drop database if exists {database} with (force)")).await.unwrap();
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
pub struct Process {
    child: Child,
    /// Where it answers.
    pub url: String,
    /// Kept open.
    _out: BufReader<std::process::ChildStdout>,
}

impl Process {
    /// Sends it a signal, for example `-KILL`.
    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(done.unwrap().success(), "kill {signal}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed.
        _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        _ = self.child.wait();
    }
}

/// One of our connectors on the stage's database; it goes when dropped, its slot with the database.
pub struct Connector {
    url: String,
}

impl Connector {
    pub fn start(stage: &Stage, file: &str, topic: &str) -> Self {
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
    pub async fn wait(&self, stage: &Stage) {
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

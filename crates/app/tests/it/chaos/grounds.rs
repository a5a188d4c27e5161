//! The services and processes of a run, all of its own: whatever is done to them disturbs nobody
//! else. The calculators reach PostgreSQL and Redis over ways that can fail.

use std::path::Path;
use std::time::Duration;

use store::{PgDb, PgOptions};
use testkit::kafka::KafkaServer;
use testkit::postgres::Cluster;
use testkit::proxy::{FaultProxy, Target};
use testkit::redis::RedisServer;
use tokio::runtime::Runtime;

use super::member::Member;
use super::schedule::SESSION_MS;
use crate::support::{Said, incent};

const DATABASE: &str = "ic_db";
pub const EVENTS_TOPIC: &str = "tenant-events";
pub const INCENTIVES_TOPIC: &str = "incentive-generated";
/// Partitions of each topic.
const PARTITIONS: &str = "4";
/// Recovery after a stop takes as long as what lies behind the last checkpoint.
const POSTGRES_SETTINGS: &str = "-c checkpoint_timeout=30s -c checkpoint_completion_target=0.3";
/// How often PostgreSQL is asked while it comes back.
const TRIES: u32 = 100;

/// All of it.
pub struct Grounds {
    pub ics: [Member; 2],
    pub front: Member,
    pub push: Member,
    /// A way to PostgreSQL for each calculator.
    pub to_postgres: [FaultProxy; 2],
    pub to_redis: FaultProxy,
    pub redis: RedisServer,
    pub kafka: KafkaServer,
    pub postgres: Cluster,
    pub db: Asked,
}

/// PostgreSQL as the test asks it, past all ways that fail.
pub struct Asked {
    runtime: Runtime,
    pub pool: PgDb,
}

impl Asked {
    fn new(url: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = PgOptions { statement: Duration::from_secs(300), ..PgOptions::new(url) };
        Self { runtime, pool: PgDb::open(&options).expect("a URL") }
    }

    /// Waits for a future.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The rows of a query, each as one text. Asked again while PostgreSQL comes back.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.wait(async {
            let mut tries = 0;
            loop {
                let asked = async {
                    let client = self.pool.client().await.map_err(|e| format!("{e:?}"))?;
                    client.query(sql, &[]).await.map_err(|e| format!("{e:?}"))
                };
                match asked.await {
                    Ok(rows) => {
                        let text = rows.iter().map(|row| row.get::<_, Option<String>>(0));
                        return text.map(Option::unwrap_or_default).collect();
                    }
                    Err(why) => {
                        tries += 1;
                        assert!(tries < TRIES, "{sql}: {why}");
                        std::thread::park_timeout(Duration::from_millis(50));
                    }
                }
            }
        })
    }

    /// The one value of a query, a number.
    pub fn number(&self, sql: &str) -> i64 {
        self.rows(&format!("select ({sql})::text"))[0].parse().expect("a number")
    }
}

impl Grounds {
    /// Starts the services, makes tables and topics, and starts the processes.
    pub fn start(dir: &Path) -> Self {
        let (postgres, redis) = (Cluster::own(POSTGRES_SETTINGS), RedisServer::start(&[]));
        let kafka = KafkaServer::start();
        postgres.create(DATABASE, "template0");
        let way = || FaultProxy::to(Target::Unix(postgres.socket()));
        let to_postgres = [way(), way()];
        let to_redis = FaultProxy::to(Target::Unix(redis.socket()));
        let config = format!(
            "databaseUrl: {}\nkafka: {}\nserverKey: {}\nredisUrl: redis://127.0.0.1:{}\n\
             kafkaProperties:\n  session.timeout.ms: \"{SESSION_MS}\"\n  \
             heartbeat.interval.ms: \"300\"\n  reconnect.backoff.max.ms: \"1000\"\n",
            postgres.url(DATABASE),
            kafka.brokers(),
            "0f".repeat(32),
            to_redis.port(),
        );
        std::fs::write(dir.join("services.yaml"), config).expect("a file");
        let run = |args: &[&str]| {
            let args = [args, &["--config", "services.yaml"]].concat();
            Said::of(incent(dir, &args).output().expect("incent runs")).well();
        };
        run(&["migrate"]);
        let create = ["topics", "create", "--partitions", PARTITIONS];
        run(&[&create[..], &["--replication", "1", "--retention-hours", "2"]].concat());

        let calculator = |name, way: &FaultProxy| {
            let url = format!("postgresql://postgres@127.0.0.1:{}/{DATABASE}", way.port());
            Member::new((name, "ic"), dir, vec![("INCENT_DATABASE_URL", url)])
        };
        let mut grounds = Self {
            ics: [calculator("ic-1", &to_postgres[0]), calculator("ic-2", &to_postgres[1])],
            front: Member::new(("front", "events,cms,cohorts"), dir, Vec::new()),
            push: Member::new(("push", "dcm"), dir, Vec::new()),
            to_postgres,
            to_redis,
            redis,
            db: Asked::new(&postgres.url(DATABASE)),
            kafka,
            postgres,
        };
        grounds.members().for_each(|member| member.start(None));
        grounds.members().for_each(Member::ready);
        grounds
    }

    /// All processes.
    pub fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.ics.iter_mut().chain([&mut self.front, &mut self.push])
    }
}

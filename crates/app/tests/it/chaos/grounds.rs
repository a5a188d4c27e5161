//! The services and processes of a run, all of its own: whatever is done to them disturbs nobody
//! else. The calculators reach PostgreSQL and Redis over ways that can fail.

use std::path::Path;

use engine::guard::Guard;
use testkit::kafka::KafkaServer;
use testkit::postgres::Cluster;
use testkit::proxy::{FaultProxy, Target};
use testkit::redis::RedisServer;

use super::capture::Capture;
use super::member::Member;
use super::schedule::SESSION_MS;
use crate::distributed::asked::Asked;
use crate::support::{Said, incent};

const DATABASE: &str = "ic_db";
pub const EVENTS_TOPIC: &str = "tenant-events";
pub const INCENTIVES_TOPIC: &str = "incentive-generated";
/// Partitions of each topic.
const PARTITIONS: &str = "4";
const SERVICE_TOKEN: &str = "a-token-that-the-processes-share-of-32-bytes-or-more";
/// Settings of the process that lands: many files come about, but not one for every few rows.
const LANDS: [(&str, &str); 3] = [
    ("INCENT_ANALYTICS_DIR", "landing"),
    ("INCENT_ANALYTICS_ROWS", "5000"),
    ("INCENT_ANALYTICS_SECONDS", "2"),
];
/// Recovery after a stop takes as long as what lies behind the last checkpoint.
const POSTGRES_SETTINGS: &str = "-c checkpoint_timeout=30s -c checkpoint_completion_target=0.3";

/// All of it.
pub struct Grounds {
    pub ics: [Member; 2],
    pub front: Member,
    pub push: Member,
    /// Asked by the calculators, over REST.
    pub cms: Member,
    pub aggregator: Member,
    pub landing: Member,
    pub capture: Capture,
    /// A way to PostgreSQL for each calculator.
    pub to_postgres: [FaultProxy; 2],
    pub to_redis: FaultProxy,
    pub redis: RedisServer,
    pub kafka: KafkaServer,
    pub postgres: Cluster,
    pub db: Asked,
}

impl Grounds {
    /// Starts the services, makes tables and topics, and starts the processes; those that decide
    /// perhaps without a protection.
    pub fn start(dir: &Path, without: Option<Guard>) -> Self {
        let (postgres, redis) = (Cluster::own(POSTGRES_SETTINGS), RedisServer::start(&[]));
        let kafka = KafkaServer::start();
        postgres.create(DATABASE, "template0");
        let way = || FaultProxy::to(Target::Unix(postgres.socket()));
        let to_postgres = [way(), way()];
        let to_redis = FaultProxy::to(Target::Unix(redis.socket()));
        let config = format!(
            "databaseUrl: {}\nkafka: {}\nserverKey: {}\nredisUrl: redis://127.0.0.1:{}\n\
             aggregatesCheckMinutes: 1\n\
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

        let shared = ("INCENT_SERVICE_TOKEN", SERVICE_TOKEN.to_owned());
        let cms = Member::new(("cms", "cms,cohorts"), dir, vec![shared.clone()]);
        let calculator = |name, way: &FaultProxy| {
            let url = format!("postgresql://postgres@127.0.0.1:{}/{DATABASE}", way.port());
            let asks = [("INCENT_CMS_URL", cms.url()), shared.clone()];
            let mut variables = [&[("INCENT_DATABASE_URL", url)], &asks[..]].concat();
            variables.extend(without.map(|guard| ("INCENT_WITHOUT", guard.to_string())));
            Member::new((name, "ic"), dir, variables)
        };
        let capture = Capture::start(&kafka.brokers(), way(), dir);
        let watch = ("INCENT_CONNECT_URL", capture.server.url());
        let mut lands = LANDS.map(|(name, value)| (name, value.to_owned())).to_vec();
        lands.push(watch.clone());
        let mut grounds = Self {
            ics: [calculator("ic-1", &to_postgres[0]), calculator("ic-2", &to_postgres[1])],
            front: Member::new(("front", "events"), dir, Vec::new()),
            push: Member::new(("push", "dcm"), dir, Vec::new()),
            aggregator: Member::new(("aggregator", "aggregator"), dir, vec![watch]),
            landing: Member::new(("landing", "analytics"), dir, lands),
            cms,
            capture,
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
        let others = [&mut self.cms, &mut self.front, &mut self.push];
        let readers = [&mut self.aggregator, &mut self.landing];
        self.ics.iter_mut().chain(others).chain(readers)
    }
}

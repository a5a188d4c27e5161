//! A database and topics of a test's own on the real services, and processes on them.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::dir::TempDir;
use testkit::services::{kafka_brokers, postgres_url, redis_url};

use super::asked::Asked;
use crate::support::{ADMIN, Platform, Said, incent};

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What all processes of one test share.
pub struct Stage {
    dir: TempDir,
    /// Its database, to be asked.
    pub db: Asked,
    redis_url: String,
    /// What tells its names from those of others.
    pub unique: String,
    /// Its database.
    pub database: String,
    /// Topic of the events.
    pub events_topic: String,
    /// Topic of announcements.
    pub incentives_topic: String,
    /// Topic of captured incentives, for the aggregates.
    pub aggregates_topic: String,
    /// Topic of captured incentives, for what lands.
    pub analytics_topic: String,
}

impl Stage {
    /// A new database and names of topics that nobody has; nothing is migrated or made yet.
    pub fn new() -> Self {
        Self::with_redis(&redis_url())
    }

    /// The same with a Redis of its own.
    pub fn with_redis(redis_url: &str) -> Self {
        let unique = format!("{:x}", RandomState::new().build_hasher().finish());
        let dir = TempDir::new();
        let (server, database) = (postgres_url(), format!("incent_it_{unique}"));
        Asked::new(&server).rows(&format!("create database {database}"));
        let url = replaced(&server, &database);
        let db = Asked::new(&url);
        let events_topic = format!("tenant-events-{unique}");
        let incentives_topic = format!("incentive-generated-{unique}");
        let aggregates_topic = format!("db.incentives.redis-{unique}");
        let analytics_topic = format!("db.incentives-{unique}");
        let config = format!(
            "databaseUrl: {url}\nkafka: {}\neventsTopic: {events_topic}\n\
             incentivesTopic: {incentives_topic}\nanalyticsTopic: {analytics_topic}\n\
             aggregatesTopic: {aggregates_topic}\ngroup: ic-{unique}\nserverKey: {}\n\
             redisUrl: {redis_url}\n",
            kafka_brokers(),
            "0f".repeat(32),
        );
        std::fs::write(dir.path().join("services.yaml"), config).unwrap();
        let redis_url = redis_url.to_owned();
        Self {
            dir,
            db,
            redis_url,
            unique,
            database,
            events_topic,
            incentives_topic,
            aggregates_topic,
            analytics_topic,
        }
    }

    /// Makes tables, and topics of so many partitions. What `topics create` says.
    pub fn prepare(&self, partitions: &str) -> Said {
        self.run(&["migrate"]).well();
        let create = ["topics", "create", "--partitions", partitions, "--replication", "1"];
        self.run(&[&create[..], &["--retention-hours", "1"]].concat()).well()
    }

    /// Where the processes run.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A command of the binary with the shared configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        incent(self.dir(), &[args, &["--config", "services.yaml"]].concat())
    }

    /// Runs a command with the shared configuration to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("incent runs"))
    }

    /// Starts a process with these roles; it is ready when this returns. Its log is in
    /// `{name}.log`.
    pub fn serve(&self, name: &str, roles: &str) -> Platform {
        self.serve_as(name, roles, &[])
    }

    /// The same with further variables.
    pub fn serve_as(&self, name: &str, roles: &str, variables: &[(&str, &str)]) -> Platform {
        self.serve_at("127.0.0.1:0", name, roles, variables)
    }

    /// The same at this address.
    pub fn serve_at(
        &self,
        address: &str,
        name: &str,
        roles: &str,
        variables: &[(&str, &str)],
    ) -> Platform {
        let log = File::create(self.dir().join(format!("{name}.log"))).unwrap();
        let mut command = self.command(&["serve", "--listen", address, "--roles", roles]);
        command.env("INCENT_ADMIN_TOKEN", ADMIN).env("INCENT_LOG", "info").stderr(log);
        command.envs(variables.iter().copied());
        Platform::ready(&mut command, self.dir())
    }

    /// The lines of a process's log.
    pub fn log(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir().join(format!("{name}.log"))).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The rows of a query, each as one text.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.db.rows(sql)
    }

    /// What Redis answers, line by line; one that is empty stands for nothing.
    pub fn redis(&self, command: &[&str], keys: &[String]) -> Vec<String> {
        let place = match self.redis_url.strip_prefix("redis+unix://") {
            Some(socket) => ["-s", socket],
            None => ["-u", &self.redis_url],
        };
        let mut cli = Command::new("redis-cli");
        let said = cli.args(place).arg("--raw").args(command).args(keys).output();
        let said = said.expect("redis-cli runs");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
    }

    /// The one value of a query, a number.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        self.db.number(sql)
    }

    /// Waits until Redis has this under a key.
    #[track_caller]
    pub fn until_redis(&self, key: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let found = self.redis(&["get", key], &[]).concat();
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{key} stays at {found:?}, not {wanted:?}");
            self.rows("select pg_sleep(0.1)::text");
        }
    }

    /// Waits until so many incentives are granted, and returns the number.
    #[track_caller]
    pub fn granted(&self, incentives: usize) -> i64 {
        let wanted = i64::try_from(incentives).unwrap();
        self.until("select count(*) from incentives", wanted);
        wanted
    }

    /// Waits until a query gives this number.
    #[track_caller]
    pub fn until(&self, sql: &str, wanted: i64) {
        let begun = Instant::now();
        loop {
            let found = self.number(sql);
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{sql} stays at {found}, not {wanted}");
            // Asking is left to the server, at its own pace.
            self.rows("select pg_sleep(0.1)::text");
        }
    }
}

/// What is at an address, for the admin: status and text.
pub fn look(url: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = agent.get(url).header("authorization", format!("Bearer {ADMIN}")).call();
    let answer = answer.as_mut().unwrap_or_else(|error| panic!("{url}: {error}"));
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// The URL of another database of the same server.
fn replaced(url: &str, database: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let (server, _) = before.rsplit_once('/').expect("the URL names a database");
    let query = query.map(|q| format!("?{q}")).unwrap_or_default();
    format!("{server}/{database}{query}")
}

/// Sends a tenant's events, all of which are accepted.
#[track_caller]
pub fn send_batch(front: &Platform, tenant: &str, events: Vec<Value>) {
    let mut answer = ureq::post(format!("{}/api/v1/events:batch", front.url))
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("incent-tenant", tenant)
        .send_json(json!({ "events": events }))
        .unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|r| r["status"] == "ACCEPTED"), "{answer}");
}

//! Debezium's connector, with the files that are shipped and names of a test's own.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::services::connect_url;

use super::stage::{PATIENCE, Stage};

/// A connector that runs; it goes with its slot when dropped.
pub struct Connector<'a> {
    stage: &'a Stage,
    name: String,
    slot: String,
    config: Value,
}

impl<'a> Connector<'a> {
    /// Starts the connector of a file in `deploy/debezium` on the stage's database, with another
    /// topic to write to, after which it is named. When it returns, all that is committed from now
    /// on is captured.
    pub fn start(stage: &'a Stage, file: &str, topic: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/debezium").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let mut config = serde_json::from_str::<Value>(&text).unwrap()["config"].take();
        let unique = &stage.database;
        let prefix = config["topic.prefix"].as_str().unwrap();
        let prefix = format!("{prefix}_{unique}");
        let slot = format!("{}_{unique}", config["slot.name"].as_str().unwrap());
        config["database.dbname"] = json!(unique);
        config["slot.name"] = json!(slot);
        config["transforms.exactTopic.regex"] = json!(format!("{prefix}\\.public\\.incentives"));
        config["transforms.exactTopic.replacement"] = json!(topic);
        config["topic.prefix"] = json!(prefix);
        config["topic.creation.default.replication.factor"] = json!("1");
        let connector = Self { stage, name: topic.to_owned(), slot, config };
        connector.register();
        connector
    }

    /// Registers it, once more after it was removed, and waits until its slot is read.
    pub fn register(&self) {
        let mut tries = 0;
        // While Connect shares its work out anew it takes nothing.
        while let Err(error) = ureq::put(self.url("config")).send_json(&self.config) {
            tries += 1;
            assert!(tries < 100, "Connect does not take the connector: {error}");
            self.stage.rows("select pg_sleep(0.5)::text");
        }
        self.is_there();
    }

    /// Restarts it with its task.
    pub fn restart(&self) {
        self.begin_anew();
        self.is_there();
    }

    /// Restarts it with its task, which fails.
    pub fn restart_in_vain(&self) {
        self.begin_anew();
        let begun = Instant::now();
        while !self.status().contains("FAILED") {
            assert!(begun.elapsed() < PATIENCE, "it does not fail: {}", self.status());
            self.stage.rows("select pg_sleep(0.1)::text");
        }
    }

    fn begin_anew(&self) {
        ureq::post(self.url("restart?includeTasks=true")).send_empty().unwrap();
    }

    fn status(&self) -> String {
        let status = ureq::get(self.url("status")).call();
        status.and_then(|mut s| s.body_mut().read_to_string()).unwrap_or_default()
    }

    /// Waits until somebody has started what had failed of it: until its slot is read.
    pub fn is_read(&self) {
        let read = "select count(*) from pg_replication_slots where active and slot_name = ";
        self.stage.until(&format!("{read}'{}'", self.slot), 1);
    }

    /// Removes it and what it remembers: with an offset from before the slot it would refuse. The
    /// slot stays.
    pub fn remove(&self) {
        ureq::put(self.url("stop")).send_empty().unwrap();
        self.let_go();
        let begun = Instant::now();
        while let Err(error) = ureq::delete(self.url("offsets")).call() {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            self.stage.rows("select pg_sleep(0.5)::text");
        }
        ureq::delete(self.itself()).call().unwrap();
    }

    fn itself(&self) -> String {
        format!("{}/connectors/{}", connect_url(), self.name)
    }

    fn let_go(&self) {
        let read = "select count(*) from pg_replication_slots where active and slot_name = ";
        self.stage.until(&format!("{read}'{}'", self.slot), 0);
    }

    fn url(&self, what: &str) -> String {
        format!("{}/{what}", self.itself())
    }

    fn is_there(&self) {
        let slots = "select count(*) from pg_replication_slots where active and slot_name = ";
        let begun = Instant::now();
        while self.stage.number(&format!("{slots}'{}'", self.slot)) == 0 {
            let status = self.status();
            let is_late = begun.elapsed() > PATIENCE || status.contains("FAILED");
            assert!(!is_late, "the connector has no slot: {status}");
            self.stage.rows("select pg_sleep(0.2)::text");
        }
    }
}

impl Drop for Connector<'_> {
    fn drop(&mut self) {
        // A test that fails has better things to say.
        _ = ureq::delete(self.itself()).call();
        if !std::thread::panicking() {
            self.let_go();
            self.stage.rows(&format!("select pg_drop_replication_slot('{}')::text", self.slot));
        }
    }
}

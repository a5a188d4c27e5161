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
}

impl<'a> Connector<'a> {
    /// Starts the connector of a file in `deploy/debezium` on the stage's database, with another
    /// topic to write to. When it returns, all that is committed from now on is captured.
    pub fn start(stage: &'a Stage, file: &str, topic: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/debezium").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let mut config = serde_json::from_str::<Value>(&text).unwrap()["config"].take();
        let unique = &stage.database;
        let prefix = config["topic.prefix"].as_str().unwrap();
        let (name, prefix) = (format!("{prefix}_{unique}"), format!("{prefix}_{unique}"));
        let slot = format!("{}_{unique}", config["slot.name"].as_str().unwrap());
        config["database.dbname"] = json!(unique);
        config["slot.name"] = json!(slot);
        config["transforms.exactTopic.regex"] = json!(format!("{prefix}\\.public\\.incentives"));
        config["transforms.exactTopic.replacement"] = json!(topic);
        config["topic.prefix"] = json!(prefix);
        let connector = Self { stage, name, slot };
        let mut tries = 0;
        // While Connect shares its work out anew it takes nothing.
        while let Err(error) = ureq::put(connector.url("config")).send_json(&config) {
            tries += 1;
            assert!(tries < 100, "Connect does not take the connector: {error}");
            stage.rows("select pg_sleep(0.5)::text");
        }
        connector.is_there();
        connector
    }

    fn url(&self, what: &str) -> String {
        format!("{}/connectors/{}/{what}", connect_url(), self.name)
    }

    fn is_there(&self) {
        let slots = "select count(*) from pg_replication_slots where active and slot_name = ";
        let begun = Instant::now();
        while self.stage.number(&format!("{slots}'{}'", self.slot)) == 0 {
            let status = ureq::get(self.url("status")).call();
            let status = status.and_then(|mut s| s.body_mut().read_to_string()).unwrap_or_default();
            let is_late = begun.elapsed() > PATIENCE || status.contains("FAILED");
            assert!(!is_late, "the connector has no slot: {status}");
            self.stage.rows("select pg_sleep(0.2)::text");
        }
    }
}

impl Drop for Connector<'_> {
    fn drop(&mut self) {
        // A test that fails has better things to say.
        _ = ureq::delete(self.url("").trim_end_matches('/')).call();
        if !std::thread::panicking() {
            let free = "select count(*) from pg_replication_slots where active and slot_name = ";
            self.stage.until(&format!("{free}'{}'", self.slot), 0);
            self.stage.rows(&format!("select pg_drop_replication_slot('{}')::text", self.slot));
        }
    }
}

//! Debezium with both connectors as they are shipped, reaching PostgreSQL over a way that can fail.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::connect::ConnectServer;
use testkit::proxy::FaultProxy;

/// How long it may take to be in order, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// The connectors: a file in `deploy/debezium` each.
const CONNECTORS: [&str; 2] = ["db.incentives", "db.incentives.redis"];

/// Kafka Connect, and its way to PostgreSQL.
pub struct Capture {
    pub server: ConnectServer,
    pub way: FaultProxy,
    agent: ureq::Agent,
}

impl Capture {
    /// Starts it. When this returns, all that is committed from now on is captured.
    pub fn start(brokers: &str, way: FaultProxy, dir: &Path) -> Self {
        let server = ConnectServer::start(brokers, way.port(), &dir.join("connect.log"));
        server.ready();
        let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWERS_WITHIN)).build();
        let capture = Self { server, way, agent: agent.new_agent() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/debezium");
        for name in CONNECTORS {
            let text = std::fs::read_to_string(root.join(format!("{name}.json"))).expect("a file");
            let file: Value = serde_json::from_str(&text).expect("JSON");
            let url = format!("{}/connectors/{name}/config", capture.server.url());
            let begun = Instant::now();
            // While it shares its work out anew it takes nothing.
            while let Err(error) = ureq::put(&url).send_json(&file["config"]) {
                assert!(begun.elapsed() < PATIENCE, "{name} is not taken: {error}");
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
        capture.in_order();
        capture
    }

    /// Waits until both connectors and their tasks run. What has failed the readers start again.
    pub fn in_order(&self) {
        let begun = Instant::now();
        loop {
            let states = self.states();
            let run = states.iter().filter(|state| state.ends_with(" RUNNING")).count();
            // A connector and a task each.
            if run == 2 * CONNECTORS.len() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not all of Debezium runs: {states:#?}");
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// The state of each connector and task, and why it has failed if it has.
    fn states(&self) -> Vec<String> {
        let url = format!("{}/connectors?expand=status", self.server.url());
        let asked = self.agent.get(url).call();
        let Ok(all) = asked.and_then(|mut answer| answer.body_mut().read_json::<Value>()) else {
            return Vec::new();
        };
        let mut states = Vec::new();
        for (name, of) in all.as_object().into_iter().flatten() {
            let tasks = of["status"]["tasks"].as_array().into_iter().flatten();
            for part in std::iter::once(&of["status"]["connector"]).chain(tasks) {
                let why = part["trace"].as_str().unwrap_or_default();
                let state = part["state"].as_str().unwrap_or_default();
                states.push(format!("{name} {why}{state}"));
            }
        }
        states
    }
}

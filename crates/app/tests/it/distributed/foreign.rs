//! A producer in Python, with nothing of ours but the schema.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::json;

use super::happening::Happening;

/// The producer at work.
pub struct Foreign {
    child: Child,
    stdin: ChildStdin,
    said: BufReader<ChildStdout>,
    unflushed: usize,
}

impl Foreign {
    /// Starts it.
    pub fn start(brokers: &str, topic: &str) -> Self {
        let mut child = Command::new(testkit::services::python())
            .arg(script("producer.py"))
            .arg(schemas())
            .args([brokers, topic])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let stdin = child.stdin.take().expect("it is piped");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdin, said, unflushed: 0 }
    }

    /// Sends an event.
    pub fn event(&mut self, tenant: &str, event: &Happening, is_other: bool) {
        self.line(&json!({
            "key": tenant, "other": is_other,
            "event": {"eventId": event.id, "tenantId": tenant, "userId": event.user,
                      "actionCode": "purchase", "eventTs": event.at.micros(),
                      "payload": event.payload},
        }));
    }

    /// Sends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.line(&json!({ "raw": digits }));
    }

    fn line(&mut self, record: &serde_json::Value) {
        writeln!(self.stdin, "{record}").expect("the producer listens; its words are above");
        self.unflushed += 1;
    }

    /// Waits until all is acknowledged.
    pub fn flush(&mut self) {
        writeln!(self.stdin, "flush").expect("the producer listens; its words are above");
        let mut count = String::new();
        self.said.read_line(&mut count).expect("it answers");
        let wanted = std::mem::take(&mut self.unflushed);
        assert_eq!(count.trim(), wanted.to_string(), "the producer's words are above");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _buried = self.child.wait();
    }
}

/// A script beside this file.
pub fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/distributed").join(name)
}

/// The folder of the Avro schemas.
pub fn schemas() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/avro")
}

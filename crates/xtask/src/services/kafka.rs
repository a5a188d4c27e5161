//! Apache Kafka in KRaft mode: one process, broker and controller.

use std::path::Path;
use std::process::Command;

use super::Service;
use super::install;
use super::place::{Place, make, write};
use super::process::{ask, launch};
use crate::run::Failure;

const SERVICE: Service = Service::Kafka;
/// Any fixed 16 bytes in base64: the folder is the cluster's identity.
const CLUSTER_ID: &str = "aW5jZW50LXNlcnZpY2VzMQ";

/// Jars and a Java.
pub fn install(place: &Place) -> Result<(), Failure> {
    install::java(place)?;
    install::jars(place, "kafka").map(|_| ())
}

/// Formats the storage if it is new, and starts the broker.
pub fn start(place: &mut Place) -> Result<String, Failure> {
    let (port, controller) = (place.take_port(SERVICE)?, place.take_inner_port(SERVICE)?);
    let data = place.data(SERVICE);
    make(&data)?;
    let config = data.join("server.properties");
    write(&config, &properties(&data, port, controller))?;
    let logs = data.join("logs");
    if !logs.join("meta.properties").exists() {
        let mut format = java(place, "256m", "kafka.tools.StorageTool")?;
        format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(&config);
        install::logged(place, format)?;
    }
    let mut broker = java(place, "512m", "kafka.Kafka")?;
    broker.arg(&config);
    launch(place, SERVICE, broker, || answers(port))?;
    Ok(format!("127.0.0.1:{port}"))
}

/// A Java program of the Kafka jars.
pub fn java(place: &Place, heap: &str, class: &str) -> Result<Command, Failure> {
    let jars = install::jars(place, "kafka")?;
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap}")).args([
        // Small heaps on few cores, started often.
        "-XX:+UseSerialGC",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        "-cp",
    ]);
    java.arg(format!("{}/*", jars.display())).arg(class);
    Ok(java)
}

fn properties(data: &Path, port: u16, controller: u16) -> String {
    let logs = data.join("logs");
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={}
# Topics are made on purpose: one that appears by itself has the wrong settings.
auto.create.topics.enable=false
# A single broker.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Tests join groups all the time.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
",
        logs.display()
    )
}

/// Asks for the versions of the protocol: answered once the broker has registered itself.
pub fn answers(port: u16) -> bool {
    // Length, ApiVersions (18), version 0, correlation 7, no client name.
    const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    ask(port, &QUESTION, 10).is_some_and(|answer| answer[4..] == [0, 0, 0, 7, 0, 0])
}

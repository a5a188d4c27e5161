//! Kafka Connect, one distributed worker, with the Debezium connector for PostgreSQL.

use std::path::Path;

use super::Service;
use super::install;
use super::kafka;
use super::place::{Place, make, write};
use super::postgres;
use super::process::{ask, launch};
use crate::run::Failure;

const SERVICE: Service = Service::Connect;
/// More than the list of plug-ins has.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The worker's jars and the connector's.
pub fn install(place: &Place) -> Result<(), Failure> {
    kafka::install(place)?;
    postgres::install(place)?;
    install::jars(place, "debezium").map(|_| ())
}

/// Starts the worker on the broker that is up. It makes its own topics, with the settings it needs.
pub fn start(place: &mut Place) -> Result<String, Failure> {
    let port = place.take_port(SERVICE)?;
    let data = place.data(SERVICE);
    make(&data)?;
    install::jars(place, "debezium")?;
    let brokers = place.value(Service::Kafka).unwrap_or_default().to_owned();
    let config = data.join("worker.properties");
    write(&config, &properties(&place.parts("debezium"), &brokers, port))?;
    let mut worker = kafka::java(place, "768m", "org.apache.kafka.connect.cli.ConnectDistributed")?;
    worker.arg(&config);
    // The connector files of `deploy/debezium` name the database by these.
    let database = place.port(Service::Postgres).unwrap_or(5432).to_string();
    worker.envs([("POSTGRES_HOST", "127.0.0.1"), ("POSTGRES_PORT", &database)]);
    worker.envs([("POSTGRES_USER", "postgres"), ("POSTGRES_PASSWORD", "postgres")]);
    launch(place, SERVICE, worker, || answers(port))?;
    Ok(format!("http://127.0.0.1:{port}"))
}

fn properties(plugins: &Path, brokers: &str, port: u16) -> String {
    format!(
        "\
bootstrap.servers={brokers}
group.id=incent-connect
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
plugin.path={}
plugin.discovery=service_load
config.storage.topic=connect.configs
offset.storage.topic=connect.offsets
offset.storage.partitions=4
status.storage.topic=connect.status
status.storage.partitions=2
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.flush.interval.ms=1000
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter.schemas.enable=false
",
        plugins.display()
    )
}

/// Asks for its connectors' kinds: answered once the worker has joined its group.
pub fn answers(port: u16) -> bool {
    const QUESTION: &[u8] =
        b"GET /connector-plugins HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    ask(port, QUESTION, ANSWER_BYTES_MAX).is_some_and(|answer| {
        let answer = String::from_utf8_lossy(&answer);
        answer.starts_with("HTTP/1.1 200") && answer.contains("io.debezium.connector.postgresql")
    })
}

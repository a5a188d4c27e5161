//! Where the real services are that some tests ask: started by `cargo x services`, which
//! `cargo x test` calls. A test that needs one fails without it, and says how to start it.

use std::path::Path;

/// What `cargo x services` writes, from the project's folder.
const FILE: &str = "target/services/services.env";

/// Kafka's bootstrap servers. Panics without a Kafka.
pub fn kafka_brokers() -> String {
    value("INCENT_KAFKA_BROKERS", "kafka")
}

/// PostgreSQL's URL, as a superuser on the database `postgres`: a test makes a database of its
/// own. Panics without a PostgreSQL.
pub fn postgres_url() -> String {
    value("INCENT_POSTGRES_URL", "postgres")
}

/// Redis' URL. Panics without a Redis.
pub fn redis_url() -> String {
    value("INCENT_REDIS_URL", "redis")
}

/// Kafka Connect's URL. Panics without a Connect.
pub fn connect_url() -> String {
    value("INCENT_CONNECT_URL", "connect")
}

/// A Python that has Kafka and Avro clients. Panics without one.
pub fn python() -> String {
    value("INCENT_TEST_PYTHON", "clients")
}

/// The class path of Kafka's and Avro's clients for Java. Panics without them.
pub fn java() -> String {
    value("INCENT_TEST_JAVA", "java")
}

/// From the environment, or else from the file.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration to get it from")]
fn value(variable: &str, service: &str) -> String {
    if let Ok(value) = std::env::var(variable) {
        return value;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FILE);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let prefix = format!("{variable}=");
    match text.lines().find_map(|line| line.strip_prefix(&prefix)) {
        Some(value) => value.to_owned(),
        None => panic!(
            "this test asks a real service that is not up: run `cargo x services up {service}` \
             first, or the tests by `cargo x test`, or set {variable}"
        ),
    }
}

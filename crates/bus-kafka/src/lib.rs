//! The bus on Apache Kafka: topic `tenant-events` (key tenantId) and `incentive-generated` (key
//! userId), Avro on the wire. It knows records, not tenants: what a record means is decided by the
//! engine.
//!
//! Read `bus` first. `reader` takes records from exact offsets, `record` says what each is,
//! `membership` tells which partitions are ours, `producer` writes. `listener` follows the
//! announcements, `captured` reads what Debezium captured of the ledger, [`topics`] makes and
//! checks the topics, [`avro`] is the wire format.

pub mod avro;
mod bus;
mod captured;
mod failure;
mod headers;
mod listener;
mod membership;
mod producer;
mod reader;
mod record;
mod settings;
pub mod topics;

pub use bus::KafkaBus;
pub use captured::CapturedReader;
pub use listener::Listener;
pub use settings::Settings;

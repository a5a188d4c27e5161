//! The adapter against a real Kafka, started by `cargo x services up kafka clients`.

mod announcements;
mod foreign;
mod log;
mod members;
mod stage;

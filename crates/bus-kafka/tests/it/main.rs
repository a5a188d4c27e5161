//! The adapter against a real Kafka, started by `cargo x services up kafka clients`.
#![expect(clippy::expect_used, reason = "a test wants to know at once")]

mod announcements;
mod captured;
mod foreign;
mod log;
mod members;
mod stage;

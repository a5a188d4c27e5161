//! Aggregates on a real Redis, over a ledger that stands for the store.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod counting;
mod mending;
mod stage;

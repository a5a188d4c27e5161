//! Integration tests of the engine.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crew;
mod hub;
mod ingest;
mod simulation;

//! Integration tests of the engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hub;
mod ingest;

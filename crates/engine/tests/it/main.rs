//! Integration tests of the engine.

mod hub;
mod ingest;

//! What happens: ingestion, the worker's batch, the relay and the push hub. No SQL, no HTTP, no
//! Kafka: those are adapters behind the ports in [`ports`].

pub mod admission;
pub mod aggregates;
mod assemble;
pub mod batch;
pub mod captured;
pub mod crash;
pub mod crew;
pub mod guard;
pub mod hub;
pub mod ingest;
pub mod metrics;
pub mod policy;
pub mod ports;
mod progress;
pub mod record;
pub mod relay;
mod reserve;
pub mod rules_cache;
pub mod simulate;
pub mod worker;

//! The operations, one file each, in one order: request, answer, doc, handler.

pub mod aggregates;
pub mod audit;
pub mod campaigns;
pub mod cohorts;
pub mod dead_letters;
pub mod decisions;
pub mod events;
pub mod incentives;
pub mod jobs;
pub mod keys;
pub mod limits;
pub mod push_auth;
pub mod server;
pub mod tenants;
pub mod users;

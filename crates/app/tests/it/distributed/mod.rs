//! The distributed profile as it runs: real processes on real PostgreSQL and Kafka.

pub mod aggregates;
pub mod asked;
mod captured;
mod cms;
mod connector;
pub mod device;
pub mod foreign;
pub mod happening;
pub mod invariants;
pub mod landing;
pub mod ledger;
pub mod rest;
mod rolling;
mod sequence;
pub mod shop;
mod stage;
mod start;
pub mod topic;
mod whole;

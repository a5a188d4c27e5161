//! The distributed profile as it runs: real processes on real PostgreSQL and Kafka.

mod captured;
mod cms;
mod connector;
mod landing;
mod rolling;
mod stage;
mod start;
mod whole;

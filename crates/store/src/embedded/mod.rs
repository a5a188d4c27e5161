//! What takes the place of Kafka and Redis when everything is in one process and one file.

mod append;
mod bus;
mod tail;

pub use bus::SqliteBus;

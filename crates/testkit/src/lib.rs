//! What the tests of all crates share.

pub mod calculator;
pub mod clock;
pub mod connect;
pub mod contract;
pub mod dir;
pub mod event;
pub mod inbox;
pub mod incentive;
pub mod kafka;
pub mod log;
pub mod port;
pub mod postgres;
pub mod proxy;
pub mod random;
pub mod redis;
pub mod reference;
pub mod services;
pub mod shelf;
mod shell;
pub mod world;

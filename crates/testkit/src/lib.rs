//! What the tests of all crates share.

pub mod calculator;
pub mod clock;
pub mod contract;
pub mod dir;
pub mod event;
pub mod inbox;
pub mod incentive;
pub mod log;
pub mod postgres;
pub mod random;
pub mod redis;
pub mod reference;
pub mod services;
pub mod shelf;
pub mod world;

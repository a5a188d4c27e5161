//! What is true: types, rules and the pure decision.
//!
//! Nothing in this crate waits, reads a clock, draws a random number or touches a disk. Read the
//! modules in this order: [`id`], [`time`], [`payload`], [`event`], [`shape`], [`expr`], [`rule`],
//! [`limit`], [`state`], [`config`], [`cohort`], [`compile`], [`decide`], [`incentive`].

pub mod cohort;
pub mod compile;
pub mod config;
pub mod decide;
pub mod event;
pub mod expr;
pub mod id;
pub mod incentive;
pub mod limit;
pub mod payload;
pub mod rule;
pub mod shape;
pub mod state;
pub mod time;

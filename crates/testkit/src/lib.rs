//! What the tests of all crates share.

pub mod dir;
pub mod incentive;

//! Limits in a real Redis, one of its own for each test.
#![expect(clippy::expect_used, reason = "a test wants to know at once")]

mod faults;
mod gate;
mod model;
mod path;
mod stage;

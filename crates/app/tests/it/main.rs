//! The real binary, from outside.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod crash;
mod process;

//! The real binary, as its users run it: on a free port, in a directory of its own.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod campaigns;
mod demo;
mod doctor;
mod files;
mod help;
mod push;
mod resume;
mod serving;
mod support;

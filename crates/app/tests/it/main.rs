//! The real binary, as its users run it: on a free port, in a directory of its own; and killed.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod campaigns;
#[cfg(feature = "distributed")]
mod chaos;
mod crash;
mod demo;
mod deploy;
#[cfg(feature = "distributed")]
mod distributed;
mod doctor;
mod fairness;
mod files;
#[cfg(target_os = "linux")]
mod full_disk;
mod help;
mod process;
mod push;
mod readme;
mod resume;
mod serving;
mod story;
mod support;

//! The API and push as their callers see them, over a store in a temporary directory.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod aggregates;
mod bad_input;
mod cohorts;
mod conventions;
mod decision;
mod dispatch;
mod events;
mod isolation;
mod openapi;
mod push;
mod serve;
mod support;
mod tenant_share;

//! The domain as its users see it: documents in, decisions out; and its decisions against models
//! that share no code with them.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is not as it should be, and says what it saw"
)]

mod batches;
mod calendar;
mod reference;
mod rules_doc;

//! The domain as its users see it: documents in, decisions out.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod rules_doc;

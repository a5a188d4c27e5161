//! What was granted.

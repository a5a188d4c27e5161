//! The API and push as their callers see them, over a store in a temporary directory.

mod dispatch;
mod isolation;
mod push;
mod support;

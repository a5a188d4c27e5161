//! The operations, one file each, in one order: request, answer, doc, handler.

pub mod server;

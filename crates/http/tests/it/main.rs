//! Integration tests of the HTTP server.

mod push;

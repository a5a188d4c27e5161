//! Push over real connections, with a WebSocket client that is not ours.

mod access;
mod catch_up;
mod frames;
mod limits;
mod raw;
mod sse;
mod world;

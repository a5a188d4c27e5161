//! The REST API and push.
//!
//! [`routes`] is the table of all operations, each with who may call it; [`router()`] makes an axum
//! router of it and [`serve()`] serves it. A request's way through the checks is written down in
//! [`dispatch`], in order. Each operation is one file under [`api`].

pub mod api;
pub mod app;
pub mod auth;
pub mod call;
pub mod dispatch;
mod housekeeping;
pub mod metrics;
mod openapi;
pub mod problem;
pub mod push;
pub mod route;
mod router;
pub mod routes;
mod serve;
mod stall;

pub use app::{App, Config, Decided, Parts, Probe, Rate, TENANT_EVENTS};
pub use housekeeping::housekeeping;
pub use metrics::Metrics;
pub use openapi::{Operation, openapi};
pub use router::{router, router_of, router_with};
pub use serve::serve;

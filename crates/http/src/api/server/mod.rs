//! What concerns the server itself.

pub mod error_list;
pub mod error_page;
pub mod healthz;
pub mod metrics;
pub mod openapi;
pub mod readyz;

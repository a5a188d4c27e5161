//! Every route of the API, with who may call it. To add one: write its file under [`crate::api`] and
//! a line here; the tests then ask for a row of it in the isolation matrix.

use axum::http::Method;

use crate::api::*;
use crate::route::Access::Public;
use crate::route::Route;

macro_rules! routes {
    ($($method:ident $path:literal, $access:expr => $($operation:ident)::+ $([$bytes:expr])?;)+) => {
        vec![$(
            Route::new(Method::$method, $path, $access, $($operation)::+::DOC, $($operation)::+::handle)
                $(.body_max($bytes))?
        ,)+]
    };
}

/// The table.
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    routes! {
        GET  "/healthz",            Public => server::healthz;
        GET  "/readyz",             Public => server::readyz;
        GET  "/metrics",            Public => server::metrics;
        GET  "/openapi.json",       Public => server::openapi;
        GET  "/docs/errors",        Public => server::error_list;
        GET  "/docs/errors/{slug}", Public => server::error_page;
    }
}

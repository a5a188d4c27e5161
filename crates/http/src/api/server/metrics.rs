//! `GET /metrics`: counters for Prometheus.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};

use crate::call::Call;
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "getMetrics",
    summary: "Counters in the OpenMetrics text format",
    about: "Holds numbers per operation and component, never names or ids of tenants and users.",
    problems: &[],
};

/// Encodes the registry.
pub async fn handle(call: Call) -> Result<Response<Body>, Problem> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &call.app.registry)
        .map_err(Problem::internal)?;
    let mut response = Response::new(Body::from(text));
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
    Ok(response)
}

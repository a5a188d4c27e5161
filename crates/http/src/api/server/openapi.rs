//! `GET /openapi.json`: this API, described.

use std::sync::LazyLock;

use bytes::Bytes;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};

use crate::call::Call;
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "getOpenApi",
    summary: "This API as an OpenAPI 3.1 document",
    about: "",
    problems: &[],
};

static TEXT: LazyLock<Bytes> = LazyLock::new(|| crate::openapi().to_string().into());

/// Gives the document.
pub async fn handle(_call: Call) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(Body::from(TEXT.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

//! `GET /api/v1/dead-letters/{deadLetterId}/raw`: the exact bytes of a dead letter.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use store::control::dead_letters;

use super::OneDeadLetter;
use crate::call::{Call, Path};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "getDeadLetterBytes",
    summary: "Read the exact bytes of a dead letter",
    about: "",
    problems: &[],
};

/// Reads them.
pub async fn handle(call: Call, Path(one): Path<OneDeadLetter>) -> Result<Response<Body>, Problem> {
    let tenant = call.tenant()?;
    let row = call.read(move |sql| dead_letters::get(sql, tenant, one.dead_letter_id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("dead letter"))?;
    let mut response = Response::new(Body::from(row.raw));
    // Never a type that a browser would run: the bytes are somebody else's.
    let bytes = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, bytes);
    Ok(response)
}

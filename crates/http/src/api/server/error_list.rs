//! `GET /docs/errors`: all kinds of problems.

use axum::body::Body;
use axum::http::Response;

use crate::call::Call;
use crate::problem::{Problem, page};
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "listErrorPages",
    summary: "All kinds of problems, a page for people",
    about: "",
    problems: &[],
};

/// Gives the page.
pub async fn handle(_call: Call) -> Result<Response<Body>, Problem> {
    Ok(page::list())
}

//! `GET /docs/errors/{slug}`: one kind of problem, the page that its `type` names.

use axum::body::Body;
use axum::http::Response;
use domain::shape::Text;

use crate::call::{Call, Path};
use crate::problem::{Problem, page};
use crate::route::Doc;

domain::shape! {
    /// Which page.
    pub struct OneErrorPage {
        /// The code in lower case with hyphens: `not-found`.
        "slug" slug: Text<1, 64>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getErrorPage",
    summary: "One kind of problem, a page for people",
    about: "",
    problems: &[],
};

/// Gives the page.
pub async fn handle(_call: Call, Path(one): Path<OneErrorPage>) -> Result<Response<Body>, Problem> {
    page::page(&one.slug).ok_or_else(|| Problem::not_found("kind of problem"))
}

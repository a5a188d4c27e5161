//! `GET /readyz`: the parts that the process needs are up.

use axum::http::StatusCode;

use crate::call::{Call, Okay};
use crate::problem::Problem;
use crate::route::Doc;

domain::view! {
    /// How one part is.
    pub struct PartStatus {
        /// Which part.
        "name" name: String,
        /// True when it is up.
        "ready" ready: bool,
        /// What is wrong, when it is not.
        "detail" detail: Option<String>,
    }
}

domain::view! {
    /// Whether the process takes requests.
    pub struct Readiness {
        /// True when all parts are up.
        "ready" ready: bool,
        /// Each part.
        "parts" parts: Vec<PartStatus>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getReadiness",
    summary: "Whether the process takes requests",
    about: "503 with the same document while a part is not up.",
    problems: &[],
};

/// Asks every part.
pub async fn handle(call: Call) -> Result<Okay<Readiness>, Problem> {
    let parts: Vec<PartStatus> = call
        .app
        .probes
        .iter()
        .map(|probe| {
            let detail = (probe.check)().err();
            PartStatus { name: probe.name.to_owned(), ready: detail.is_none(), detail }
        })
        .collect();
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(Okay::new(Readiness { ready, parts }).status(status))
}

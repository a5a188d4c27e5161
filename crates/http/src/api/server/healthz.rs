//! `GET /healthz`: the process answers.

use crate::call::{Call, Okay};
use crate::problem::Problem;
use crate::route::Doc;

domain::view! {
    /// The process answers.
    pub struct Health {
        /// Always `UP`.
        "status" status: String,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getHealth",
    summary: "The process answers",
    about: "Says nothing about what it depends on; see `/readyz`.",
    problems: &[],
};

/// Answers.
pub async fn handle(_call: Call) -> Result<Okay<Health>, Problem> {
    Ok(Okay::new(Health { status: "UP".to_owned() }))
}

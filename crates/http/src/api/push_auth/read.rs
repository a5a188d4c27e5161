//! `GET /api/v1/tenants/{tenantId}/push-auth`.

use store::control::push_auth;

use super::PushAuth;
use crate::api::tenants::OneTenant;
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "getPushAuth",
    summary: "Read how the tokens of end users are verified",
    about: "",
    problems: &[],
};

/// Reads it.
pub async fn handle(call: Call, Path(one): Path<OneTenant>) -> Result<Okay<PushAuth>, Problem> {
    let row = call.read(move |sql| push_auth::get(sql, one.tenant_id)).await?;
    row.map(|row| Reply::new(row.into())).ok_or_else(|| Problem::not_found("push-auth setting"))
}

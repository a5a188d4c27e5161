//! `GET /api/v1/tenants/{tenantId}`: one tenant.

use store::control::tenants;

use super::{OneTenant, Tenant};
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc { id: "getTenant", summary: "Read a tenant", about: "", problems: &[] };

/// Reads it.
pub async fn handle(call: Call, Path(one): Path<OneTenant>) -> Result<Okay<Tenant>, Problem> {
    let row = call.read(move |sql| tenants::get(sql, one.tenant_id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("tenant"))?;
    let version = row.version;
    Ok(Reply::new(row.into()).version(version))
}

//! `POST /api/v1/tenants/{tenantId}:endReplay`: switches a tenant back to live events.

use domain::config::TenantMode;
use store::control::tenants;

use super::{OneTenant, Tenant};
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "endReplay",
    summary: "End a replay",
    about: "The tenant takes live events again. Doing it again changes nothing.",
    problems: &[],
};

/// Switches it.
pub async fn handle(call: Call, Path(one): Path<OneTenant>) -> Result<Okay<Tenant>, Problem> {
    call.write(move |sql, change| {
        let row = tenants::set_mode(sql, one.tenant_id, TenantMode::Live, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}

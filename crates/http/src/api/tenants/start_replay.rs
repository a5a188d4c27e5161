//! `POST /api/v1/tenants/{tenantId}:startReplay`: switches a tenant to replay.

use domain::config::TenantMode;
use store::control::tenants;

use super::{OneTenant, Tenant};
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "startReplay",
    summary: "Begin a replay of the tenant's past",
    about: "While it lasts events are decided as if it were their time, in their order, and live events are refused. Doing it again changes nothing.",
    problems: &[],
};

/// Switches it.
pub async fn handle(call: Call, Path(one): Path<OneTenant>) -> Result<Okay<Tenant>, Problem> {
    call.write(move |sql, change| {
        let row = tenants::set_mode(sql, one.tenant_id, TenantMode::Replay, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}

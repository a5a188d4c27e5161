//! What was granted, added up.

pub mod leaders;
pub mod sums;

use domain::config::TenantMode;
use domain::id::TenantId;
use domain::time::Day;
use store::StoreError;
use store::control::tenants;

use crate::call::Call;
use crate::problem::Problem;

/// The present day of a tenant; in a replay that of the last event.
async fn today(call: &Call, tenant: TenantId) -> Result<Day, Problem> {
    let now = call.app.now();
    call.read(move |sql| {
        let row = tenants::get(sql, tenant)?;
        let row = row.ok_or_else(|| StoreError::not_found(format!("tenant {tenant}")))?;
        let at = match row.mode {
            TenantMode::Live => now.max(row.last_append_time),
            TenantMode::Replay => row.last_append_time,
        };
        Ok(row.time_zone.day(at))
    })
    .await
}

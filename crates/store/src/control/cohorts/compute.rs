//! Building a new membership beside the one in force.

use domain::id::{CohortId, TenantId};
use domain::time::Timestamp;

use super::{CohortRow, must_get, record};
use crate::control::Change;
use crate::control::config::lock;
use crate::control::sql::{Sql, params, statements};
use crate::error::{Result, StoreError};

statements! {
    BEGIN = "update cohorts
             set status = 'COMPUTING', building_version = building_version + 1, building_size = 0
             where tenant_id = $1 and cohort_id = $2";
    FINISH = "update cohorts
              set status = 'READY', membership_version = building_version, size = building_size,
                  computed_at = $3, last_error = null
              where tenant_id = $1 and cohort_id = $2";
    FAIL = "update cohorts set status = 'FAILED', last_error = $3
            where tenant_id = $1 and cohort_id = $2";
}

/// Begins a new membership and returns its version. Decides nothing yet. Errors:
/// [`StoreError::NotFound`].
pub fn begin(sql: &mut dyn Sql, tenant: TenantId, id: CohortId) -> Result<i64> {
    lock(sql, tenant)?;
    sql.execute(&BEGIN, params![tenant, id])?;
    Ok(must_get(sql, tenant, id)?.building_version)
}

/// Puts the membership `building` in force; it is as of `computed_at`. Errors:
/// [`StoreError::WrongState`] when another recompute was begun after this one.
pub fn finish(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CohortId,
    building: i64,
    computed_at: Timestamp,
    change: &Change,
) -> Result<CohortRow> {
    lock(sql, tenant)?;
    let old = must_build(sql, tenant, id, building)?;
    sql.execute(&FINISH, params![tenant, id, computed_at])?;
    let row = must_get(sql, tenant, id)?;
    record(sql, change, "cohort.recompute", Some(&old), &row)?;
    Ok(row)
}

/// Notes why a recompute failed; the membership in force stays. Errors: as [`finish`].
pub fn fail(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CohortId,
    building: i64,
    error: &str,
) -> Result<()> {
    lock(sql, tenant)?;
    must_build(sql, tenant, id, building)?;
    sql.execute(&FAIL, params![tenant, id, error])?;
    Ok(())
}

/// The cohort, when `building` is its latest membership and not yet in force.
pub(in crate::control) fn must_build(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CohortId,
    building: i64,
) -> Result<CohortRow> {
    let row = must_get(sql, tenant, id)?;
    if row.building_version != building || row.membership_version >= building {
        return Err(StoreError::wrong_state(format!(
            "membership {building} of cohort {id} is no longer being built: a later recompute has \
             taken over"
        )));
    }
    Ok(row)
}

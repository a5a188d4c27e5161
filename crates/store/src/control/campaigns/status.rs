//! A campaign's life: DRAFT → ACTIVE ⇄ PAUSED → ENDED. Asking for the status it has changes
//! nothing and is no error.

use domain::id::{CampaignId, TenantId};
use domain::time::Timestamp;

use super::{CampaignRow, CampaignStatus, must_get, record};
use crate::control::config::lock;
use crate::control::sql::{Sql, params, statements};
use crate::control::{Change, expect_version};
use crate::error::{Result, StoreError};

statements! {
    SET_STATUS = "update campaigns set status = $3, updated_at = $4
                  where tenant_id = $1 and campaign_id = $2";
    DUE = "select campaign_id from campaigns
           where tenant_id = $1 and status = $2 and end_at <= $3 order by number limit $4";
}

/// Most campaigns ended by one call of [`end_due`].
const ENDED_MAX: u32 = 100;

/// Puts a campaign in force: what is decided after this transaction sees it. Errors:
/// [`StoreError::NotFound`], [`StoreError::Stale`], [`StoreError::WrongState`] when it is ENDED.
pub fn activate(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    expected_version: Option<u32>,
    change: &Change,
) -> Result<CampaignRow> {
    set_status(
        sql,
        tenant,
        id,
        expected_version,
        (CampaignStatus::Active, "campaign.activate", change),
    )
}

/// Holds a campaign: nothing is granted by it after this transaction. Errors: as [`activate`], and
/// [`StoreError::WrongState`] when it is a DRAFT.
pub fn pause(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    expected_version: Option<u32>,
    change: &Change,
) -> Result<CampaignRow> {
    set_status(
        sql,
        tenant,
        id,
        expected_version,
        (CampaignStatus::Paused, "campaign.pause", change),
    )
}

/// Ends a campaign for good. Errors: [`StoreError::NotFound`], [`StoreError::Stale`].
pub fn end(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    expected_version: Option<u32>,
    change: &Change,
) -> Result<CampaignRow> {
    set_status(sql, tenant, id, expected_version, (CampaignStatus::Ended, "campaign.end", change))
}

/// Ends the tenant's campaigns in force or held whose `end_at` is not after `before`: the time of
/// the log minus the tenant's allowed lateness. At most 100 at a call; fewer mean all are done.
pub fn end_due(
    sql: &mut dyn Sql,
    tenant: TenantId,
    before: Timestamp,
    change: &Change,
) -> Result<Vec<CampaignId>> {
    let mut due: Vec<CampaignId> = Vec::new();
    for status in [CampaignStatus::Active, CampaignStatus::Paused] {
        let params = params![tenant, status, before, ENDED_MAX];
        due.append(&mut sql.map(&DUE, params, |row| row.get("campaign_id"))?);
    }
    due.truncate(ENDED_MAX as usize);
    for id in &due {
        end(sql, tenant, *id, None, change)?;
    }
    Ok(due)
}

fn set_status(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    expected_version: Option<u32>,
    (to, action, change): (CampaignStatus, &'static str, &Change),
) -> Result<CampaignRow> {
    lock(sql, tenant)?;
    let old = must_get(sql, tenant, id)?;
    expect_version(|| format!("campaign {id}"), expected_version, old.version)?;
    if old.status == to {
        return Ok(old);
    }
    if !may_become(old.status, to) {
        let from = old.status;
        return Err(StoreError::wrong_state(format!("campaign {id} is {from} and cannot be {to}")));
    }
    sql.execute(&SET_STATUS, params![tenant, id, to, change.at])?;
    let new = must_get(sql, tenant, id)?;
    record(sql, change, action, Some(&old), &new)?;
    Ok(new)
}

fn may_become(from: CampaignStatus, to: CampaignStatus) -> bool {
    use CampaignStatus::{Active, Draft, Ended, Paused};
    matches!((from, to), (Draft | Paused, Active) | (Active, Paused) | (_, Ended))
}

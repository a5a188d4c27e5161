//! What a campaign was: one row for each version of its content.

use domain::id::{CampaignId, CohortId, TenantId};
use domain::time::Timestamp;
use serde::Serialize;

use super::CampaignRow;
use crate::control::sql::{FromRow, Row, Sql, Value, params, statements};
use crate::control::{Change, Page, PageRequest, audit};
use crate::error::Result;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select r.campaign_id, r.version, r.name, r.start_at, r.end_at, r.cohort_id,
                    r.priority, r.rule_json, r.changed_by, r.changed_at
             from campaigns c join campaign_revisions r on r.campaign_id = c.campaign_id ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into campaign_revisions
                  (campaign_id, version, name, start_at, end_at, cohort_id, priority, rule_json,
                   changed_by, changed_at)
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    GET = select!("where c.tenant_id = $1 and c.campaign_id = $2 and r.version = $3");
    LIST = select!("where c.tenant_id = $1 and c.campaign_id = $2 and r.version < $3
                    order by r.version desc limit $4");
}

/// A version of a campaign's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRow {
    /// Of which campaign.
    pub campaign_id: CampaignId,
    /// Which version, from 1.
    pub version: u32,
    /// Its name then.
    pub name: String,
    /// From when events counted.
    pub start_at: Option<Timestamp>,
    /// Until when, exclusive.
    pub end_at: Option<Timestamp>,
    /// The cohort it was restricted to.
    pub cohort_id: Option<CohortId>,
    /// Its priority.
    pub priority: i32,
    /// The rule document.
    #[serde(rename = "rule", serialize_with = "audit::raw")]
    pub rule_json: String,
    /// Who wrote it.
    pub changed_by: String,
    /// When.
    pub changed_at: Timestamp,
}

impl FromRow for RevisionRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            campaign_id: row.get("campaign_id")?,
            version: row.get("version")?,
            name: row.get("name")?,
            start_at: row.get("start_at")?,
            end_at: row.get("end_at")?,
            cohort_id: row.get("cohort_id")?,
            priority: row.get("priority")?,
            rule_json: row.get("rule_json")?,
            changed_by: row.get("changed_by")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

/// A version of a campaign; `None` when there is none.
pub fn revision(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    version: u32,
) -> Result<Option<RevisionRow>> {
    sql.row(&GET, params![tenant, id, version])
}

/// The versions of a campaign, the newest first.
pub fn revisions(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    page: PageRequest<u32>,
) -> Result<Page<RevisionRow, u32>> {
    let before = page.after.map_or(i64::MAX, i64::from);
    let rows = sql.rows(&LIST, params![tenant, id, before, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &RevisionRow| row.version))
}

pub(super) fn remember(sql: &mut dyn Sql, row: &CampaignRow, change: &Change) -> Result<()> {
    let params = params![
        row.campaign_id,
        row.version,
        &row.name,
        row.start_at,
        row.end_at,
        row.cohort_id,
        row.priority,
        Value::Json(&row.rule_json),
        &change.actor,
        change.at,
    ];
    sql.execute(&INSERT, params)?;
    Ok(())
}

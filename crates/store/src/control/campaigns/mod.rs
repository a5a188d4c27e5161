//! Campaigns. The rule document is text here; what it means is the domain's business.
//!
//! [`mod@self`] makes and changes them, `status` switches them on and off, `list` finds them,
//! `revisions` remembers what they were.

mod list;
mod revisions;
mod status;

use domain::id::{CampaignId, CohortId, TenantId};
use domain::rule::CampaignType;
use domain::time::Timestamp;
use serde::Serialize;

pub use self::list::{CampaignFilter, list, live, paused, search};
pub use self::revisions::{RevisionRow, revision, revisions};
pub use self::status::{activate, end, end_due, pause};
use super::audit::{self, Entry, image};
use super::config::{lock, raise};
use super::sql::{FromRow, Row, Sql, Statement, Value, params, statements, words};
use super::{Change, cohorts};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select c.campaign_id, c.tenant_id, c.number, c.key, c.name, c.type, c.start_at,
                    c.end_at, c.status, c.rule_json, c.cohort_id, c.priority, c.version,
                    c.progress_version, c.created_at, c.updated_at ",
            $rest
        )
    };
}
use select;

statements! {
    NEXT_NUMBER = "select coalesce(max(number), 0) + 1 as n from campaigns where tenant_id = $1";
    INSERT = "insert into campaigns
                  (campaign_id, tenant_id, number, key, name, name_folded, type, start_at, end_at,
                   status, rule_json, cohort_id, priority, version, created_at, updated_at)
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'DRAFT', $10, $11, $12, 1, $13, $13)";
    UPDATE = "update campaigns
              set name = $3, name_folded = $4, start_at = $5, end_at = $6, rule_json = $7,
                  cohort_id = $8, priority = $9, version = $10, progress_version = $11,
                  updated_at = $12
              where tenant_id = $1 and campaign_id = $2";
    GET = select!("from campaigns c where c.tenant_id = $1 and c.campaign_id = $2");
    GET_BY_KEY = select!("from campaigns c where c.tenant_id = $1 and c.key = $2");
    GET_BY_NUMBER = select!("from campaigns c where c.tenant_id = $1 and c.number = $2");
    TENANT_OF = "select tenant_id from campaigns where campaign_id = $1";
    FORGET_ACTIONS = "delete from campaign_actions where campaign_id = $1";
    ADD_ACTION = "insert into campaign_actions (tenant_id, action_code, campaign_id)
                  values ($1, $2, $3) on conflict do nothing";
}

/// The statements of this module and of those under it.
pub(super) fn statements() -> impl Iterator<Item = &'static Statement> {
    [ALL, list::ALL, revisions::ALL, status::ALL].into_iter().flatten()
}

domain::choice! {
    /// Where a campaign is in its life.
    pub enum CampaignStatus {
        /// Being written; decides nothing.
        Draft = "DRAFT",
        /// In force.
        Active = "ACTIVE",
        /// Held; users keep their progress.
        Paused = "PAUSED",
        /// Over for good.
        Ended = "ENDED",
    }
}
words!(CampaignStatus, CampaignType);

/// Stands in `campaign_actions` for a campaign with an action pattern.
pub const ANY_ACTION: &str = "*";

/// A campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignRow {
    /// Its id.
    pub campaign_id: CampaignId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The tenant's dense number of it, from 1; names it in stored outcomes. Never given again.
    pub number: u32,
    /// The operator's own name for it in files, unique in the tenant.
    pub key: Option<String>,
    /// Its name.
    pub name: String,
    /// SIMPLE or QUEST.
    #[serde(rename = "type")]
    pub kind: CampaignType,
    /// From when events count, by event time.
    pub start_at: Option<Timestamp>,
    /// Until when, exclusive.
    pub end_at: Option<Timestamp>,
    /// Where it is in its life. A change of it makes no new version.
    pub status: CampaignStatus,
    /// The rule document.
    #[serde(rename = "rule", serialize_with = "audit::raw")]
    pub rule_json: String,
    /// Restricts it to a cohort.
    pub cohort_id: Option<CohortId>,
    /// Competes first when higher.
    pub priority: i32,
    /// Rises with each change of its content, from 1.
    pub version: u32,
    /// The version that last made users begin anew; 0 = none ever did.
    pub progress_version: u32,
    /// When it was made; competes first when earlier.
    pub created_at: Timestamp,
    /// When its content or status was last changed.
    pub updated_at: Timestamp,
}

impl FromRow for CampaignRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            campaign_id: row.get("campaign_id")?,
            tenant_id: row.get("tenant_id")?,
            number: row.get("number")?,
            key: row.get("key")?,
            name: row.get("name")?,
            kind: row.get("type")?,
            start_at: row.get("start_at")?,
            end_at: row.get("end_at")?,
            status: row.get("status")?,
            rule_json: row.get("rule_json")?,
            cohort_id: row.get("cohort_id")?,
            priority: row.get("priority")?,
            version: row.get("version")?,
            progress_version: row.get("progress_version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// What an operator writes of a campaign and may change later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignContent {
    /// Its name.
    pub name: String,
    /// From when events count, by event time.
    pub start_at: Option<Timestamp>,
    /// Until when, exclusive.
    pub end_at: Option<Timestamp>,
    /// Restricts it to a cohort of the tenant.
    pub cohort_id: Option<CohortId>,
    /// Competes first when higher.
    pub priority: i32,
    /// The rule document, checked.
    pub rule_json: String,
    /// The actions of all its steps; [`ANY_ACTION`] when it has a pattern.
    pub actions: Vec<String>,
}

domain::choice! {
    /// What becomes of the progress that users have in a quest.
    pub enum Progress {
        /// It stays with the steps of the same id and kind of goal; that of others is lost.
        Keep = "KEEP",
        /// All users begin their current cycle anew. What they have completed stays completed.
        Reset = "RESET",
    }
}

/// A change of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignUpdate {
    /// What it should be.
    pub content: CampaignContent,
    /// What becomes of the progress that users have.
    pub progress: Progress,
    /// The version it must be at, if that matters.
    pub expected_version: Option<u32>,
}

/// A campaign to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCampaign {
    /// Its id, a UUIDv7.
    pub campaign_id: CampaignId,
    /// The operator's own name for it in files, unique in the tenant.
    pub key: Option<String>,
    /// SIMPLE or QUEST; cannot be changed later.
    pub kind: CampaignType,
    /// The rest.
    pub content: CampaignContent,
}

/// Makes a campaign, a DRAFT. Errors: [`StoreError::NotFound`] without such a tenant,
/// [`StoreError::Conflict`] when the id or key is taken, [`StoreError::Invalid`] when the cohort is
/// not the tenant's.
pub fn create(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &NewCampaign,
    change: &Change,
) -> Result<CampaignRow> {
    lock(sql, tenant)?;
    if let Some(key) = &new.key
        && by_key(sql, tenant, key)?.is_some()
    {
        return Err(StoreError::conflict(format!("a campaign with the key {key:?}")));
    }
    let content = &new.content;
    check_cohort(sql, tenant, content.cohort_id)?;
    let number: u32 = sql.value(&NEXT_NUMBER, params![tenant], "n")?.unwrap_or(1);
    let name_folded = fold(&content.name);
    let params = params![
        new.campaign_id,
        tenant,
        number,
        new.key.as_deref(),
        &content.name,
        &name_folded,
        new.kind,
        content.start_at,
        content.end_at,
        Value::Json(&content.rule_json),
        content.cohort_id,
        content.priority,
        change.at,
    ];
    sql.execute(&INSERT, params)?;
    write_actions(sql, tenant, new.campaign_id, &content.actions)?;
    let row = must_get(sql, tenant, new.campaign_id)?;
    revisions::remember(sql, &row, change)?;
    record(sql, change, "campaign.create", None, &row)?;
    Ok(row)
}

/// Gives a campaign a new content and hence a new version; the same content again changes nothing,
/// unless it resets progress. On a campaign in force it takes effect with the next batch. Errors:
/// [`StoreError::NotFound`], [`StoreError::Stale`] when it is not at the expected version, [`StoreError::WrongState`] when it
/// is ENDED, [`StoreError::Invalid`] when the cohort is not the tenant's.
pub fn update(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    update: &CampaignUpdate,
    change: &Change,
) -> Result<CampaignRow> {
    let CampaignUpdate { content, progress, expected_version } = update;
    lock(sql, tenant)?;
    let old = must_get(sql, tenant, id)?;
    super::expect_version(|| format!("campaign {id}"), *expected_version, old.version)?;
    if old.status == CampaignStatus::Ended {
        return Err(StoreError::wrong_state(format!(
            "campaign {id} is ENDED and cannot be changed; make a new one"
        )));
    }
    if is_same(&old, content) && *progress == Progress::Keep {
        return Ok(old);
    }
    check_cohort(sql, tenant, content.cohort_id)?;
    let version = old.version + 1;
    let progress_version = match progress {
        Progress::Keep => old.progress_version,
        Progress::Reset => version,
    };
    let name_folded = fold(&content.name);
    let params = params![
        tenant,
        id,
        &content.name,
        &name_folded,
        content.start_at,
        content.end_at,
        Value::Json(&content.rule_json),
        content.cohort_id,
        content.priority,
        version,
        progress_version,
        change.at,
    ];
    sql.execute(&UPDATE, params)?;
    sql.execute(&FORGET_ACTIONS, params![id])?;
    write_actions(sql, tenant, id, &content.actions)?;
    let row = must_get(sql, tenant, id)?;
    revisions::remember(sql, &row, change)?;
    record(sql, change, "campaign.update", Some(&old), &row)?;
    Ok(row)
}

/// A campaign; `None` when the tenant has none of this id.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, id: CampaignId) -> Result<Option<CampaignRow>> {
    sql.row(&GET, params![tenant, id])
}

/// A campaign by the operator's own name for it.
pub fn by_key(sql: &mut dyn Sql, tenant: TenantId, key: &str) -> Result<Option<CampaignRow>> {
    sql.row(&GET_BY_KEY, params![tenant, key])
}

/// A campaign by the tenant's number of it, as stored outcomes name it.
pub fn by_number(sql: &mut dyn Sql, tenant: TenantId, number: u32) -> Result<Option<CampaignRow>> {
    sql.row(&GET_BY_NUMBER, params![tenant, number])
}

/// Whose campaign it is: for the platform admin, who names no tenant.
pub fn tenant_of(sql: &mut dyn Sql, id: CampaignId) -> Result<Option<TenantId>> {
    sql.value(&TENANT_OF, params![id], "tenant_id")
}

fn must_get(sql: &mut dyn Sql, tenant: TenantId, id: CampaignId) -> Result<CampaignRow> {
    get(sql, tenant, id)?.ok_or_else(|| StoreError::not_found(format!("campaign {id}")))
}

/// The actions follow from the rule, so the rule's text stands for them.
fn is_same(old: &CampaignRow, new: &CampaignContent) -> bool {
    old.name == new.name
        && old.start_at == new.start_at
        && old.end_at == new.end_at
        && old.cohort_id == new.cohort_id
        && old.priority == new.priority
        && old.rule_json == new.rule_json
}

/// The form in which names are searched: the same on every database.
fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn check_cohort(sql: &mut dyn Sql, tenant: TenantId, id: Option<CohortId>) -> Result<()> {
    match id {
        Some(id) if cohorts::get(sql, tenant, id)?.is_none() => {
            Err(StoreError::invalid(format!("there is no cohort {id}; name one of this tenant")))
        }
        _ => Ok(()),
    }
}

fn write_actions(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CampaignId,
    actions: &[String],
) -> Result<()> {
    let mut lists = actions.iter().map(|action| params![tenant, action, id].to_vec());
    sql.execute_each(&ADD_ACTION, &mut lists)?;
    Ok(())
}

/// Raises the configuration version and writes the audit entry.
fn record(
    sql: &mut dyn Sql,
    change: &Change,
    action: &'static str,
    old: Option<&CampaignRow>,
    new: &CampaignRow,
) -> Result<()> {
    let entry = Entry {
        action,
        subject: format!("campaign:{}", new.campaign_id),
        config_version: Some(raise(sql, new.tenant_id)?),
        before: old.map(image).transpose()?.flatten(),
        after: image(new)?,
    };
    audit::record(sql, new.tenant_id, change, &entry)
}

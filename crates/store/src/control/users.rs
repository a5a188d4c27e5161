//! Users: the end people who earn. Their rows, attributes and states are written by the hot path,
//! because nothing may decide on data from outside the log; here they are read.

use domain::id::{ActionCode, CampaignId, IncentiveId, TenantId, UserId, UserRef, user_id};
use domain::state::UserState;
use domain::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::audit;
use super::sql::{FromRow, Row, Sql, params, statements};
use super::{Page, PageRequest};
use crate::error::Result;

statements! {
    GET = "select user_id, external_ref, attributes, created_at from users
           where user_id = $1 and tenant_id = $2";
    LIST = "select user_id, external_ref, attributes, created_at from users
            where tenant_id = $1 and external_ref > $2 order by external_ref limit $3";
    STATE = "select version, state from user_states where user_id = $1 and tenant_id = $2";
    COMPLETIONS =
        "select aggregation_id, campaign_id, step_id, cycle, action_code, incentive_id,
                unpaid_reason, completed_at
         from user_aggregations
         where user_id = $1 and tenant_id = $2
           and (completed_at, aggregation_id) < ($3, $4)
         order by completed_at desc, aggregation_id desc limit $5";
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRow {
    /// The platform's id, derived from the tenant and its own.
    pub user_id: UserId,
    /// The tenant's id.
    pub external_ref: UserRef,
    /// A JSON object as text.
    #[serde(serialize_with = "audit::raw")]
    pub attributes: String,
    /// Append time of the first event.
    pub created_at: Timestamp,
}

impl FromRow for UserRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            user_id: row.get("user_id")?,
            external_ref: row.get("external_ref")?,
            attributes: row.get("attributes")?,
            created_at: row.get("created_at")?,
        })
    }
}

/// A user by the tenant's own id; `None` when no event of theirs was decided yet.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, user: &UserRef) -> Result<Option<UserRow>> {
    sql.row(&GET, params![user_id(tenant, user), tenant])
}

/// A tenant's users in the order of its own ids.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    page: &PageRequest<String>,
) -> Result<Page<UserRow, String>> {
    let after = page.after.as_deref().unwrap_or("");
    let rows = sql.rows(&LIST, params![tenant, after, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &UserRow| row.external_ref.as_str().to_owned()))
}

/// What is in progress for a user, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRow {
    /// Rises with each write.
    pub version: i64,
    /// The state.
    pub state: UserState,
}

impl FromRow for StateRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { version: row.get("version")?, state: row.json("state")? })
    }
}

/// What is in progress for a user; `None` when nothing is.
pub fn state(sql: &mut dyn Sql, tenant: TenantId, user: UserId) -> Result<Option<StateRow>> {
    sql.row(&STATE, params![user, tenant])
}

/// A step or quest that a user has completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletionRow {
    /// Its id.
    #[serde(skip)]
    pub aggregation_id: Uuid,
    /// Which quest.
    pub campaign_id: CampaignId,
    /// Which step; `None` = the quest.
    pub step_id: Option<String>,
    /// Which cycle of the quest, from 1.
    pub cycle: u32,
    /// The action of the event that completed it.
    pub action_code: ActionCode,
    /// The first incentive granted for it.
    pub incentive_id: Option<IncentiveId>,
    /// Why it was not paid, when it was not.
    pub unpaid_reason: Option<String>,
    /// Append time of the completing event.
    pub completed_at: Timestamp,
}

impl FromRow for CompletionRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            aggregation_id: row.get("aggregation_id")?,
            campaign_id: row.get("campaign_id")?,
            step_id: row.get("step_id")?,
            cycle: row.get("cycle")?,
            action_code: row.get("action_code")?,
            incentive_id: row.get("incentive_id")?,
            unpaid_reason: row.get("unpaid_reason")?,
            completed_at: row.get("completed_at")?,
        })
    }
}

/// Where a page of completions goes on.
pub type CompletionKey = (Timestamp, Uuid);

/// What a user has completed, the newest first.
pub fn completions(
    sql: &mut dyn Sql,
    tenant: TenantId,
    user: UserId,
    page: PageRequest<CompletionKey>,
) -> Result<Page<CompletionRow, CompletionKey>> {
    let (at, id) = page.after.unwrap_or((Timestamp::from_stored(i64::MAX), Uuid::max()));
    let rows = sql.rows(&COMPLETIONS, params![user, tenant, at, id, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &CompletionRow| (row.completed_at, row.aggregation_id)))
}

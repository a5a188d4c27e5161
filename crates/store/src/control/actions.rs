//! The actions that a tenant knows. Unknown ones register themselves with their first event; the
//! hot path writes those rows, up to [`ACTIONS_MAX`].

use domain::id::{ActionCode, TenantId};
use domain::time::Timestamp;
use serde::Serialize;

use super::audit::{self, Entry, image};
use super::sql::{FromRow, Row, Sql, params, statements};
use super::{Change, Page, PageRequest};
use crate::error::Result;

/// Most actions of a tenant.
pub const ACTIONS_MAX: u32 = 1000;

statements! {
    REGISTER = "insert into actions (tenant_id, action_code, first_seen_at) values ($1, $2, $3)
                on conflict (tenant_id, action_code) do nothing";
    DESCRIBE = "insert into actions (tenant_id, action_code, description, first_seen_at)
                values ($1, $2, $3, $4)
                on conflict (tenant_id, action_code) do update
                set description = excluded.description";
    GET = "select action_code, description, first_seen_at from actions
           where tenant_id = $1 and action_code = $2";
    COUNT = "select count(*) as n from actions where tenant_id = $1";
    LIST = "select action_code, description, first_seen_at from actions
            where tenant_id = $1 and action_code > $2 order by action_code limit $3";
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionRow {
    /// Its code.
    pub action_code: ActionCode,
    /// What it means, for the people at the console.
    pub description: Option<String>,
    /// Append time of its first event, or when it was described.
    pub first_seen_at: Timestamp,
}

impl FromRow for ActionRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            action_code: row.get("action_code")?,
            description: row.get("description")?,
            first_seen_at: row.get("first_seen_at")?,
        })
    }
}

/// Makes an action known. True when it was not. The caller holds the bound.
pub fn register(
    sql: &mut dyn Sql,
    tenant: TenantId,
    action: &ActionCode,
    at: Timestamp,
) -> Result<bool> {
    Ok(sql.execute(&REGISTER, params![tenant, action, at])? > 0)
}

/// Says what an action means, making it known if it is not.
pub fn describe(
    sql: &mut dyn Sql,
    tenant: TenantId,
    action: &ActionCode,
    description: Option<&str>,
    change: &Change,
) -> Result<ActionRow> {
    let old = get(sql, tenant, action)?;
    let row = ActionRow {
        action_code: action.clone(),
        description: description.map(str::to_owned),
        first_seen_at: old.as_ref().map_or(change.at, |old| old.first_seen_at),
    };
    if old.as_ref() == Some(&row) {
        return Ok(row);
    }
    sql.execute(&DESCRIBE, params![tenant, action, description, change.at])?;
    let entry = Entry {
        action: "action.describe",
        subject: format!("action:{action}"),
        config_version: None,
        before: old.as_ref().map(image).transpose()?.flatten(),
        after: image(&row)?,
    };
    audit::record(sql, tenant, change, &entry)?;
    Ok(row)
}

/// An action; `None` when the tenant does not know it.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, action: &ActionCode) -> Result<Option<ActionRow>> {
    sql.row(&GET, params![tenant, action])
}

/// How many actions a tenant knows.
pub fn count(sql: &mut dyn Sql, tenant: TenantId) -> Result<u32> {
    Ok(sql.value(&COUNT, params![tenant], "n")?.unwrap_or(0))
}

/// A tenant's actions by code.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    page: &PageRequest<String>,
) -> Result<Page<ActionRow, String>> {
    let after = page.after.as_deref().unwrap_or("");
    let rows = sql.rows(&LIST, params![tenant, after, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &ActionRow| row.action_code.as_str().to_owned()))
}

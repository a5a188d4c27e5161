//! The audit log: who changed what, with the state before and after.

use domain::id::TenantId;
use domain::time::Timestamp;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::sql::{FromRow, Row, Sql, Value, params, statements};
use super::{Change, Page, PageRequest};
use crate::error::{Result, StoreError};

statements! {
    INSERT = "insert into audit_log
                  (tenant_id, actor, action, subject, config_version, before_json, after_json, at)
              values ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST = "select audit_id, actor, action, subject, config_version, before_json, after_json, at
            from audit_log where tenant_id = $1 and audit_id < $2
            order by audit_id desc limit $3";
    LIST_BY_SUBJECT =
        "select audit_id, actor, action, subject, config_version, before_json, after_json, at
         from audit_log where tenant_id = $1 and subject = $2 and audit_id < $3
         order by audit_id desc limit $4";
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// Rises with each entry of the database.
    pub audit_id: i64,
    /// Who.
    pub actor: String,
    /// What was done: `campaign.activate`.
    pub action: String,
    /// To what: `campaign:<id>`.
    pub subject: String,
    /// The configuration version that the change made, when it changes decisions.
    pub config_version: Option<i64>,
    /// The subject before, a JSON object as text.
    #[serde(serialize_with = "raw_option")]
    pub before_json: Option<String>,
    /// The subject after, a JSON object as text.
    #[serde(serialize_with = "raw_option")]
    pub after_json: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl FromRow for AuditRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            audit_id: row.get("audit_id")?,
            actor: row.get("actor")?,
            action: row.get("action")?,
            subject: row.get("subject")?,
            config_version: row.get("config_version")?,
            before_json: row.get("before_json")?,
            after_json: row.get("after_json")?,
            at: row.get("at")?,
        })
    }
}

/// A tenant's changes, the newest first; those of one subject when it is given.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    subject: Option<&str>,
    page: PageRequest<i64>,
) -> Result<Page<AuditRow, i64>> {
    let before = page.after.unwrap_or(i64::MAX);
    let rows = match subject {
        None => sql.rows(&LIST, params![tenant, before, page.limit()])?,
        Some(subject) => {
            sql.rows(&LIST_BY_SUBJECT, params![tenant, subject, before, page.limit()])?
        }
    };
    Ok(Page::cut(rows, page.size, |row: &AuditRow| row.audit_id))
}

/// What is written about a change.
pub(super) struct Entry {
    pub(super) action: &'static str,
    pub(super) subject: String,
    pub(super) config_version: Option<i64>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// Writes an entry. Part of every function that changes something.
pub(super) fn record(
    sql: &mut dyn Sql,
    tenant: TenantId,
    change: &Change,
    entry: &Entry,
) -> Result<()> {
    let params = params![
        tenant,
        &change.actor,
        entry.action,
        &entry.subject,
        entry.config_version,
        json(entry.before.as_deref()),
        json(entry.after.as_deref()),
        change.at,
    ];
    sql.execute(&INSERT, params)?;
    Ok(())
}

/// A row as the audit log keeps it.
pub(super) fn image(row: &impl Serialize) -> Result<Option<String>> {
    let text = serde_json::to_string(row).map_err(|e| StoreError::Invalid {
        what: format!("the change cannot be written to the audit log: {e}"),
    })?;
    Ok(Some(text))
}

pub(super) fn json(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Json)
}

/// Writes a stored JSON text as the JSON that it is.
pub(super) fn raw<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(to)
}

/// [`raw`] for a text that may be missing.
pub(super) fn raw_option<S: Serializer>(text: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => raw(text, to),
        None => to.serialize_none(),
    }
}

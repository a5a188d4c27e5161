//! `GET /api/v1/audit`: who changed what.

use domain::shape::Text;
use domain::time::Timestamp;
use serde_json::Value;
use store::control::audit::{self, AuditRow};

use crate::call::{Call, Listed, Okay, PageSize, PageToken, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which changes.
    pub struct ListAudit {
        /// Of this subject: `campaign:<id>`.
        "subject" subject: Option<Text<1, 200>>,
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListAudit);

domain::view! {
    /// A change that was made.
    pub struct AuditEntry {
        /// Rises with each entry.
        "auditId" audit_id: i64,
        /// Who.
        "actor" actor: String,
        /// What was done: `campaign.activate`.
        "action" action: String,
        /// To what: `campaign:<id>`.
        "subject" subject: String,
        /// The configuration version that the change made, when it changes decisions.
        "configVersion" config_version: Option<i64>,
        /// The subject before.
        "before" before: Value,
        /// The subject after.
        "after" after: Value,
        /// When.
        "at" at: Timestamp,
    }
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        let json = |text: Option<String>| {
            text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
        };
        Self {
            audit_id: row.audit_id,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            config_version: row.config_version,
            before: json(row.before_json),
            after: json(row.after_json),
            at: row.at,
        }
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "listAudit",
    summary: "List who changed what, the newest first",
    about: "",
    problems: &[],
};

/// Lists it.
pub async fn handle(
    call: Call,
    Query(query): Query<ListAudit>,
) -> Result<Okay<Listed<AuditEntry>>, Problem> {
    let tenant = call.tenant()?;
    let page = call.page(&query)?;
    let page =
        call.read(move |sql| audit::list(sql, tenant, query.subject.as_deref(), page)).await?;
    call.listed(page, AuditEntry::from)
}

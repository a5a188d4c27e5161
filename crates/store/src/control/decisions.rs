//! What became of an event: its row, its outcome and what it earned.

use domain::event::RecordKind;
use domain::id::{ActionCode, EventId, EventKey, TenantId, UserId, UserRef};
use domain::time::Timestamp;

use super::incentives::{self, IncentiveRow};
use super::sql::{FromRow, Row, Sql, params, statements};
use crate::error::Result;

statements! {
    /// Where the log is a topic, an offset is one of its partition and a payload may be no JSON.
    FIND = "select e.log_offset, e.event_id, e.user_id, e.user_ref, e.action_code, e.event_ts,
                   coalesce(e.payload, 'null') as payload, e.append_time, e.kind, e.outcome
            from event_ids i
            join events e on e.log_offset = i.log_offset and e.append_time = i.append_time
            where i.tenant_id = $1 and i.event_key = $2 and e.tenant_id = $1 and e.event_id = $3";
}

/// An event of the log and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRow {
    /// Its offset in the log.
    pub log_offset: i64,
    /// The tenant's id of the event.
    pub event_id: EventId,
    /// The platform's id of its user.
    pub user_id: UserId,
    /// The tenant's id of its user.
    pub user_ref: UserRef,
    /// What happened.
    pub action_code: ActionCode,
    /// When it happened.
    pub event_ts: Timestamp,
    /// A JSON object as text.
    pub payload: String,
    /// When the log took it.
    pub append_time: Timestamp,
    /// How it takes part.
    pub kind: RecordKind,
    /// The outcome in its stored form, see `domain::decide::StoredOutcome`; `None` = undecided.
    pub outcome: Option<String>,
    /// What it earned its user, in the order of issue.
    pub incentives: Vec<IncentiveRow>,
}

impl FromRow for DecisionRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let kind = row.get("kind")?;
        Ok(Self {
            log_offset: row.get("log_offset")?,
            event_id: row.get("event_id")?,
            user_id: row.get("user_id")?,
            user_ref: row.get("user_ref")?,
            action_code: row.get("action_code")?,
            event_ts: row.get("event_ts")?,
            payload: row.get("payload")?,
            append_time: row.get("append_time")?,
            kind: RecordKind::from_code(kind)
                .ok_or_else(|| row.corrupt("kind", format!("{kind} is no kind of record")))?,
            outcome: row.get("outcome")?,
            incentives: Vec::new(),
        })
    }
}

/// What became of an event; `None` when the log never had it, or has dropped it since.
pub fn by_event(
    sql: &mut dyn Sql,
    tenant: TenantId,
    event: &EventId,
) -> Result<Option<DecisionRow>> {
    let key = EventKey::of(event).0;
    let found: Option<DecisionRow> = sql.row(&FIND, params![tenant, key.as_slice(), event])?;
    let Some(mut row) = found.filter(|row| row.event_id == *event) else { return Ok(None) };
    row.incentives = incentives::of_event(sql, tenant, row.user_id, event, row.append_time)?;
    Ok(Some(row))
}

//! `GET /api/v1/decisions`: what became of an event.

use domain::decide::{Status, StoredOutcome};
use domain::event::RecordKind;
use domain::id::{ActionCode, EventId, TenantId, UserRef};
use domain::payload::Payload;
use domain::time::Timestamp;
use store::StoreError;
use store::control::Sql;
use store::control::decisions::{self, DecisionRow};

use super::{Decision, lines};
use crate::api::incentives::Incentive;
use crate::call::{Call, Okay, Query, Reply};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which event.
    pub struct ExplainDecision {
        /// The tenant's own id of the event.
        "eventId" event_id: EventId,
    }
}

domain::choice! {
    /// How an event takes part.
    pub enum EventKind {
        /// Decided as it happens.
        Live = "LIVE",
        /// Stored only; earns nothing.
        History = "HISTORY",
        /// Decided as if it were its event time.
        Replay = "REPLAY",
    }
}

impl From<RecordKind> for EventKind {
    fn from(kind: RecordKind) -> Self {
        match kind {
            RecordKind::Live => Self::Live,
            RecordKind::History => Self::History,
            RecordKind::Replay => Self::Replay,
        }
    }
}

domain::view! {
    /// An event and what became of it.
    pub struct EventDecision {
        /// The tenant's own id of the event.
        "eventId" event_id: EventId,
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
        /// What happened.
        "action" action: ActionCode,
        /// When it happened.
        "eventTs" event_ts: Timestamp,
        /// When the log took it.
        "appendTime" append_time: Timestamp,
        /// How it takes part.
        "kind" kind: EventKind,
        /// Its payload.
        "payload" payload: Payload<'static>,
        /// False while it waits to be decided.
        "decided" decided: bool,
        /// What became of it as a whole; `null` while it is not decided.
        "status" status: Option<Status>,
        /// How many incentives it granted.
        "grants" grants: u32,
        /// Each campaign considered, in the order in which they competed.
        "decisions" decisions: Vec<Decision>,
        /// What it earned.
        "incentives" incentives: Vec<Incentive>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "explainDecision",
    summary: "Explain what became of an event",
    about: "Each campaign considered with its version, the reason and the numbers compared, as they \
            were at the moment of the decision.",
    problems: &[crate::problem::Code::NotFound],
};

/// Explains it.
pub async fn handle(
    call: Call,
    Query(query): Query<ExplainDecision>,
) -> Result<Okay<EventDecision>, Problem> {
    let tenant = call.tenant()?;
    let found = call.read(move |sql| explain(sql, tenant, &query.event_id)).await?;
    found.map(Reply::new).ok_or_else(|| Problem::not_found("event"))
}

/// An event and what became of it; `None` when the log never had it.
pub fn explain(
    sql: &mut dyn Sql,
    tenant: TenantId,
    event: &EventId,
) -> Result<Option<EventDecision>, StoreError> {
    let Some(row) = decisions::by_event(sql, tenant, event)? else { return Ok(None) };
    let outcome = match &row.outcome {
        None => None,
        Some(text) => Some(StoredOutcome::parse(text).ok_or_else(|| StoreError::Corrupt {
            table: "events".to_owned(),
            column: "outcome".to_owned(),
            row: row.log_offset.to_string(),
            detail: "it is no outcome".to_owned(),
        })?),
    };
    let decisions = match &outcome {
        None => Vec::new(),
        Some(outcome) => lines(sql, tenant, outcome)?,
    };
    Ok(Some(shown(row, outcome, decisions)))
}

fn shown(
    row: DecisionRow,
    outcome: Option<StoredOutcome>,
    decisions: Vec<Decision>,
) -> EventDecision {
    EventDecision {
        event_id: row.event_id,
        user_id: row.user_ref,
        action: row.action_code,
        event_ts: row.event_ts,
        append_time: row.append_time,
        kind: row.kind.into(),
        // One that cannot be read is a dead letter, which has its exact bytes.
        payload: Payload::parse(&row.payload).map(Payload::into_owned).unwrap_or_default(),
        decided: outcome.is_some(),
        status: outcome.as_ref().map(|outcome| outcome.status),
        grants: outcome.as_ref().map_or(0, |outcome| outcome.grants),
        decisions,
        incentives: row.incentives.into_iter().map(Incentive::from).collect(),
    }
}

//! The decision: `decide(rules, event, working copy) → outcome`. Pure: no clock, no IO, no
//! randomness. The live path, dry runs, explain, backtest and the tests all call this function;
//! there is no second evaluator.
//!
//! Read [`decide`], then [`simple`], [`quest`] and [`caps`].

mod batch;
mod caps;
mod evidence;
mod meeting;
mod outcome;
mod plan;
mod quest;
mod simple;

#[cfg(test)]
pub(crate) mod tests;

use rust_decimal::Decimal;

pub use batch::{
    ChangedUser, Changes, Lane, Loaded, MarkWrite, Needs, StoredUser, UsageWrite, Working,
};
pub use evidence::{Evidence, evidence};
pub use meeting::COOLDOWN_GRANTS_MAX;
pub use outcome::{Considered, EventOutcome, Reason, Status, StoredLine, StoredOutcome};
pub use plan::plan;
pub use quest::UNPAID_CYCLES_MAX;

use crate::compile::TenantRules;
use crate::event::{Record, RecordKind, USER_UPDATED};
use crate::expr::{Facts, Scope, Why, WhyKind};
use crate::id::{CohortId, UserId};
use crate::payload::{Payload, PayloadError};
use crate::state::{SEEN_ACTIONS_MAX, SEEN_BYTES_MAX, STATE_BYTES_MAX, UserState, weight};
use caps::Ledger;
use meeting::{Days, Meeting};

/// A record with its payload parsed.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The record.
    pub record: &'a Record,
    /// Its payload.
    pub payload: Payload<'a>,
    /// The platform's id of its user.
    pub user: UserId,
}

impl<'a> Parsed<'a> {
    /// Parses a record's payload. Errors: what is wrong with it; such a record is a dead letter.
    pub fn new(record: &'a Record) -> Result<Self, PayloadError> {
        let payload = Payload::parse(&record.event.payload)?;
        Ok(Self { record, payload, user: record.event.user() })
    }

    /// What expressions may read of it.
    fn facts<'s>(
        &'s self,
        rules: &'s TenantRules,
        user: Option<&'s Payload<'s>>,
        cohorts: &'s [CohortId],
    ) -> Facts<'s> {
        let event = &self.record.event;
        let (action, ts) = (event.action.as_str(), event.event_ts);
        Facts { payload: &self.payload, user, action, ts, zone: rules.zone(), cohorts }
    }
}

/// Why a campaign did not grant, and the numbers compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub reason: Reason,
    pub numbers: Option<(Decimal, Decimal)>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, numbers: None }
    }
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        match why.kind {
            WhyKind::FieldMissing => Reason::FieldMissing,
            WhyKind::TypeMismatch(_) | WhyKind::NotATime => Reason::TypeMismatch,
            WhyKind::DivisionByZero | WhyKind::Overflow | WhyKind::TooMuchWork => Reason::RuleError,
        }
        .into()
    }
}

/// What came of a campaign that did not refuse.
#[derive(Debug)]
pub(crate) struct Found {
    pub reason: Reason,
    pub numbers: Option<(Decimal, Decimal)>,
    pub grants: u32,
}

/// Decides one event for one tenant and applies it to the working copy. Events must come in the
/// order of the log.
pub fn decide(rules: &TenantRules, event: &Parsed<'_>, working: &mut Working) -> EventOutcome {
    let Working { users, marks, usage, changes } = working;
    let user = users.entry(event.user).or_default();
    user.meet(event);
    let record = event.record;
    if record.event.action.as_str() == USER_UPDATED {
        user.stored.attributes = Some(record.event.payload.as_ref().to_owned());
        user.attributes_changed = true;
        return EventOutcome::plain(Status::UserUpdated);
    }
    let state = &mut user.stored.state;
    if record.kind != RecordKind::History
        && record.event.event_ts < record.append_time.plus_micros(-rules.lateness_us)
    {
        return EventOutcome::plain(Status::TooLate);
    }
    let first = count_action(state, event);
    if record.kind == RecordKind::History {
        return EventOutcome::plain(Status::History);
    }
    forget_ended(rules, state);

    let StoredUser { state, attributes, cohorts, .. } = &mut user.stored;
    let text = attributes.as_deref().filter(|_| rules.uses_attributes());
    // Attributes were checked when they were set; unreadable ones count as none.
    let attributes = text.and_then(|t| Payload::parse(t).ok());
    let scope = Scope::new(&rules.fields, event.facts(rules, attributes.as_ref(), cohorts));
    let ledger = Ledger { marks, usage, changes };
    Meeting { rules, event, scope, first, cohorts, state, ledger, days: Days::default() }.run()
}

/// Counts the event among the user's events of its action; true for the first ever.
fn count_action(state: &mut UserState, event: &Parsed<'_>) -> bool {
    let action = &event.record.event.action;
    if let Some(count) = state.seen.get_mut(action) {
        *count += 1;
        return false;
    }
    let bytes = weight::seen_weight(action);
    let has_room = state.seen.len() < SEEN_ACTIONS_MAX
        && state.seen_weight() + bytes <= SEEN_BYTES_MAX
        && state.weight() + bytes <= STATE_BYTES_MAX;
    if has_room {
        state.seen.insert(action.clone(), 1);
        return true;
    }
    // Beyond the bound nothing can be called a first event, so that no reward is paid twice.
    false
}

/// Forgets progress in campaigns that have ended.
fn forget_ended(rules: &TenantRules, state: &mut UserState) {
    if state.campaigns.keys().any(|id| !rules.keeps(*id)) {
        state.campaigns.retain(|id, _| rules.keeps(*id));
    }
}

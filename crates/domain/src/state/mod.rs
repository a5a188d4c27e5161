//! All that a decision needs to know about a user: one row, read once and written once per batch.

pub(crate) mod weight;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::id::{ActionCode, CampaignId, EventId};
use crate::limit::Meter;
use crate::rule::GoalKind;
use crate::time::{Day, Timestamp};

/// Hard bound of a user's state, in bytes of its stored form. An event that would need more is
/// refused with `USER_STATE_FULL`.
pub const STATE_BYTES_MAX: usize = 8 * 1024;

/// Most kinds of action remembered per user for first-ever rules.
pub const SEEN_ACTIONS_MAX: usize = 64;

/// Most bytes for them, so that long names leave room for progress.
pub const SEEN_BYTES_MAX: usize = 2 * 1024;

/// What is in progress for one user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserState {
    /// The last incentive's `seq`.
    #[serde(rename = "q")]
    pub seq: u64,
    /// Use of the tenant's USER limit.
    #[serde(rename = "l")]
    pub limit: Meter<u64>,
    /// Events so far by action.
    #[serde(rename = "s", skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<ActionCode, u64>,
    /// Progress by campaign.
    #[serde(rename = "c", skip_serializing_if = "BTreeMap::is_empty")]
    pub campaigns: BTreeMap<CampaignId, CampaignState>,
}

/// What one campaign remembers about a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CampaignState {
    /// Grants (SIMPLE) or completed cycles (QUEST), by the repetition's period.
    #[serde(rename = "g", skip_serializing_if = "is_unused")]
    pub repeats: Meter<u64>,
    /// Event times of the grants or completions that a cooldown still looks at, ascending.
    #[serde(rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<i64>,
    /// Use of the budgets of scope USER, by budget id.
    #[serde(rename = "b", skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: BTreeMap<String, Meter<Decimal>>,
    /// The quest's current cycle.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub quest: Option<QuestState>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_unused(meter: &Meter<u64>) -> bool {
    meter.ever == 0 && meter.days.is_empty()
}

/// The current cycle of a quest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuestState {
    /// Number of the cycle in progress, from 1.
    #[serde(rename = "n")]
    pub cycle: u32,
    /// The campaign's [`progress_version`](crate::config::CampaignSource::progress_version) under
    /// which the progress was made; it counts under no other.
    #[serde(rename = "v", skip_serializing_if = "is_zero")]
    pub progress_version: u32,
    /// Event time of the first counted event of the cycle, microseconds.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub started: Option<i64>,
    /// First day of the calendar window of the cycle.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub period: Option<Day>,
    /// Progress by step id.
    #[serde(rename = "s", skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, StepState>,
    /// Cycles completed and refused by a limit, to be paid when there is room (`onLimit: RETRY`).
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    pub unpaid: Vec<Unpaid>,
}

impl QuestState {
    /// How far a step is: nothing when its progress was made under another version of progress or
    /// with another kind of goal.
    pub fn reached(&self, step: &str, kind: GoalKind, progress_version: u32) -> StepState {
        let own = self.steps.get(step).filter(|state| state.kind == kind);
        let current = own.filter(|_| self.progress_version == progress_version);
        current.cloned().unwrap_or(StepState { kind, ..StepState::default() })
    }
}

/// Progress of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepState {
    /// Events counted, or the sum so far.
    #[serde(rename = "v")]
    pub value: Decimal,
    /// How it was counted.
    #[serde(rename = "k", skip_serializing_if = "is_count")]
    pub kind: GoalKind,
    /// True when the goal is reached.
    #[serde(rename = "d", skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

fn is_count(kind: &GoalKind) -> bool {
    *kind == GoalKind::Count
}

/// A completed cycle that could not be paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unpaid {
    /// Its number.
    #[serde(rename = "n")]
    pub cycle: u32,
    /// The event that completed it.
    #[serde(rename = "e")]
    pub event_id: EventId,
    /// The rewards as they were worked out then: index of the reward and amount.
    #[serde(rename = "r")]
    pub rewards: Vec<(u32, Decimal)>,
    /// Event time of the completing event.
    #[serde(rename = "t")]
    pub event_ts: Timestamp,
}

//! One happening, immutable, and its place in the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ActionCode, EventId, TenantId, UserId, UserRef, user_id};
use crate::time::Timestamp;

/// The platform's own action: a user's attributes were set.
pub const USER_UPDATED: &str = "$user.updated";

/// One happening as its tenant reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionEvent {
    /// Whose campaigns it meets.
    pub tenant_id: TenantId,
    /// The tenant's own id: the idempotency key.
    pub event_id: EventId,
    /// The tenant's own id of the user.
    pub user_id: UserRef,
    /// What happened.
    pub action: ActionCode,
    /// When it happened.
    pub event_ts: Timestamp,
    /// A JSON object, as text: decimals stay exact.
    pub payload: Arc<str>,
}

impl ActionEvent {
    /// The platform's id of its user.
    pub fn user(&self) -> UserId {
        user_id(self.tenant_id, &self.user_id)
    }
}

/// How a record takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordKind {
    /// Decided now.
    Live,
    /// Stored for backtest, cohorts and profiles; grants nothing.
    History,
    /// Decided as if it were its event time: append time = event time.
    Replay,
}

impl RecordKind {
    /// Its stored number.
    pub fn code(self) -> i64 {
        match self {
            Self::Live => 0,
            Self::History => 1,
            Self::Replay => 2,
        }
    }
    /// From its stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Live, Self::History, Self::Replay].into_iter().find(|k| k.code() == code)
    }
}

/// A record of `tenant-events`: an event and its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Offset in its partition.
    pub offset: i64,
    /// When the log took it; never goes back for a tenant.
    pub append_time: Timestamp,
    /// How it takes part.
    pub kind: RecordKind,
    /// The event.
    pub event: ActionEvent,
}

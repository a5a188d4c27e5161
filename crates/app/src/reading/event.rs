//! An event as read from a file, not yet anybody's.

use domain::id::{ActionCode, EventId, UserRef};
use domain::time::Timestamp;
use serde_json::value::RawValue;

/// An event without its tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id: the idempotency key.
    pub event_id: EventId,
    /// The tenant's own id of the user.
    pub user_id: UserRef,
    /// What happened.
    pub action: ActionCode,
    /// When.
    pub event_ts: Timestamp,
    /// A JSON object as text, numbers as they were written.
    pub payload: String,
}

/// The event as `POST /api/v1/events` takes it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    event_id: &'a EventId,
    user_id: &'a UserRef,
    action: &'a ActionCode,
    event_ts: Timestamp,
    payload: &'a RawValue,
}

impl Event {
    /// As the REST API takes it. Errors: a payload that is not JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let payload: &RawValue = serde_json::from_str(&self.payload)?;
        serde_json::to_string(&Wire {
            event_id: &self.event_id,
            user_id: &self.user_id,
            action: &self.action,
            event_ts: self.event_ts,
            payload,
        })
    }
}

//! Events as a test wants them.
#![expect(clippy::expect_used, reason = "a test wants to know at once")]

use domain::event::{ActionEvent, RecordKind};
use domain::id::TenantId;
use domain::payload::Payload;
use domain::time::Timestamp;
use engine::ports::NewRecord;

/// A `purchase` by `ada` at 2026-03-02T10:00:00Z with an empty payload.
#[derive(Clone, Debug)]
pub struct EventBuilder {
    event: ActionEvent,
    kind: RecordKind,
}

/// An event of a tenant with this id.
///
/// # Panics
/// When the id is not one, as the other methods do.
#[must_use]
pub fn event(tenant: TenantId, id: &str) -> EventBuilder {
    EventBuilder {
        event: ActionEvent {
            tenant_id: tenant,
            event_id: id.parse().expect("an event id"),
            user_id: "ada".parse().expect("a reference"),
            action: "purchase".parse().expect("an action"),
            event_ts: time("2026-03-02T10:00:00Z"),
            payload: "{}".into(),
        },
        kind: RecordKind::Live,
    }
}

/// A moment.
///
/// # Panics
/// When the text is none.
#[must_use]
pub fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

impl EventBuilder {
    /// By this user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.event.user_id = user.parse().expect("a reference");
        self
    }
    /// Of this action.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.event.action = action.parse().expect("an action");
        self
    }
    /// At this time.
    #[must_use]
    pub fn ts(mut self, ts: Timestamp) -> Self {
        self.event.event_ts = ts;
        self
    }
    /// With this payload, a JSON object.
    #[must_use]
    pub fn payload(mut self, payload: &str) -> Self {
        self.event.payload = payload.into();
        self
    }
    /// Taking part as this.
    #[must_use]
    pub fn kind(mut self, kind: RecordKind) -> Self {
        self.kind = kind;
        self
    }
    /// The event.
    #[must_use]
    pub fn build(self) -> ActionEvent {
        self.event
    }
    /// The event, offered to the log. The hash covers user, action, time and payload; a payload
    /// that cannot be read is hashed as an empty one.
    #[must_use]
    pub fn record(self) -> NewRecord {
        let Self { event, kind } = self;
        let (user, action) = (event.user_id.as_str(), event.action.as_str());
        let ts = event.event_ts.micros().to_be_bytes();
        let payload = Payload::parse(&event.payload).unwrap_or_default();
        let content_hash = payload.content_hash(&[user.as_bytes(), action.as_bytes(), &ts]);
        NewRecord { event, kind, content_hash }
    }
}

//! Records as they are taken from a log. A log that is kept in the store has admitted its events
//! when it took them; any other log takes whatever is sent to it, and then admission is part of
//! the decision: see [`crate::batch`] and `docs/adr/0011-two-kinds-of-log.md`.

use bytes::Bytes;
use domain::event::Record;
use domain::id::{EventKey, TenantId};
use domain::time::Timestamp;
use uuid::Uuid;

/// A record as it is taken from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Offset in its partition. Offsets rise; a log may leave some out.
    pub offset: i64,
    /// When the log took it, by the log's own clock.
    pub append_time: Timestamp,
    /// What this record looks like in the log; `None` where the log cannot be exchanged unnoticed.
    pub mark: Option<Mark>,
    /// What it is.
    pub body: Body,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An event that the log has admitted: its id is new, its tenant takes its kind, its append
    /// time follows that of its tenant's last one. Its row is there and only lacks its outcome.
    Admitted(Record),
    /// An event as somebody sent it. Whether it is admitted is decided with its batch.
    Offered(Offered),
    /// Bytes that are no event.
    Unreadable(Unreadable),
}

/// An event of a log outside the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// The event. Its append time is the log's; admission may set it forward.
    pub record: Record,
    /// Hash of what the tenant sent, see [`crate::ingest`]: the same id with another hash is
    /// refused.
    pub content_hash: [u8; 16],
    /// The record's value, byte by byte, in case it becomes a dead letter.
    pub raw: Bytes,
}

/// Bytes that are no event. They become a dead letter as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The record's value, byte by byte.
    pub raw: Bytes,
    /// What is wrong with it, in plain words.
    pub why: String,
    /// Whose it is, as far as its key tells.
    pub tenant: Option<TenantId>,
}

/// What tells a log from another one that has taken its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Id of the log: a topic that is made anew has another one.
    pub log: Uuid,
    /// CRC of a record's value: another one at the same offset means another history.
    pub check: u32,
}

impl Taken {
    /// A record of a log that has admitted it.
    pub fn admitted(record: Record) -> Self {
        let (offset, append_time) = (record.offset, record.append_time);
        Self { offset, append_time, mark: None, body: Body::Admitted(record) }
    }

    /// The event, if it is one.
    pub fn record(&self) -> Option<&Record> {
        match &self.body {
            Body::Admitted(record) | Body::Offered(Offered { record, .. }) => Some(record),
            Body::Unreadable(_) => None,
        }
    }

    /// What is to be admitted, if it is not yet.
    pub fn offered(&self) -> Option<&Offered> {
        match &self.body {
            Body::Offered(offered) => Some(offered),
            Body::Admitted(_) | Body::Unreadable(_) => None,
        }
    }
}

impl Offered {
    /// The key under which its id is kept.
    pub fn key(&self) -> (TenantId, EventKey) {
        (self.record.event.tenant_id, EventKey::of(&self.record.event.event_id))
    }
}

//! Ingestion: what comes from outside is checked, brought into its stored form and appended to the
//! log. What is in the log can be decided; whatever is wrong is told here, event by event.

use std::sync::Arc;

use domain::event::{ActionEvent, RecordKind, USER_UPDATED};
use domain::id::{ActionCode, EventId, TenantId, UserRef};
use domain::payload::{Payload, PayloadError, PayloadErrorKind, TEXT_BYTES_MAX};
use domain::shape::{Fault, FaultCode};
use domain::time::{SECOND_US, Timestamp};

use crate::crash::{self, CrashPoint};
use crate::metrics::Metrics;
use crate::ports::{Appended, Bus, Clock, IdGen, NewRecord, PortError};

/// Most events in one call.
pub const EVENTS_MAX: usize = 1000;
/// How far in the future an event may lie: clocks differ.
pub const FUTURE_MAX_US: i64 = 5 * 60 * SECOND_US;
/// Longest attributes of a user, as JSON text in bytes.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;

/// An event as it comes in.
#[derive(Clone, Debug)]
pub struct IncomingEvent {
    /// The tenant's own id: the idempotency key.
    pub event_id: EventId,
    /// The tenant's own id of the user.
    pub user_id: UserRef,
    /// What happened.
    pub action: ActionCode,
    /// When it happened; `None` = now.
    pub event_ts: Option<Timestamp>,
    /// A JSON object, as text.
    pub payload: String,
}

/// New attributes of a user.
#[derive(Clone, Debug)]
pub struct NewAttributes {
    /// The tenant's own id of the user.
    pub user_id: UserRef,
    /// As of when; `None` = now.
    pub event_ts: Option<Timestamp>,
    /// A JSON object, as text. It replaces what was there.
    pub attributes: String,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Ingested {
    /// In the log, durably.
    Accepted {
        /// Its offset.
        offset: i64,
    },
    /// The log had it already.
    Duplicate {
        /// Offset of the first one.
        offset: i64,
    },
    /// Refused; nothing of it is kept, but for a reused id its content as a dead letter.
    Rejected(Rejection),
}

impl Ingested {
    /// Its name on every wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "ACCEPTED",
            Self::Duplicate { .. } => "DUPLICATE",
            Self::Rejected(_) => "REJECTED",
        }
    }

    /// Where the event is in the log.
    pub fn offset(&self) -> Option<i64> {
        match self {
            Self::Accepted { offset } | Self::Duplicate { offset } => Some(*offset),
            Self::Rejected(_) => None,
        }
    }
}

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Something in it; the pointer is relative to the event.
    #[error("{0}")]
    Faulty(Fault),
    /// Its id stands for other content.
    #[error(
        "the event id was used before for other content; give each event its own id (what was \
         sent is kept as a dead letter)"
    )]
    IdReused,
    /// The tenant takes events of another kind.
    #[error("{}", match .0 {
        RecordKind::Replay => "the tenant is not in replay; start one first",
        RecordKind::Live | RecordKind::History =>
            "the tenant replays its past and takes no live events; end the replay first",
    })]
    WrongMode(RecordKind),
    /// No such tenant, or it is suspended.
    #[error("there is no such tenant, or it is suspended")]
    NoTenant,
}

impl Rejection {
    /// A stable code. Programs may decide on it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Faulty(_) => "INVALID",
            Self::IdReused => "ID_REUSED",
            Self::WrongMode(_) => "WRONG_MODE",
            Self::NoTenant => "NO_TENANT",
        }
    }
}

/// Why a call failed as a whole. Then nothing is known about its events: send them again, what was
/// accepted comes back as a duplicate.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// More than [`EVENTS_MAX`].
    #[error("{0} events in one call, at most {EVENTS_MAX} are allowed; send them in parts")]
    TooMany(usize),
    /// The log failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Accepts events.
pub struct Ingest {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    metrics: Metrics,
}

impl Ingest {
    /// Over a log.
    pub fn new(
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        metrics: Metrics,
    ) -> Self {
        Self { bus, clock, ids, metrics }
    }

    /// Checks events and appends the good ones, in their order. One result for each, in order;
    /// when it returns, all that are accepted are durable. Errors: [`IngestError`].
    pub async fn accept(
        &self,
        tenant: TenantId,
        kind: RecordKind,
        events: Vec<IncomingEvent>,
    ) -> Result<Vec<Ingested>, IngestError> {
        if events.len() > EVENTS_MAX {
            return Err(IngestError::TooMany(events.len()));
        }
        let now = self.clock.now();
        let check = |event: IncomingEvent| {
            if event.action.is_reserved() {
                return Err(reserved(&event.action));
            }
            checked(tenant, kind, event, now)
        };
        self.append(events.into_iter().map(check).collect()).await
    }

    /// Sets a user's attributes, by an event like any other: nothing decides on data from outside
    /// the log. Returns the id of that event too, unless it was faulty. Errors: [`IngestError`].
    pub async fn put_user_attributes(
        &self,
        tenant: TenantId,
        kind: RecordKind,
        new: NewAttributes,
    ) -> Result<(Option<EventId>, Ingested), IngestError> {
        let record = self.attributes_record(tenant, kind, new);
        let id = record.as_ref().ok().map(|record| record.event.event_id.clone());
        let mut results = self.append(vec![record]).await?;
        // Invariant: a result for each event.
        Ok((id, results.pop().unwrap_or(Ingested::Rejected(Rejection::NoTenant))))
    }

    fn attributes_record(
        &self,
        tenant: TenantId,
        kind: RecordKind,
        new: NewAttributes,
    ) -> Result<NewRecord, Fault> {
        if new.attributes.len() > ATTRIBUTES_BYTES_MAX {
            let bytes = new.attributes.len();
            let detail = format!("has {bytes} bytes of JSON, at most {ATTRIBUTES_BYTES_MAX} fit");
            return Err(Fault::new("/attributes", FaultCode::TooLong, detail)
                .hint("keep what rules ask for"));
        }
        let known = |e: domain::id::IdError| Fault::new("", FaultCode::Syntax, e.to_string());
        let event = IncomingEvent {
            event_id: EventId::new(&format!("{USER_UPDATED}:{}", self.ids.uuid()))
                .map_err(known)?,
            user_id: new.user_id,
            action: ActionCode::new(USER_UPDATED).map_err(known)?,
            event_ts: new.event_ts,
            payload: new.attributes,
        };
        checked(tenant, kind, event, self.clock.now()).map_err(|mut fault| {
            if let Some(rest) = fault.pointer.strip_prefix("/payload") {
                fault.pointer = format!("/attributes{rest}");
            }
            fault
        })
    }

    /// Appends what is good and puts the results back where their events stood.
    async fn append(
        &self,
        checked: Vec<Result<NewRecord, Fault>>,
    ) -> Result<Vec<Ingested>, IngestError> {
        let mut records = Vec::with_capacity(checked.len());
        let mut results: Vec<Result<RecordKind, Rejection>> = Vec::with_capacity(checked.len());
        for one in checked {
            results.push(one.map_err(Rejection::Faulty).map(|record| {
                let kind = record.kind;
                records.push(record);
                kind
            }));
        }
        let mut appended = match records.is_empty() {
            true => Vec::new(),
            false => self.bus.append(records).await?,
        }
        .into_iter();
        crash::point(CrashPoint::AfterAppend);
        let ingested = results.into_iter().map(|one| {
            let kind = match one {
                Ok(kind) => kind,
                Err(rejection) => return Ingested::Rejected(rejection),
            };
            match appended.next() {
                Some(Appended::Accepted { offset }) => Ingested::Accepted { offset },
                Some(Appended::Duplicate { offset }) => Ingested::Duplicate { offset },
                Some(Appended::IdReused) => Ingested::Rejected(Rejection::IdReused),
                Some(Appended::WrongMode) => Ingested::Rejected(Rejection::WrongMode(kind)),
                // Invariant of the port: a result for each record.
                Some(Appended::NoTenant) | None => Ingested::Rejected(Rejection::NoTenant),
            }
        });
        let ingested: Vec<_> = ingested.collect();
        ingested.iter().for_each(|one| self.metrics.offered(one.as_str()));
        Ok(ingested)
    }
}

fn reserved(action: &ActionCode) -> Fault {
    let detail = format!("{action} is an action of the platform itself");
    Fault::new("/action", FaultCode::NotAllowed, detail).hint(
        "codes that begin with $ are reserved; to set attributes use PUT /api/v1/users/{userId}",
    )
}

/// An event in its stored form.
fn checked(
    tenant: TenantId,
    kind: RecordKind,
    event: IncomingEvent,
    now: Timestamp,
) -> Result<NewRecord, Fault> {
    let IncomingEvent { event_id, user_id, action, event_ts: given, payload } = event;
    if given.is_some_and(|ts| ts > now.plus_micros(FUTURE_MAX_US)) {
        return Err(Fault::new("/eventTs", FaultCode::OutOfRange, "lies in the future")
            .hint(format!("the clock here says {now}; at most 5 minutes ahead are accepted")));
    }
    let parsed = Payload::parse(&payload).map_err(payload_fault)?;
    let mut compact = String::with_capacity(payload.len());
    parsed.write_compact(&mut compact);
    // Writing exponents out makes a text longer; what is stored must be readable again.
    if compact.len() > TEXT_BYTES_MAX {
        let kind = PayloadErrorKind::TooLong(compact.len());
        return Err(payload_fault(PayloadError { pointer: String::new(), offset: 0, kind }));
    }
    let content_hash = content_hash(&parsed, &user_id, &action, given);
    let event = ActionEvent {
        tenant_id: tenant,
        event_id,
        user_id,
        action,
        event_ts: given.unwrap_or(now),
        payload: compact.into(),
    };
    Ok(NewRecord { event, kind, content_hash })
}

/// Hash of what a tenant sent: the same event id with another hash is refused. A time that the
/// server fills in is no part of it (`None`): a retry gets another one.
pub fn content_hash(
    payload: &Payload<'_>,
    user: &UserRef,
    action: &ActionCode,
    given: Option<Timestamp>,
) -> [u8; 16] {
    let ts = given.map_or([0; 8], |ts| ts.micros().to_be_bytes());
    let ts = if given.is_some() { &ts[..] } else { &[] };
    payload.content_hash(&[user.as_str().as_bytes(), action.as_str().as_bytes(), ts])
}

fn payload_fault(error: PayloadError) -> Fault {
    let code = match &error.kind {
        PayloadErrorKind::TooLong(_) | PayloadErrorKind::StringTooLong => FaultCode::TooLong,
        PayloadErrorKind::TooDeep => FaultCode::TooDeep,
        PayloadErrorKind::NotAnObject(_) => FaultCode::WrongType,
        PayloadErrorKind::Number(_) => FaultCode::Inexact,
        PayloadErrorKind::DuplicateKey(_) => FaultCode::Duplicate,
        _ => FaultCode::Syntax,
    };
    let pointer = format!("/payload{}", error.pointer);
    Fault::new(&pointer, code, format!("cannot be read: {}", error.kind))
}

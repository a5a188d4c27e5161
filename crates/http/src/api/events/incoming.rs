//! Reading events. Their payloads go to the log as the text they came in, so that decimals stay
//! exact; the rest is read as any other document.

use std::borrow::Cow;
use std::fmt;

use domain::id::{ActionCode, EventId, UserRef};
use domain::shape::{self, Described, Fault, FaultCode, Faults, ReadError, Reader, Schemas, Shape};
use domain::time::Timestamp;
use engine::ingest::IncomingEvent;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

domain::shape! {
    /// An event: something that a user did.
    pub struct NewEvent {
        /// The tenant's own id of it. The same id is the same event, for ever. May be left out where
        /// the request has an `Idempotency-Key`.
        "eventId" event_id: Option<EventId>,
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
        /// What happened.
        "action" action: ActionCode,
        /// When it happened; left out, now.
        "eventTs" event_ts: Option<Timestamp>,
        /// What else there is to say about it. Numbers are read as exact decimals.
        "payload" payload: PayloadText = PayloadText::default(),
    }
}

/// A payload as the text it came in.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct PayloadText(String);

impl Default for PayloadText {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}
impl Described for PayloadText {
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "object", "additionalProperties": true })
    }
}
impl Shape for PayloadText {
    /// Stands in for the text, which [`read_event`] puts in its place.
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        if value.is_object() { Some(Self::default()) } else { at.wrong_type("an object", value) }
    }
}

/// The members of an object in the order of the text, each as its own text.
pub(super) struct Members<'t>(pub(super) Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(5);
                while let Some(name) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

/// Reads an event. Errors: all that is wrong with it but for its payload, which ingestion reads.
pub fn read_event(event: &RawValue) -> Result<(Option<EventId>, Unnamed), Faults> {
    let Ok(members) = serde_json::from_str::<Members<'_>>(event.get()) else {
        let text = event.get().chars().take(20).collect::<String>();
        let detail = format!("must be an object, not {text}");
        return Err(Faults::one(Fault::new("", FaultCode::WrongType, detail)));
    };
    let mut faults = Faults::default();
    let mut document = Map::new();
    let mut payload = None;
    for (name, text) in members.0 {
        if document.contains_key(name.as_ref()) {
            let at = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            faults.push(Fault::new(&at, FaultCode::Duplicate, "stands twice in its object"));
            continue;
        }
        let value = match text.get() {
            object if name == "payload" && object.starts_with('{') => {
                payload = Some(object.to_owned());
                Value::Object(Map::new())
            }
            other => match shape::parse(other.as_bytes()) {
                Ok(value) => value,
                Err(error) => {
                    faults.merge(as_faults(error).under(&format!("/{name}")));
                    continue;
                }
            },
        };
        document.insert(name.into_owned(), value);
    }
    match (shape::read::<NewEvent>(&Value::Object(document)), faults.is_empty()) {
        (Ok(event), true) => {
            let payload = payload.unwrap_or(event.payload.0);
            let (user_id, action, event_ts) = (event.user_id, event.action, event.event_ts);
            Ok((event.event_id, Unnamed { user_id, action, event_ts, payload }))
        }
        (Ok(_), false) => Err(faults),
        (Err(more), _) => {
            faults.merge(more);
            Err(faults)
        }
    }
}

/// An event without its id.
#[derive(Clone, Debug)]
pub struct Unnamed {
    user_id: UserRef,
    action: ActionCode,
    event_ts: Option<Timestamp>,
    payload: String,
}

impl Unnamed {
    /// The event with its id.
    pub fn named(self, event_id: EventId) -> IncomingEvent {
        let Self { user_id, action, event_ts, payload } = self;
        IncomingEvent { event_id, user_id, action, event_ts, payload }
    }
}

/// Nested too deep is the only way in which a text that is JSON cannot be parsed.
fn as_faults(error: ReadError) -> Faults {
    match error {
        ReadError::Faults(faults) => faults,
        ReadError::Json(error) => Faults::one(Fault::new("", FaultCode::TooDeep, error.problem)),
    }
}

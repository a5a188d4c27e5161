//! `POST /api/v1/events:batch`: up to a thousand events, each with its own result.

use domain::id::EventId;
use domain::shape::schema::ObjectSchema;
use domain::shape::{Described, Fault, FaultCode, Faults, Schemas};
use engine::ingest::{EVENTS_MAX, IncomingEvent, Ingested};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::incoming::Members;
use super::{NewEvent, Receipt, SendAs, read_event};
use crate::call::{Call, Okay, Query, Reply, Take, check_json, malformed};
use crate::openapi::Operation;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::route::Doc;

/// Largest body, bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// The events of a batch, good and bad, in their order.
pub struct Batch(Vec<Item>);

/// An event, with its id as far as it can be read.
struct Item {
    event_id: Option<EventId>,
    event: Result<IncomingEvent, Problem>,
}

impl Take for Batch {
    fn describe(operation: &mut Operation, defs: &mut Schemas) {
        let events = json!({
            "type": "array",
            "items": NewEvent::schema(defs),
            "minItems": 1,
            "maxItems": EVENTS_MAX,
        });
        let schema = ObjectSchema::new("Events, in the order in which they happened.");
        operation.takes(schema.required("events", "The events.", events).finish());
    }

    fn take(call: &Call) -> Result<Self, Problem> {
        check_json(call)?;
        let document: Members<'_> = serde_json::from_slice(&call.sent.body).map_err(malformed)?;
        let mut events = None;
        let mut faults = Faults::default();
        for (name, text) in &document.0 {
            match name.as_ref() {
                "events" if events.is_none() => events = Some(*text),
                "events" => {
                    faults.push(Fault::new("/events", FaultCode::Duplicate, "stands twice"))
                }
                other => faults.push(
                    Fault::new(
                        &format!("/{other}"),
                        FaultCode::UnknownField,
                        "is not a known field",
                    )
                    .hint("the body is {\"events\": […]}"),
                ),
            }
        }
        let Some(events) = events else {
            faults.push(Fault::new("/events", FaultCode::Required, "is required"));
            return Err(faults.into());
        };
        if !faults.is_empty() {
            return Err(faults.into());
        }
        let refuse = |code, detail: String| Err(Problem::invalid_field("/events", code, detail));
        let Ok(events) = serde_json::from_str::<Vec<&RawValue>>(events.get()) else {
            return refuse(FaultCode::WrongType, "must be a list".to_owned());
        };
        match events.len() {
            0 => refuse(FaultCode::TooShort, "must not be empty".to_owned()),
            1..=EVENTS_MAX => {
                // Before the events are read: a flood that is refused should cost little.
                call.take_events(events.len())?;
                Ok(Self(events.into_iter().map(Item::read).collect()))
            }
            count => {
                let detail = format!("has {count} items, at most {EVENTS_MAX} are allowed");
                refuse(FaultCode::TooLong, detail)
            }
        }
    }
}

impl Item {
    fn read(text: &RawValue) -> Self {
        match read_event(text) {
            Ok((Some(id), event)) => {
                Self { event_id: Some(id.clone()), event: Ok(event.named(id)) }
            }
            Ok((None, _)) => {
                let problem = Problem::invalid_field(
                    "/eventId",
                    FaultCode::Required,
                    "is required in a batch",
                );
                Self { event_id: None, event: Err(problem) }
            }
            Err(faults) => Self { event_id: id_of(text), event: Err(faults.into()) },
        }
    }
}

/// The id of an event that is otherwise bad, so that its sender can find it.
fn id_of(text: &RawValue) -> Option<EventId> {
    let members: Members<'_> = serde_json::from_str(text.get()).ok()?;
    let (_, id) = members.0.into_iter().find(|(name, _)| name == "eventId")?;
    EventId::new(&serde_json::from_str::<String>(id.get()).ok()?).ok()
}

/// The result of one event. `problem` stands there only when it was refused.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResult {
    event_id: Option<EventId>,
    status: Receipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Map<String, Value>>,
}

impl Described for BatchResult {
    fn schema(defs: &mut Schemas) -> Value {
        defs.define_output::<Self>("BatchResult", |defs| {
            let problem = ProblemDocument::schema(defs);
            ObjectSchema::new("What became of one event of a batch.")
                .required(
                    "eventId",
                    "The tenant's own id of the event; null when it cannot be read.",
                    json!({ "type": ["string", "null"] }),
                )
                .required("status", "What became of it.", Receipt::schema(defs))
                .optional("problem", "Why it was refused.", problem)
                .finish()
        })
    }
}

domain::view! {
    /// What became of the events of a batch.
    pub struct BatchReceipt {
        /// A result for each event, in the order of the request.
        "results" results: Vec<BatchResult>,
    }
}

impl BatchResult {
    fn of(event_id: Option<EventId>, became: Result<&Ingested, Problem>) -> Self {
        let (status, problem) = match became {
            Ok(Ingested::Rejected(why)) => (Receipt::Rejected, Some(why.clone().into())),
            Ok(ingested) => (Receipt::from(ingested), None),
            Err(problem) => (Receipt::Rejected, Some(problem)),
        };
        Self { event_id, status, problem: problem.map(|problem: Problem| problem.brief()) }
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "sendEvents",
    summary: "Send up to 1000 events",
    about: "At most 1 MiB. Each event has its own result: one that is refused does not harm the \
            others. All that are accepted are durable. A batch beyond the tenant's rate is refused as \
            a whole.",
    problems: &[Code::InvalidDocument, Code::TenantRateLimited],
};

/// Takes them.
pub async fn handle(
    call: Call,
    Query(query): Query<SendAs>,
    Batch(items): Batch,
) -> Result<Okay<BatchReceipt>, Problem> {
    let tenant = call.tenant()?;
    let mut good = Vec::with_capacity(items.len());
    let mut checked = Vec::with_capacity(items.len());
    for item in items {
        let became = item.event.map(|event| good.push(event));
        checked.push((item.event_id, became));
    }
    let ingested = call.app.ingest.accept(tenant, query.how.into(), good).await?;
    let mut ingested = ingested.iter();
    let results = checked.into_iter().map(|(event_id, became)| {
        let became = became.and_then(|()| {
            ingested.next().ok_or_else(|| Problem::internal("ingestion gave no result"))
        });
        BatchResult::of(event_id, became)
    });
    Ok(Reply::new(BatchReceipt { results: results.collect() }))
}

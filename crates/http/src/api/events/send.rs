//! `POST /api/v1/events`: one event.

use axum::http::{HeaderName, StatusCode};
use domain::id::{EventId, TenantId};
use domain::shape::{Described as _, FaultCode, Schemas};
use engine::ingest::{IncomingEvent, Ingested};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Awaited, NewEvent, Receipt, SendAs, decided, read_event, wait_wanted};
use crate::api::decisions::explain::{EventDecision, explain};
use crate::call::{Accepted, Call, Query, Reply, Take, check_json, malformed};
use crate::openapi::Operation;
use crate::problem::{Code, Problem};
use crate::route::Doc;

/// An event with its id.
pub struct EventBody(IncomingEvent);

impl Take for EventBody {
    fn describe(operation: &mut Operation, defs: &mut Schemas) {
        operation.takes(NewEvent::schema(defs));
    }
    fn take(call: &Call) -> Result<Self, Problem> {
        check_json(call)?;
        let event: &RawValue = serde_json::from_slice(&call.sent.body).map_err(malformed)?;
        let (id, event) = read_event(event)?;
        let id = id.or_else(|| id_of_request(call)).ok_or_else(|| {
            let detail = "is required, unless the request has an Idempotency-Key";
            Problem::invalid_field("/eventId", FaultCode::Required, detail)
        })?;
        Ok(Self(event.named(id)))
    }
}

/// An id for an event that has none of its own, from the idempotency key: the same for each try.
fn id_of_request(call: &Call) -> Option<EventId> {
    let key = call.sent.headers.get("idempotency-key")?;
    let hash = Sha256::digest(key.as_bytes());
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    EventId::new(&format!("request-{hash}")).ok()
}

domain::view! {
    /// What became of an event that was sent.
    pub struct EventReceipt {
        /// The tenant's own id of the event.
        "eventId" event_id: EventId,
        /// What became of it.
        "status" status: Receipt,
        /// What was decided; only when the caller waited for it, with `Prefer: wait=N`.
        "decision" decision: Option<EventDecision>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "sendEvent",
    summary: "Send an event",
    about: "Answered with 202 once it is durable. With `Prefer: wait=N` (at most 30 seconds) the \
            answer is 200 with the decision, or 202 when it was not made in time. An event that was \
            sent before is a DUPLICATE and changes nothing.",
    problems: &[Code::IdReused, Code::WrongMode, Code::TenantRateLimited],
};

/// Takes it.
pub async fn handle(
    call: Call,
    Query(query): Query<SendAs>,
    EventBody(event): EventBody,
) -> Result<Accepted<EventReceipt>, Problem> {
    let tenant = call.take_events(1)?;
    let event_id = event.event_id.clone();
    let mut results = call.app.ingest.accept(tenant, query.how.into(), vec![event]).await?;
    let result = results.pop().ok_or_else(|| Problem::internal("ingestion gave no result"))?;
    let status = Receipt::from(&result);
    let offset = result.offset();
    if let Ingested::Rejected(why) = result {
        return Err(why.into());
    }
    let awaited = offset.map(|offset| Awaited { tenant, event: event_id.clone(), offset });
    let decision = match wait_wanted(&call.sent.headers).zip(awaited) {
        Some((wait, awaited)) if decided(&call.app, &awaited, wait).await => {
            decision(&call, tenant, event_id.clone()).await?
        }
        _ => None,
    };
    let waited = decision.is_some();
    let reply = Reply::new(EventReceipt { event_id, status, decision });
    if !waited {
        return Ok(reply);
    }
    let applied = HeaderName::from_static("preference-applied");
    Ok(reply.status(StatusCode::OK).header(applied, "wait".to_owned()))
}

async fn decision(
    call: &Call,
    tenant: TenantId,
    event: EventId,
) -> Result<Option<EventDecision>, Problem> {
    let decision = call.read(move |sql| explain(sql, tenant, &event)).await?;
    Ok(decision.filter(|decision| decision.decided))
}

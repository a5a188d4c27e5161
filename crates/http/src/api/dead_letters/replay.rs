//! `POST /api/v1/dead-letters/{deadLetterId}:replay`: sends a dead letter's event again.

use domain::id::EventId;
use engine::ingest::Ingested;
use serde_json::value::RawValue;
use store::control::dead_letters;

use super::OneDeadLetter;
use crate::api::events::{Receipt, read_event};
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// How to send it.
    pub struct ReplayDeadLetter {
        /// An id of its own, when its old one was used for another event.
        "eventId" event_id: Option<EventId>,
    }
}

domain::view! {
    /// What became of it.
    pub struct ReplayReceipt {
        /// The id under which it was sent.
        "eventId" event_id: EventId,
        /// What became of it.
        "status" status: Receipt,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "replayDeadLetter",
    summary: "Send a dead letter's event again",
    about: "For one whose id was used before, with a new id. One that holds no whole event cannot be \
            sent again: send the corrected event instead.",
    problems: &[Code::InvalidState, Code::IdReused, Code::WrongMode, Code::TenantRateLimited],
};

/// Sends it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneDeadLetter>,
    Document(wanted): Document<ReplayDeadLetter>,
) -> Result<Okay<ReplayReceipt>, Problem> {
    let (tenant, id) = (call.tenant()?, one.dead_letter_id);
    let row = call.read(move |sql| dead_letters::get(sql, tenant, id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("dead letter"))?;
    let event: Result<&RawValue, _> = serde_json::from_slice(&row.raw);
    let Some((old_id, event)) = event.ok().and_then(|event| read_event(event).ok()) else {
        let detail = "It holds no whole event; send the corrected event to POST /api/v1/events.";
        return Err(Problem::new(Code::InvalidState, detail));
    };
    let event_id = wanted.event_id.or(old_id).ok_or_else(|| {
        Problem::new(Code::InvalidState, "It holds no event id; give one in the request.")
    })?;
    let event = event.named(event_id.clone());
    let kind = domain::event::RecordKind::Live;
    call.take_events(1)?;
    let mut results = call.app.ingest.accept(tenant, kind, vec![event]).await?;
    let result = results.pop().ok_or_else(|| Problem::internal("ingestion gave no result"))?;
    let status = Receipt::from(&result);
    if let Ingested::Rejected(why) = result {
        return Err(why.into());
    }
    call.write(move |sql, change| {
        dead_letters::mark_replayed(sql, tenant, id, change.at)?;
        Ok(Reply::new(ReplayReceipt { event_id, status }))
    })
    .await
}

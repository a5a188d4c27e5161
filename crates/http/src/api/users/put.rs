//! `PUT /api/v1/users/{userId}`: sets a user's attributes, by an event like any other.

use axum::http::StatusCode;
use domain::id::UserRef;
use domain::payload::Payload;
use domain::time::Timestamp;
use engine::ingest::{Ingested, NewAttributes};

use super::OneUser;
use crate::api::events::{Awaited, Receipt, SendAs, decided, wait_wanted};
use crate::call::{Accepted, Call, Document, Path, Query, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// What is known of a user.
    pub struct PutUser {
        /// All attributes; they replace those that are there.
        "attributes" attributes: Payload<'static>,
        /// As of when; left out, now.
        "eventTs" event_ts: Option<Timestamp>,
    }
}

domain::view! {
    /// What became of the attributes.
    pub struct UserReceipt {
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
        /// What became of them.
        "status" status: Receipt,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "putUser",
    summary: "Set a user's attributes",
    about: "Goes through the log as an event, so decisions before and after it are told apart. \
            Answered with 202 once it is durable, with `Prefer: wait=N` with 200 once it is in force.",
    problems: &[Code::WrongMode, Code::TenantRateLimited],
};

/// Sets them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneUser>,
    Query(query): Query<SendAs>,
    Document(new): Document<PutUser>,
) -> Result<Accepted<UserReceipt>, Problem> {
    let tenant = call.take_events(1)?;
    let attributes = new.attributes.to_string();
    let new = NewAttributes { user_id: one.user_id.clone(), event_ts: new.event_ts, attributes };
    let put = call.app.ingest.put_user_attributes(tenant, query.how.into(), new).await?;
    let (event, result) = put;
    let (status, offset) = (Receipt::from(&result), result.offset());
    if let Ingested::Rejected(why) = result {
        return Err(why.into());
    }
    let reply = Reply::new(UserReceipt { user_id: one.user_id, status });
    let awaited = event.zip(offset).map(|(event, offset)| Awaited { tenant, event, offset });
    match wait_wanted(&call.sent.headers).zip(awaited) {
        Some((wait, awaited)) if decided(&call.app, &awaited, wait).await => {
            Ok(reply.status(StatusCode::OK))
        }
        _ => Ok(reply),
    }
}

//! `GET /ws`: from a request to a connection.

use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts as _, Request, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use engine::hub::Dialect;
use serde_json::json;

use super::access::{Credential, Refused, credential, subprotocols};
use super::connection::{self, Opening};
use super::refusal::{self, Asker};
use super::{Close, Push};
use crate::openapi::Operation;
use crate::problem::{Code, Part, Problem};
use crate::route::{Connect, Doc};

/// Subprotocol with `seq`, resume and acknowledgements.
const V1: &str = "incent.v1";
/// Subprotocol of plain clients that have to offer one, because their token travels beside it.
const PLAIN: &str = "incent.plain";

/// Read buffer of a connection, bytes. The default of 128 KiB is taken per connection at once, which
/// is most of what an idle one would cost.
const READ_BUFFER: usize = 512;
/// Bytes gathered before they are written: some 50 frames. The buffer grows only as it is used.
const WRITE_BUFFER: usize = 16 * 1024;

/// What it does.
pub(crate) const DOC: Doc = Doc {
    id: "connectWebSocket",
    summary: "Push a user's incentives over a WebSocket",
    about: "The protocol is in docs/push.md. A client that can set no header shows its token among \
            the subprotocols, as `bearer.<jwt>`, or in its first message.",
    problems: &[Code::Forbidden, Code::UpgradeRequired],
};

/// How it is opened.
pub(crate) const CONNECT: Connect =
    Connect { open: |push, request| Box::pin(upgrade(push, request)), describe };

fn describe(operation: &mut Operation) {
    let after_seq = json!({
        "type": "integer", "minimum": 0,
        "description": "Send everything after this `seq` first (`incent.v1`, or a plain client).",
    });
    operation.parameters("query", json!({ "properties": { "afterSeq": after_seq } }));
    let protocols = json!({
        "type": "string",
        "description": "`incent.v1` or `incent.plain`, and `bearer.<jwt>` beside it.",
    });
    operation
        .parameters("header", json!({ "properties": { "Sec-WebSocket-Protocol": protocols } }));
    operation.switches_protocol("WebSocket");
}

/// Handles `GET /ws`.
async fn upgrade(push: Arc<Push>, request: Request) -> Response {
    let asker = Asker::of(&request);
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    match prepare(push, &parts, upgrade).await {
        Ok(response) => response,
        Err(problem) => asker.refuse(problem),
    }
}

async fn prepare(
    push: Arc<Push>,
    parts: &Parts,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let headers = &parts.headers;
    if !push.settings.origins.allow(headers) {
        return Err(refusal::foreign_page());
    }
    let credential = credential(headers)?;
    if credential == Credential::ToCome && upgrade.is_err() {
        // There will be no connection on which it could come.
        return Err(Refused::Invalid.into());
    }
    let after = after_seq(parts)?;
    let (dialect, selected) = negotiate(headers);
    let opening = match credential {
        Credential::Header(token) => {
            Opening::Admitted(push.admit(token, dialect).await.map(Box::new)?)
        }
        Credential::Subprotocol(token) => match push.admit(token, dialect).await {
            Ok(admitted) => Opening::Admitted(Box::new(admitted)),
            Err(close) => Opening::Refused(close),
        },
        Credential::ToCome => {
            let slot = push.unauthenticated.clone().try_acquire_owned();
            Opening::ToCome(dialect, slot.map_err(|_| Close::Full)?)
        }
    };
    let mut upgrade = upgrade.map_err(|_| refusal::no_upgrade())?;
    if let Some(selected) = selected {
        upgrade.set_selected_protocol(HeaderValue::from_static(selected));
    }
    let bytes = push.settings.message_bytes;
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(bytes)
        .max_frame_size(bytes)
        .on_upgrade(move |socket| connection::serve(socket, push, opening, after)))
}

/// `?afterSeq=`: go on after this incentive. Other parameters mean nothing here.
pub(super) fn after_seq(parts: &Parts) -> Result<Option<u64>, Problem> {
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix("afterSeq="));
    match (values.next().map(str::parse), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(after)), None) => Ok(Some(after)),
        _ => Err(refusal::bad_cursor(Part::Query, "afterSeq")),
    }
}

/// The dialect, and the subprotocol to answer with. A token among the subprotocols is never
/// repeated in the answer.
fn negotiate(headers: &HeaderMap) -> (Dialect, Option<&'static str>) {
    if subprotocols(headers).any(|one| one == V1) {
        (Dialect::V1, Some(V1))
    } else if subprotocols(headers).any(|one| one == PLAIN) {
        (Dialect::Plain, Some(PLAIN))
    } else {
        (Dialect::Plain, None)
    }
}

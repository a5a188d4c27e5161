//! `GET /ws`: from a request to a connection.

use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use engine::hub::Dialect;
use serde::Deserialize;

use super::access::{Credential, credential, subprotocols};
use super::connection;
use super::refusal::Refusal;
use super::{Close, Push};

/// Subprotocol with `seq`, resume and acknowledgements.
const V1: &str = "incent.v1";
/// Subprotocol of plain clients that have to offer one, because their token travels beside it.
const PLAIN: &str = "incent.plain";

/// Read buffer of a connection, bytes. The default of 128 KiB is taken per connection at once, which
/// is most of what an idle one would cost.
const READ_BUFFER: usize = 512;
/// Bytes gathered before they are written; the buffer grows only as it is used.
const WRITE_BUFFER: usize = 8 * 1024;

/// The query of `/ws` and `/sse`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cursor {
    /// Go on after this incentive.
    pub(super) after_seq: Option<u64>,
}

/// Handles `GET /ws`.
pub(super) async fn upgrade(
    State(push): State<Arc<Push>>,
    headers: HeaderMap,
    cursor: Result<Query<Cursor>, QueryRejection>,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match prepare(push, &headers, cursor, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(),
    }
}

async fn prepare(
    push: Arc<Push>,
    headers: &HeaderMap,
    cursor: Result<Query<Cursor>, QueryRejection>,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    if !push.settings.origins.allow(headers) {
        return Err(Refusal::Origin);
    }
    let credential = credential(headers).map_err(Close::from)?;
    let after = cursor.map_err(|_| Refusal::Cursor)?.0.after_seq;
    let (dialect, selected) = negotiate(headers);
    let opening = match credential {
        Credential::Header(token) => {
            connection::Opening::Admitted(push.admit(token, dialect).await.map(Box::new)?)
        }
        Credential::Subprotocol(token) => match push.admit(token, dialect).await {
            Ok(admitted) => connection::Opening::Admitted(Box::new(admitted)),
            Err(close) => connection::Opening::Refused(close),
        },
        Credential::ToCome => {
            let slot = push.unauthenticated.clone().try_acquire_owned();
            connection::Opening::ToCome(dialect, slot.map_err(|_| Close::Full)?)
        }
    };
    let mut request = request.map_err(|_| Refusal::NoUpgrade)?;
    if let Some(selected) = selected {
        request.set_selected_protocol(HeaderValue::from_static(selected));
    }
    let bytes = push.settings.message_bytes;
    Ok(request
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(bytes)
        .max_frame_size(bytes)
        .on_upgrade(move |socket| connection::serve(socket, push, opening, after)))
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

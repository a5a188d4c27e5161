//! `GET /ws`: from a request to a connection.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use engine::hub::Dialect;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::access::{Credential, Refused, credential, subprotocols};
use super::connection::{self, Opening};
use super::refusal::{self, Asker};
use super::wire::Wire;
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
    let handshake = Handshake::of(&mut parts);
    match prepare(push, &parts, handshake).await {
        Ok(response) => response,
        Err(problem) => asker.refuse(problem),
    }
}

/// What the client has asked for, by RFC 6455, 4.2.1.
struct Handshake {
    /// Proves to it that we have understood.
    accept: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl Handshake {
    /// `None` when the request does not ask for a WebSocket, or not as it must.
    fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let names = |name: HeaderName, wanted: &str| {
            let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
            values.flat_map(|v| v.split(',')).any(|one| one.trim().eq_ignore_ascii_case(wanted))
        };
        let asks = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && names(header::CONNECTION, "upgrade")
            && names(header::UPGRADE, "websocket")
            && names(header::SEC_WEBSOCKET_VERSION, "13");
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks)?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
        let on_upgrade = parts.extensions.remove()?;
        Some(Self { accept, on_upgrade })
    }

    fn answer(&self, selected: Option<&'static str>) -> Response {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(selected) = selected {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(selected));
        }
        response
    }
}

async fn prepare(
    push: Arc<Push>,
    parts: &Parts,
    handshake: Option<Handshake>,
) -> Result<Response, Problem> {
    let headers = &parts.headers;
    if !push.settings.origins.allow(headers) {
        return Err(refusal::foreign_page());
    }
    let credential = credential(headers)?;
    if credential == Credential::ToCome && handshake.is_none() {
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
    let handshake = handshake.ok_or_else(refusal::no_upgrade)?;
    let response = handshake.answer(selected);
    let bytes = Some(push.settings.message_bytes);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(bytes)
        .max_frame_size(bytes);
    tokio::spawn(async move {
        // A client that goes away before it is answered has no connection.
        let Ok(upgraded) = handshake.on_upgrade.await else { return };
        let wire = Wire::new(TokioIo::new(upgraded));
        let socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        connection::serve(socket, push, opening, after).await;
    });
    Ok(response)
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

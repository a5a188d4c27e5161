//! `GET /sse`: the same incentives with the same cursor as an event stream, for where WebSockets do
//! not get through.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use engine::hub::{Delivery, Dialect, Resumed, Session};
use futures_util::stream;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::access::bearer;
use super::message::ServerMessage;
use super::refusal::{self, Asker};
use super::upgrade::after_seq;
use super::{Admitted, Close, Push};
use crate::openapi::Operation;
use crate::problem::{Code, Part, Problem};
use crate::route::{Connect, Doc};

/// Header by which a client names the last event it has.
const LAST_EVENT_ID: &str = "last-event-id";
/// Frames written before the clock is looked at again.
const BATCH: usize = 64;
/// How long a client should wait before it reconnects, milliseconds.
const RETRY_MS: u32 = 2_000;

/// What it does.
pub(crate) const DOC: Doc = Doc {
    id: "streamEvents",
    summary: "Push a user's incentives as an event stream",
    about: "The same messages as over a WebSocket, for where those do not get through; see \
            docs/push.md.",
    problems: &[Code::Forbidden],
};

/// How it is opened.
pub(crate) const CONNECT: Connect =
    Connect { open: |push, request| Box::pin(stream(push, request)), describe };

fn describe(operation: &mut Operation) {
    let after_seq = json!({
        "type": "integer", "minimum": 0,
        "description": "Send everything after this `seq` first.",
    });
    operation.parameters("query", json!({ "properties": { "afterSeq": after_seq } }));
    let last_event_id = json!({
        "type": "integer", "minimum": 0,
        "description": "The id of the last event received; it wins over `afterSeq`.",
    });
    operation.parameters("header", json!({ "properties": { "Last-Event-ID": last_event_id } }));
    operation.streams("text/event-stream");
}

/// Handles `GET /sse`.
async fn stream(push: Arc<Push>, request: Request) -> Response {
    let asker = Asker::of(&request);
    let (parts, _) = request.into_parts();
    match prepare(push, &parts).await {
        Ok(response) => response,
        Err(problem) => asker.refuse(problem),
    }
}

async fn prepare(push: Arc<Push>, parts: &Parts) -> Result<Response, Problem> {
    if !push.settings.origins.allow(&parts.headers) {
        return Err(refusal::foreign_page());
    }
    let token = bearer(&parts.headers)?;
    let after = match parts.headers.get(LAST_EVENT_ID) {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.trim().parse().ok());
            Some(id.ok_or_else(|| refusal::bad_cursor(Part::Header, "Last-Event-ID"))?)
        }
        None => after_seq(parts)?,
    };
    let Admitted { user, mut session, last_seq, expires, .. } =
        push.admit(token, Dialect::V1).await?;
    let resumed = match after {
        Some(after) => Some(session.resume(after).await.map_err(Close::from)?),
        None => None,
    };
    session.release();
    let hello = ServerMessage::Hello {
        user_id: user.user.as_str(),
        last_seq,
        ping_seconds: push.settings.heartbeat_every.as_secs(),
        expires_at: user.expires_at,
    };
    let events = Events {
        first: Some(first(&hello, last_seq, resumed)),
        heartbeat: Instant::now() + push.settings.heartbeat_every,
        expires,
        session,
        push,
        given_at: Instant::now(),
        is_waiting: false,
        is_over: false,
    };
    let mut response = Response::new(Body::from_stream(stream::unfold(events, Events::next)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    Ok(response)
}

/// The beginning of a stream. It carries an id, so that a client which loses the connection before
/// its first incentive resumes from the right place as well.
fn first(hello: &ServerMessage<'_>, last_seq: u64, resumed: Option<Resumed>) -> String {
    let after = resumed.map_or(last_seq, |resumed| resumed.after);
    let mut text = format!("retry: {RETRY_MS}\n\nid: {after}\ndata: {}\n\n", hello.text());
    if let Some(Resumed { after, last }) = resumed {
        let resumed = ServerMessage::Resumed { after_seq: after, last_seq: last };
        text.push_str(&format!("data: {}\n\n", resumed.text()));
    }
    text
}

struct Events {
    first: Option<String>,
    heartbeat: Instant,
    expires: Instant,
    session: Session,
    push: Arc<Push>,
    /// When the last piece was given to the connection.
    given_at: Instant,
    /// True while it waits for something to give.
    is_waiting: bool,
    is_over: bool,
}

impl Events {
    /// The next piece of the stream; `None` after the last one.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        self.is_waiting = true;
        let piece = match self.first.take() {
            Some(first) => first.into(),
            None => self.piece().await,
        };
        self.is_waiting = false;
        self.given_at = Instant::now();
        self.heartbeat = Instant::now() + self.push.settings.heartbeat_every;
        Some((Ok(piece), self))
    }

    async fn piece(&mut self) -> Bytes {
        tokio::select! {
            biased;
            () = sleep_until(self.expires) => self.close(Close::TokenExpired),
            ready = self.session.ready() => match ready {
                Ok(()) => self.ready(),
                Err(end) => self.close(end.into()),
            },
            () = sleep_until(self.heartbeat) => Bytes::from_static(b":\n\n"),
        }
    }

    fn ready(&mut self) -> Bytes {
        let mut text = BytesMut::new();
        for _ in 0..BATCH {
            let Some(delivery) = self.session.next_ready() else { break };
            match delivery {
                Delivery::Incentive(frame) => {
                    text.extend_from_slice(format!("id: {}\ndata: ", frame.seq()).as_bytes());
                    frame.append_to(Dialect::V1, &mut text);
                }
                Delivery::Progress(progress) => {
                    text.extend_from_slice(b"data: ");
                    text.extend_from_slice(&progress.text());
                }
                Delivery::Hole { from, to } => {
                    let missing = ServerMessage::Missing { from_seq: from, to_seq: to };
                    text.extend_from_slice(b"data: ");
                    text.extend_from_slice(missing.text().as_bytes());
                }
            }
            text.extend_from_slice(b"\n\n");
        }
        text.freeze()
    }

    /// Why it ended, if it did so before we closed it: the client went away, or was given up because
    /// it did not take what it was given.
    fn cut_off(&self) -> Option<Close> {
        let is_slow =
            !self.is_waiting && self.given_at.elapsed() >= self.push.settings.write_within;
        is_slow.then_some(Close::SlowReader)
    }

    fn close(&mut self, close: Close) -> Bytes {
        self.is_over = true;
        self.push.metrics.ended(Some(close));
        let close = ServerMessage::Close { code: close.code(), reason: close.reason() };
        format!("data: {}\n\n", close.text()).into()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.is_over {
            self.push.metrics.ended(self.cut_off());
        }
    }
}

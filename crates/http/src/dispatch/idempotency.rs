//! `Idempotency-Key`: the same request sent twice has one effect and one answer, for a day.
//!
//! Most handlers keep their answer in the transaction of their effect ([`Call::write`]); for the
//! others, whose effect has an identity of its own (an event's id), it is kept right after.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use domain::id::TenantId;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use store::control::idempotency::{self, KeptAnswer, Repeat, RequestKey};

use crate::call::Call;
use crate::problem::{Code, Part, Problem};
use crate::route::Serve;

/// Longest key, bytes.
const KEY_BYTES_MAX: usize = 255;
/// Headers that are kept with an answer.
const KEPT_HEADERS: [&str; 2] = ["etag", "location"];

/// Keys whose first request is still running.
#[derive(Debug, Default)]
pub struct Running(Mutex<HashSet<RunningKey>>);

type RunningKey = (Option<TenantId>, String, String);

/// Takes a key out of the set when its request is done, or dropped.
struct Guard {
    call: Call,
    key: RunningKey,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let running = &self.call.app.shared().running.0;
        running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Runs the call's handler, unless its answer is known already.
pub async fn run(mut call: Call) -> Result<Response<Body>, Problem> {
    let Some(request) = request_key(&call)? else { return handle(call).await };
    let Some(_guard) = begin(&call, &request) else {
        let detail = "A request with this idempotency key is still running; wait for its answer.";
        return Err(Problem::new(Code::IdempotencyInProgress, detail).retry_after(1));
    };
    let asked = request.clone();
    match call.read(move |sql| idempotency::find(sql, &asked)).await? {
        Repeat::Answered(kept) => return replay(kept),
        Repeat::OtherBody => {
            let detail = "This idempotency key was used with another body; use a new one.";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        Repeat::First => {}
    }
    call.repeat = Some(request.clone());
    let response = handle(call.clone()).await?;
    if call.is_kept() || !response.status().is_success() {
        return Ok(response);
    }
    keep(&call, request, response).await
}

async fn handle(call: Call) -> Result<Response<Body>, Problem> {
    match &call.route.clone().serve {
        Serve::Call(handle) => handle.run(call).await,
        // The router gives these to push.
        Serve::Connection(_) => Err(Problem::internal("a connection was dispatched as a call")),
    }
}

fn request_key(call: &Call) -> Result<Option<RequestKey>, Problem> {
    if call.route.method != Method::POST {
        return Ok(None);
    }
    let Some(header) = call.sent.headers.get("idempotency-key") else { return Ok(None) };
    let key = header.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    let Some(key) = key else {
        let detail = "must be 1 to 255 printable ASCII characters";
        return Err(Problem::invalid_parameter(Part::Header, "Idempotency-Key", detail));
    };
    let mut route = format!("{} {}", call.route.method, call.route.path);
    for (_, value) in &call.sent.path {
        // Ids hold no control characters, so different paths give different texts.
        route.push('\n');
        route.push_str(value);
    }
    Ok(Some(RequestKey {
        tenant: call.caller.tenant(),
        route,
        key: key.to_owned(),
        body_hash: Sha256::digest(&call.sent.body).into(),
    }))
}

/// Notes that the request runs; `None` when one with its key runs already.
fn begin(call: &Call, request: &RequestKey) -> Option<Guard> {
    let key = (request.tenant, request.route.clone(), request.key.clone());
    let mut running = call.app.shared().running.0.lock().unwrap_or_else(PoisonError::into_inner);
    running.insert(key.clone()).then(|| Guard { call: call.clone(), key })
}

/// Keeps the answer of a handler that has not done so itself.
async fn keep(
    call: &Call,
    request: RequestKey,
    response: Response<Body>,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = response.into_parts();
    // It was made in memory by the handler, so it is whole and bounded.
    let body = body.collect().await.map_err(Problem::internal)?.to_bytes();
    let headers = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some((*name, parts.headers.get(*name)?.to_str().ok()?)));
    let headers: Vec<(&str, &str)> = headers.collect();
    let mut kept = serde_json::to_vec(&headers).map_err(Problem::internal)?;
    kept.push(b'\n');
    kept.extend_from_slice(&body);
    let (answer, at) =
        (KeptAnswer { status: parts.status.as_u16(), response: kept }, call.app.now());
    let kept =
        call.app.control.write(move |sql| idempotency::keep(sql, &request, &answer, at)).await;
    if let Err(error) = kept {
        // The effect is done and has an identity of its own; a repetition is then answered afresh.
        tracing::warn!(%error, request_id = %call.request_id, "an answer could not be kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(kept: KeptAnswer) -> Result<Response<Body>, Problem> {
    let split = kept.response.iter().position(|byte| *byte == b'\n');
    let split = split.ok_or_else(|| Problem::internal("a kept answer has no line of headers"))?;
    let (headers, body) = (&kept.response[..split], kept.response[split + 1..].to_vec());
    let headers: Vec<(String, String)> =
        serde_json::from_slice(headers).map_err(Problem::internal)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(kept.status).map_err(Problem::internal)?;
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out.insert("idempotency-replayed", HeaderValue::from_static("true"));
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(Problem::internal)?;
        out.insert(name, HeaderValue::try_from(value).map_err(Problem::internal)?);
    }
    Ok(response)
}

/// How long answers are kept, microseconds.
pub const KEPT_US: i64 = domain::time::DAY_US;
/// Answers forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 500;

/// Forgets the answers that were given more than a day ago. Called now and then by the process.
pub async fn forget_old(app: &crate::App) -> Result<(), store::StoreError> {
    let before = app.now().plus_micros(-KEPT_US);
    loop {
        let forget = move |sql: &mut dyn store::control::Sql| {
            idempotency::forget(sql, before, FORGOTTEN_AT_ONCE)
        };
        if app.control.write(forget).await? < u64::from(FORGOTTEN_AT_ONCE) {
            return Ok(());
        }
    }
}

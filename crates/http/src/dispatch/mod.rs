//! The way of a request, in one place and in order: [`outermost`] for every request, then [`run`] for
//! those that meet a route.

mod idempotency;
mod rate;
mod tenant;
mod throttle;
mod verb;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::ServiceExt as _;

use crate::app::App;
use crate::auth;
use crate::call::{self, Call, Sent};
use crate::problem::{Code, Origin, Problem};
use crate::push::Push;
use crate::route::{Connect, Route, Service};

pub use idempotency::{Running, forget_old};
pub use rate::{RateLimiter, Standing};
pub use tenant::InFlight;
pub use throttle::Lines;
pub use verb::{CustomVerb, Verbs};

/// How much of a body that nobody reads is taken from the connection, and for how long.
const DRAIN_MAX: usize = 256 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// The request's id, among its extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

/// The operation that answered, among the response's extensions: the label in the metrics.
#[derive(Clone, Copy, Debug)]
struct Operation(&'static str);

/// Every request: gives it an id, turns a custom verb into a segment, catches panics, counts.
pub async fn outermost(
    app: App,
    routes: Router,
    verbs: Arc<Verbs>,
    mut request: Request,
) -> Response<Body> {
    let begun = Instant::now();
    let id: Arc<str> = app.ids.uuid().to_string().into();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    verbs.rewrite(&mut request);

    let answer = AssertUnwindSafe(routes.oneshot(request)).catch_unwind().await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => {
            let cause = format!("the handler panicked: {}", panic_message(panic.as_ref()));
            Problem::internal(cause).into_response(Origin { request_id: &id, path: &path })
        }
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("request-id", id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let operation =
        response.extensions().get::<Operation>().map_or("none", |operation| operation.0);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.metrics.answered(operation, status, took.as_secs_f64());
    tracing::debug!(request_id = %id, operation, status, took_us = took.as_micros(), "answered");
    response
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// A request that has met a route.
pub async fn run(app: App, route: Arc<Route>, request: Request) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    let rest_of = Rest::of(&parts);
    let id = parts.extensions.get::<RequestId>().map_or_else(|| "".into(), |id| id.0.clone());
    let path = verb::documented_path(parts.uri.path(), &parts.extensions).to_owned();
    let if_none_match = parts.headers.get(IF_NONE_MATCH).cloned();
    let method = parts.method.clone();
    let operation = Operation(route.doc.id);

    let mut standings = rate::Standings::default();
    let answer = checked(app.clone(), route, parts, &mut body, &id, &mut standings).await;
    let mut response = match answer {
        Ok(response) => response,
        Err(problem) => {
            let origin = Origin { request_id: &id, path: &path };
            if problem.code().status() == StatusCode::SERVICE_UNAVAILABLE {
                app.shared().lines.unavailable(app.now(), origin, &problem);
            }
            problem.into_response(origin)
        }
    };
    rate::write_headers(standings, response.headers_mut());
    rest_of.settle(body, &mut response).await;
    not_modified(&method, if_none_match.as_ref(), &mut response);
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(operation);
    response
}

/// The checks in order: load, credential, access, rate, the tenant's load, body. Then the handler,
/// which counts the events that it is about to send.
async fn checked(
    app: App,
    route: Arc<Route>,
    mut parts: Parts,
    body: &mut Body,
    request_id: &Arc<str>,
    standings: &mut rate::Standings,
) -> Result<Response<Body>, Problem> {
    if route.verb().is_some() && parts.extensions.get::<CustomVerb>().is_none() {
        // Somebody asked for the internal form of the path.
        return Err(no_such_address());
    }
    let Ok(_permit) = app.shared().in_flight.clone().try_acquire_owned() else {
        let detail = "More requests are running than this server takes at a time.";
        return Err(Problem::new(Code::Overloaded, detail).retry_after(1));
    };
    let path = path_parameters(&mut parts).await?;
    let caller = auth::admit(&app, (&*route, &**request_id), &parts.headers, &path).await?;
    // Callers without a credential share no name, and what they reach costs little.
    let take = |credential| app.shared().rate.take(credential, 1, app.now());
    standings.credential = caller.credential().map(take);
    if let Some(seconds) = standings.credential.and_then(|standing| standing.wait) {
        let detail = format!("Wait {seconds} s, or ask for a higher rate.");
        return Err(Problem::new(Code::RateLimited, detail).retry_after(seconds));
    }
    let _entered = tenant::enter(&app, caller.tenant(), request_id)?;
    let body = whole_body(&app, &route, body).await?;
    let query = parts.uri.query().map(str::to_owned);
    let sent = Sent { path, query, headers: parts.headers, body };
    let call = Call::new(app, caller, request_id.clone(), route, sent);
    let tenant_events = call.tenant_events.clone();
    let answer = idempotency::run(call).await;
    standings.tenant_events = tenant_events.get().copied();
    answer
}

fn no_such_address() -> Problem {
    Problem::new(Code::NotFound, "There is no such address. All of them are in /openapi.json.")
}

async fn path_parameters(parts: &mut Parts) -> Result<Vec<(Arc<str>, String)>, Problem> {
    let params =
        RawPathParams::from_request_parts(parts, &()).await.map_err(|_| no_such_address())?;
    Ok(params.iter().map(|(name, value)| (name.into(), value.to_owned())).collect())
}

async fn whole_body(app: &App, route: &Route, body: &mut Body) -> Result<Bytes, Problem> {
    if route.body_max == 0 {
        return Ok(Bytes::new());
    }
    let whole = Limited::new(body, route.body_max).collect();
    match tokio::time::timeout(app.config.body_timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("At most {} bytes are taken here.", route.body_max);
            Err(Problem::new(Code::BodyTooLarge, detail))
        }
        Ok(Err(_)) => {
            Err(Problem::new(Code::MalformedJson, "The body ended before it was complete."))
        }
        Err(_) => {
            let seconds = app.config.body_timeout.as_secs();
            let detail = format!("The body was not complete after {seconds} s.");
            Err(Problem::new(Code::RequestTimeout, detail))
        }
    }
}

/// What of a body is left when its request is answered. The connection serves further requests only
/// when all of it has come: without this a client whose body comes a moment after its head would
/// find its connection closed under the next request.
struct Rest {
    /// The client sends its body when it is told to, which whoever refuses it has not done.
    waits: bool,
}

impl Rest {
    fn of(parts: &Parts) -> Self {
        Self { waits: parts.headers.contains_key(EXPECT) }
    }

    /// Takes the rest from the connection, or says that this ends with the answer.
    async fn settle(self, body: Body, response: &mut Response<Body>) {
        if !body.is_end_stream() && (self.waits || !drained(body).await) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads a body to its end, within bounds, and forgets it. False when it has not ended.
async fn drained(mut body: Body) -> bool {
    let rest = async {
        let mut left = DRAIN_MAX;
        while let Some(frame) = body.frame().await {
            let size = frame.map_err(drop)?.into_data().map_or(0, |data| data.len());
            left = left.checked_sub(size).ok_or(())?;
        }
        Ok::<(), ()>(())
    };
    matches!(tokio::time::timeout(DRAIN_WITHIN, rest).await, Ok(Ok(())))
}

/// Turns an answer that the caller has already into 304.
fn not_modified(
    method: &Method,
    if_none_match: Option<&HeaderValue>,
    response: &mut Response<Body>,
) {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let tag = response.headers().get(axum::http::header::ETAG).and_then(|tag| tag.to_str().ok());
    let asked = if_none_match.and_then(|header| header.to_str().ok());
    if let (true, StatusCode::OK, Some(tag), Some(asked)) = (reads, response.status(), tag, asked)
        && call::matches(asked, tag)
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    }
}

/// A request for a connection of push, which checks its callers itself.
pub async fn connect(
    push: Arc<Push>,
    connect: Connect,
    id: &'static str,
    request: Request,
) -> Response<Body> {
    let mut response = (connect.open)(push, request).await;
    response.extensions_mut().insert(Operation(id));
    response
}

/// No route: 404.
pub async fn no_route(request: Request) -> Response<Body> {
    respond(request, no_such_address()).await
}

/// The address is known, and another process serves it: 404.
pub async fn not_served(service: Service, request: Request) -> Response<Body> {
    let detail = format!(
        "This process does not serve it: its roles leave {service} out. Ask one that has the role \
         {service}."
    );
    respond(request, Problem::new(Code::NotServedHere, detail)).await
}

/// The path has routes, but none with this method: 405.
pub async fn wrong_method(allow: String, request: Request) -> Response<Body> {
    let detail = format!("This address takes {allow}.");
    respond(request, Problem::new(Code::MethodNotAllowed, detail).allow(allow)).await
}

async fn respond(request: Request, problem: Problem) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().map_or_else(|| "".into(), |id| id.0.clone());
    let path = verb::documented_path(parts.uri.path(), &parts.extensions);
    let mut response = problem.into_response(Origin { request_id: &id, path });
    Rest::of(&parts).settle(body, &mut response).await;
    response
}

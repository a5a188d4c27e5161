//! The REST client of the commands: one place for credentials, problems and patience.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Request, Response};

use crate::config::connection::Connection;
use crate::failure::{Code, Failure, Outcome};

/// How long one call may take: recomputing a large cohort is the slowest.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// What may stand in a path segment or a query value as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as a path segment or query value.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// As whom a call is made when both credentials are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// The tenant: its key, else the admin acting for it.
    Tenant,
    /// The platform's admin, else the tenant's key.
    Admin,
}

/// A client of one platform.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    connection: Connection,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// `Retry-After`, when the server sent one in seconds.
    pub retry_after: Option<Duration>,
    /// The body; null when there was none.
    pub body: Value,
}

impl Client {
    /// A client for this connection.
    pub fn new(connection: Connection) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_TIMEOUT))
            .max_redirects(0)
            .user_agent(concat!("incent/", env!("CARGO_PKG_VERSION")));
        if is_local(&connection.url) {
            // A proxy of the environment knows nothing of this machine.
            config = config.proxy(None);
        }
        Self { agent: config.build().new_agent(), connection }
    }

    /// The same client, acting for a tenant.
    pub fn for_tenant(&self, tenant: &str) -> Self {
        let connection = Connection { tenant: Some(tenant.to_owned()), ..self.connection.clone() };
        Self { agent: self.agent.clone(), connection }
    }
    /// Where and as whom it calls.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// `GET`, expecting success.
    pub fn get(&self, by: As, path: &str) -> Outcome<Value> {
        self.call(by, "GET", path, None)?.expect_success().map(|reply| reply.body)
    }
    /// `POST`, expecting success.
    pub fn post(&self, by: As, path: &str, body: &Value) -> Outcome<Value> {
        let reply = self.call(by, "POST", path, Some(body.to_string()))?;
        reply.expect_success().map(|reply| reply.body)
    }
    /// `PUT`, expecting success.
    pub fn put(&self, by: As, path: &str, body: &Value) -> Outcome<Value> {
        let reply = self.call(by, "PUT", path, Some(body.to_string()))?;
        reply.expect_success().map(|reply| reply.body)
    }

    /// Every item of a paged list: follows `nextPageToken` until the end.
    pub fn each_page(
        &self,
        by: As,
        path: &str,
        mut visit: impl FnMut(Vec<Value>) -> Outcome,
    ) -> Outcome {
        let mut token: Option<String> = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page = match &token {
                Some(token) => format!("{path}{join}pageToken={}", encoded(token)),
                None => path.to_owned(),
            };
            let mut body = self.get(by, &page)?;
            let next = body.get("nextPageToken").and_then(Value::as_str).map(str::to_owned);
            visit(items(&mut body))?;
            match next.filter(|t| !t.is_empty()) {
                // A server that hands out the same page for ever must not keep us for ever.
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// One call, whatever its status. Errors: the platform cannot be reached, or no JSON came back.
    pub fn call(&self, by: As, method: &str, path: &str, body: Option<String>) -> Outcome<Reply> {
        self.call_with(by, (method, path), &[], body)
    }

    /// [`Self::call`] with further headers.
    pub fn call_with(
        &self,
        by: As,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Outcome<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.connection.url))
            .header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((credential, tenant)) = self.credential(by) {
            request = request.header("authorization", format!("Bearer {credential}"));
            if let Some(tenant) = tenant {
                request = request.header("incent-tenant", tenant);
            }
        }
        let sent = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body)
                .map_err(|e| self.wrong_url(&e.to_string()))
                .and_then(|request| self.agent.run(request).map_err(|e| self.unreachable(&e))),
            None => request
                .body(())
                .map_err(|e| self.wrong_url(&e.to_string()))
                .and_then(|request| self.agent.run(request).map_err(|e| self.unreachable(&e))),
        };
        self.read(sent?)
    }

    fn credential(&self, by: As) -> Option<(&str, Option<&str>)> {
        let Connection { key, admin_token, tenant, .. } = &self.connection;
        let key = key.as_deref().map(|key| (key, None));
        let admin = admin_token.as_deref().map(|token| (token, tenant.as_deref()));
        match by {
            As::Tenant => key.or(admin),
            As::Admin => admin.or(key),
        }
    }

    fn read(&self, mut response: Response<ureq::Body>) -> Outcome<Reply> {
        let status = response.status().as_u16();
        let header = |name: &str| {
            response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        let retry_after =
            header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|e| self.unreachable(&e))?;
        let body = if text.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|_| {
                Failure::new(
                    Code::Failure,
                    format!("{} does not answer like Incent", self.connection.url),
                )
                .why(format!("status {status} with a body that is not JSON"))
                .mend("check --url: it must be the root of the platform, as http://127.0.0.1:8080")
            })?
        };
        Ok(Reply { status, retry_after, body })
    }

    fn wrong_url(&self, why: &str) -> Failure {
        Failure::usage(format!("{:?} is not an address", self.connection.url))
            .why(why)
            .mend("write --url as http://127.0.0.1:8080")
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        match error {
            ureq::Error::BadUri(why) => self.wrong_url(why),
            other => Failure::new(
                Code::Unavailable,
                format!("cannot reach {}", self.connection.url),
            )
            .why(other.to_string())
            .mend("start the platform (incent dev, or incent serve), or name another with --url"),
        }
    }
}

impl Reply {
    /// The reply if it succeeded. Errors: its problem document, told in our words.
    pub fn expect_success(self) -> Outcome<Self> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.problem()) }
    }

    /// What a refusal says, with a line for each bad field.
    pub fn problem(&self) -> Failure {
        let text = |name: &str| self.body.get(name).and_then(Value::as_str).map(str::to_owned);
        let title =
            text("title").unwrap_or_else(|| format!("the platform answered {}", self.status));
        let code = match self.status {
            401 | 403 => Code::Auth,
            404 => Code::NotFound,
            409 | 412 => Code::Conflict,
            429 => Code::Limited,
            502..=504 => Code::Unavailable,
            _ => Code::Failure,
        };
        let mut failure = Failure::new(code, title);
        failure.why = text("detail");
        failure.mend = text("hint").or_else(|| match self.status {
            401 => Some(
                "give a key with --key or INCENT_API_KEY (incent dev writes one to dev.env)".into(),
            ),
            403 => Some("use a key that has the scope, or the admin's token".into()),
            _ => None,
        });
        for error in self.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
            failure.places.push(place(error));
        }
        if let Some(id) = text("requestId") {
            failure.why = Some(
                format!("{} (request {id})", failure.why.unwrap_or_default()).trim().to_owned(),
            );
        }
        failure
    }
}

/// A bad field as a line.
pub fn place(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let pointer = if text("pointer").is_empty() { "the document" } else { text("pointer") };
    let hint = if text("hint").is_empty() { String::new() } else { format!(" ({})", text("hint")) };
    format!("{pointer} {}{hint}", text("detail"))
}

/// The items of a list answer: `items`, or the only array in it.
pub fn items(body: &mut Value) -> Vec<Value> {
    let Value::Object(object) = body else { return Vec::new() };
    let name = if object.contains_key("items") {
        Some("items".to_owned())
    } else {
        object.iter().find(|(_, v)| v.is_array()).map(|(name, _)| name.clone())
    };
    match name.and_then(|name| object.remove(&name)) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]", "0.0.0.0"].iter().any(|local| host.starts_with(local))
}

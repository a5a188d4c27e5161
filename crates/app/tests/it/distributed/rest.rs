//! Calls to the process that takes events, which may be gone.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use super::happening::Happening;
use crate::support::ADMIN;

/// What came of a try.
pub enum Sent {
    Acknowledged,
    /// Nobody knows whether it is in the log.
    Unanswered,
    /// With a status that says: later.
    Refused(u16),
}

/// A caller with the admin's token.
#[derive(Clone)]
pub struct Rest {
    agent: Agent,
    url: String,
}

impl Rest {
    /// Of the process at this address.
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .proxy(None);
        Self { agent: config.build().new_agent(), url: url.to_owned() }
    }

    /// A call; `None` when there is no answer.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        (tenant, body): (Option<&str>, &str),
    ) -> Option<(u16, Value)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {ADMIN}"))
            .header("content-type", "application/json");
        if let Some(tenant) = tenant {
            request = request.header("incent-tenant", tenant);
        }
        let mut response =
            self.agent.run(request.body(body.to_owned()).expect("a request")).ok()?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(16 << 20).read_to_string().ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// A call that must succeed.
    #[track_caller]
    pub fn expect(&self, method: &str, path: &str, tenant: Option<&str>, body: &Value) -> Value {
        let answer = self.call(method, path, (tenant, &body.to_string()));
        let (status, answer) = answer.expect("an answer");
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer:#}");
        answer
    }

    /// What is at a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, (None, ""));
        let (status, answer) = answer.expect("an answer");
        assert_eq!(status, 200, "{path}: {answer:#}");
        answer
    }

    /// Sends events.
    ///
    /// # Panics
    /// When they are refused for good.
    pub fn send(&self, tenant: &str, events: &[Happening]) -> Sent {
        let one = |event: &Happening| {
            format!(
                "{{\"eventId\":\"{}\",\"userId\":\"{}\",\"action\":\"purchase\",\
                 \"eventTs\":\"{}\",\"payload\":{}}}",
                event.id, event.user, event.at, event.payload
            )
        };
        let events: Vec<String> = events.iter().map(one).collect();
        let body = format!("{{\"events\":[{}]}}", events.join(","));
        let answer = self.call("POST", "/api/v1/events:batch", (Some(tenant), &body));
        let Some((status, answer)) = answer else { return Sent::Unanswered };
        if status == 503 {
            return Sent::Refused(status);
        }
        assert_eq!(status, 200, "{answer:#}");
        let results = answer["results"].as_array().expect("results");
        let is_taken = |r: &Value| r["status"] == "ACCEPTED" || r["status"] == "DUPLICATE";
        assert!(results.len() == events.len() && results.iter().all(is_taken), "{answer:#}");
        Sent::Acknowledged
    }
}

//! A small client of a schema registry, of any that speaks Confluent's REST API.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Where the registry is.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Its root, for example `http://registry:8081`.
    pub url: String,
    /// The header `Authorization` to send along.
    pub authorization: Option<String>,
}

/// Why the registry did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It answered, and the answer will stay the same: no such schema, or one it will not take.
    #[error("{0}")]
    Refused(String),
    /// No answer, or one that says that it is not well, or not for us.
    #[error("{0}")]
    Unreachable(String),
}

/// A schema registry.
pub struct Registry {
    agent: Agent,
    settings: RegistrySettings,
}

impl Registry {
    /// A client.
    pub fn new(settings: RegistrySettings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_MAX))
            .max_redirects(0)
            .user_agent(concat!("incent/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent(), settings }
    }

    /// The text of a schema by its id. Blocks.
    pub fn schema(&self, id: u32) -> Result<String, RegistryError> {
        let url = self.url(&format!("schemas/ids/{id}"));
        let mut call = self.agent.get(&url).header("Accept", CONTENT_TYPE);
        if let Some(authorization) = &self.settings.authorization {
            call = call.header("Authorization", authorization);
        }
        let answer = self.read(&url, call.call())?;
        let refused = |why: &str| RegistryError::Refused(why.to_owned());
        if answer["schemaType"].as_str().is_some_and(|kind| kind != "AVRO") {
            return Err(refused("is not an Avro schema"));
        }
        if answer["references"].as_array().is_some_and(|all| !all.is_empty()) {
            return Err(refused("refers to other schemas; register one that stands alone"));
        }
        answer["schema"].as_str().map(str::to_owned).ok_or_else(|| refused("has no text"))
    }

    /// Registers a schema under a subject, or finds it there; returns its id. Blocks.
    pub fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let url = self.url(&format!("subjects/{subject}/versions"));
        let mut call = self.agent.post(&url).header("Content-Type", CONTENT_TYPE);
        if let Some(authorization) = &self.settings.authorization {
            call = call.header("Authorization", authorization);
        }
        let answer = self.read(&url, call.send(json!({ "schema": schema }).to_string()))?;
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| RegistryError::Unreachable(format!("{url} answers without an id")))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.settings.url.trim_end_matches('/'))
    }

    fn read(
        &self,
        url: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, RegistryError> {
        let failed = |e: ureq::Error| {
            RegistryError::Unreachable(format!("the schema registry gives no answer: {url}: {e}"))
        };
        let mut answer = answer.map_err(failed)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = serde_json::from_str(&text.map_err(failed)?).unwrap_or(Value::Null);
        let said = body["message"].as_str().unwrap_or("no message");
        match status {
            200..=299 => Ok(body),
            404 | 409 | 422 => Err(RegistryError::Refused(format!("{url}: {status}, {said}"))),
            _ => Err(RegistryError::Unreachable(format!(
                "the schema registry is not well, or does not let us in: {url}: {status}, {said}"
            ))),
        }
    }
}

//! One question to the CMS: blocking, on a thread for it, with every bound that a CMS out of its
//! mind would try.

use std::sync::Arc;
use std::time::Duration;

use domain::config::TenantConfig;
use domain::id::TenantId;
use domain::shape::read_json;
use engine::ports::{PortError, PortErrorKind};
use http::api::campaigns::decision::{self, Configuration};
use serde_json::Value;
use tokio::sync::Semaphore;
use ureq::Agent;
use ureq::http::Response;
use uuid::Uuid;

use crate::config::cms::Cms;

/// How long one question may take, answer and all.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Questions at the same time; more wait their turn.
const ASKED_AT_ONCE_MAX: usize = 4;
/// Largest problem document that is read, bytes.
const PROBLEM_BYTES_MAX: u64 = 64 * 1024;

/// A CMS, and how it is asked.
pub(super) struct Link {
    agent: Agent,
    cms: Cms,
    turns: Arc<Semaphore>,
}

/// What the CMS says.
#[derive(Debug)]
pub(super) enum Said {
    /// The version that was held is in force.
    Unchanged,
    /// This is in force.
    Config(Box<TenantConfig>),
    /// There is no such tenant; with its words.
    NoTenant(String),
}

impl Link {
    pub fn new(cms: &Cms) -> Self {
        Self::with_patience(cms, ASK_WITHIN)
    }

    pub(super) fn with_patience(cms: &Cms, ask_within: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ask_within))
            // The token goes nowhere else.
            .max_redirects(0)
            .proxy(None)
            // Between two questions the CMS would close it, and the next would fail for that.
            .max_idle_connections(0)
            .user_agent(concat!("incent/", env!("CARGO_PKG_VERSION")))
            .build();
        let turns = Arc::new(Semaphore::new(ASKED_AT_ONCE_MAX));
        Self { agent: config.new_agent(), cms: cms.clone(), turns }
    }

    pub fn url(&self) -> &str {
        &self.cms.url
    }

    /// Asks about nobody: whether the CMS answers and lets us read. Errors: of kind `Invalid` when
    /// it refuses our token, for that will stay so; as [`Self::ask`].
    pub async fn check(self: &Arc<Self>) -> Result<(), PortError> {
        self.ask(TenantId(Uuid::nil()), None).await.map(drop)
    }

    /// Asks for a tenant's configuration, unless it is still of the version held. Errors: of kind
    /// `Invalid` when it refuses our token, of kind `Unavailable` when it does not answer in time,
    /// not well, or not like a CMS.
    pub async fn ask(
        self: &Arc<Self>,
        tenant: TenantId,
        held: Option<i64>,
    ) -> Result<Said, PortError> {
        // The semaphore is never closed.
        let turn = self.turns.clone().acquire_owned().await.ok();
        let link = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let said = link.ask_now(tenant, held);
            drop(turn);
            said
        });
        asked.await.unwrap_or_else(|_| Err(self.away("could not be asked, by a defect of ours")))
    }

    fn ask_now(&self, tenant: TenantId, held: Option<i64>) -> Result<Said, PortError> {
        let Cms { url, token } = &self.cms;
        let address = format!("{url}/api/v1/campaigns/search?view=DECISION&tenantId={tenant}");
        let mut request = self.agent.get(&address).header("accept", "application/json");
        request = request.header("authorization", format!("Bearer {token}"));
        if let Some(version) = held {
            request = request.header("if-none-match", decision::tag(version));
        }
        let lost = |error: ureq::Error| self.away(&format!("does not answer: {error}"));
        let mut response = request.call().map_err(lost)?;
        match response.status().as_u16() {
            200 => {
                let body = response.body_mut().with_config().limit(decision::BYTES_MAX);
                let bytes = body.read_to_vec().map_err(lost)?;
                self.read(tenant, &bytes)
            }
            304 => Ok(Said::Unchanged),
            status @ (401 | 403) => Err(PortError {
                kind: PortErrorKind::Invalid,
                message: format!(
                    "the CMS at {url} refuses the service token ({status}): set \
                     INCENT_SERVICE_TOKEN to the same text here and there, and restart what had \
                     the other"
                ),
            }),
            status => {
                let (code, detail) = problem(&mut response);
                match (status, code.as_str()) {
                    (404, "NOT_FOUND") => Ok(Said::NoTenant(detail)),
                    _ => Err(self.away(&format!("answers {status} {code}: {detail}"))),
                }
            }
        }
    }

    fn read(&self, tenant: TenantId, bytes: &[u8]) -> Result<Said, PortError> {
        let document: Configuration = read_json(bytes).map_err(|why| {
            self.away(&format!(
                "answers what is no configuration to us (are we older than it?): {why}"
            ))
        })?;
        if document.tenant_id != tenant {
            let other = document.tenant_id;
            return Err(self.away(&format!("was asked about {tenant} and answers about {other}")));
        }
        let config = document.into_config().map_err(|why| self.away(&format!("answers {why}")))?;
        Ok(Said::Config(Box::new(config)))
    }

    /// It cannot be used now.
    fn away(&self, what: &str) -> PortError {
        let message = format!("the CMS at {} {what}", self.cms.url);
        PortError { kind: PortErrorKind::Unavailable, message }
    }
}

/// Code and detail of a problem document; of anything else, nothing.
fn problem(response: &mut Response<ureq::Body>) -> (String, String) {
    let text = response.body_mut().with_config().limit(PROBLEM_BYTES_MAX).read_to_string();
    let document: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
    let text = |name: &str| document[name].as_str().unwrap_or("-").to_owned();
    (text("code"), text("detail"))
}

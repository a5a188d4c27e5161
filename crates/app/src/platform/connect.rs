//! Kafka Connect, looked after: what has failed of a connector is started again.
//!
//! Debezium tries again by itself whatever goes wrong while it reads. But a task that finds no
//! database at the moment when it starts has failed for Connect, and stays so.

use std::sync::Arc;
use std::time::Duration;

use engine::metrics::Metrics;
use engine::policy::Backoff;
use engine::ports::{PortError, PortErrorKind};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use ureq::Agent;

/// How long one question may take, answer and all.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Largest answer that is read, bytes: a trace for each task.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Pause between two looks; longer after a start that was in vain.
const LOOK_EVERY: Backoff =
    Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) };
/// Of a line that is longer than both, so many characters are told of its beginning and of its end,
/// which says what is wrong where Debezium puts all that it knows between them.
const BEGINNING_MAX: usize = 120;
const END_MAX: usize = 240;

/// Kafka Connect, to be asked about connectors.
#[derive(Clone)]
pub struct Connect {
    agent: Agent,
    url: Arc<str>,
}

/// How a connector is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Connector {
    /// What has failed of it and its tasks, each with the reason.
    pub failed: Vec<String>,
    /// It was told to pause or to stop.
    pub is_halted: bool,
}

impl Connect {
    /// At an address without a slash at its end. It is not asked yet.
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ASK_WITHIN))
            .proxy(None)
            // Between two looks it would close it, and the next would fail for that.
            .max_idle_connections(0)
            .user_agent(concat!("incent/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), url: url.into() }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How a connector is; `None` when there is none of this name. Errors: of kind `Unavailable`,
    /// Connect does not answer, or not like Connect.
    pub async fn connector(&self, name: &str) -> Result<Option<Connector>, PortError> {
        let asked =
            self.call(format!("connectors/{name}/status"), |agent, url| agent.get(url).call());
        let (status, text) = asked.await?;
        match status {
            200 => match serde_json::from_str(&text) {
                Ok(document) => Ok(Some(Connector::of(&document))),
                Err(error) => Err(self.away(&format!("answers what is no status: {error}"))),
            },
            404 => Ok(None),
            status => Err(self.away(&format!("answers {status}: {}", first_line(&text)))),
        }
    }

    /// Starts again what has failed of a connector; what runs is left alone. Errors: as above, also
    /// while Connect shares its work out anew.
    async fn start_failed(&self, name: &str) -> Result<(), PortError> {
        let path = format!("connectors/{name}/restart?includeTasks=true&onlyFailed=true");
        match self.call(path, |agent, url| agent.post(url).send_empty()).await? {
            (200..300, _) => Ok(()),
            (status, text) => Err(self.away(&format!("answers {status}: {}", first_line(&text)))),
        }
    }

    async fn call(
        &self,
        path: String,
        send: fn(&Agent, &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, String), PortError> {
        let connect = self.clone();
        let called = tokio::task::spawn_blocking(move || {
            let lost = |error: ureq::Error| connect.away(&format!("does not answer: {error}"));
            let mut answer =
                send(&connect.agent, &format!("{}/{path}", connect.url)).map_err(lost)?;
            let status = answer.status().as_u16();
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
            Ok((status, body.read_to_string().map_err(lost)?))
        });
        called.await.unwrap_or_else(|_| Err(self.away("could not be asked, by a defect of ours")))
    }

    fn away(&self, what: &str) -> PortError {
        let message = format!("Kafka Connect at {} {what}", self.url);
        PortError { kind: PortErrorKind::Unavailable, message }
    }
}

impl Connector {
    /// From the status that Connect answers with.
    fn of(status: &Value) -> Self {
        let tasks = status["tasks"].as_array().into_iter().flatten();
        let mut found = Self::default();
        for part in std::iter::once(&status["connector"]).chain(tasks) {
            match part["state"].as_str() {
                Some("FAILED") => {
                    found.failed.push(reason(part["trace"].as_str().unwrap_or_default()));
                }
                Some("PAUSED" | "STOPPED") => found.is_halted = true,
                _ => {}
            }
        }
        found
    }
}

/// Of a trace, what says most in one line: its first cause. Causes stand below one another, each
/// after the calls that led to it.
fn reason(trace: &str) -> String {
    let cause = trace.lines().rev().find_map(|line| line.strip_prefix("Caused by: "));
    first_line(cause.unwrap_or(trace))
}

fn first_line(text: &str) -> String {
    let line: Vec<char> = text.lines().next().unwrap_or_default().chars().collect();
    if line.len() <= BEGINNING_MAX + END_MAX {
        return line.into_iter().collect();
    }
    let (beginning, end) = (&line[..BEGINNING_MAX], &line[line.len() - END_MAX..]);
    beginning.iter().chain(&['…']).chain(end).collect()
}

/// Looks after a connector until told to stop.
pub(super) async fn look_after(
    connect: Connect,
    name: String,
    metrics: Metrics,
    stop: CancellationToken,
) {
    // How often it was started again, less the looks at which all was well.
    let mut starts: u32 = 0;
    // What was said last; the same is not said again and again.
    let mut said = None;
    loop {
        let now = match connect.connector(&name).await {
            Ok(Some(found)) if found.failed.is_empty() => {
                metrics.connector(&name, Some(0));
                starts = starts.saturating_sub(1);
                None
            }
            Ok(Some(found)) => {
                metrics.connector(&name, Some(found.failed.len()));
                starts = starts.saturating_add(1);
                let why = found.failed.join("; ");
                match connect.start_failed(&name).await {
                    Ok(()) => {
                        metrics.connector_started(&name);
                        tracing::warn!(connector = name, why, "it has failed and is started again");
                        None
                    }
                    Err(error) => Some(format!("it has failed ({why}), and {error}")),
                }
            }
            Ok(None) => {
                metrics.connector(&name, None);
                let url = connect.url();
                Some(format!("there is none of this name at {url}: nothing is captured by it"))
            }
            Err(error) => {
                metrics.connector(&name, None);
                Some(error.to_string())
            }
        };
        match (&said, &now) {
            (_, Some(why)) if said != now => {
                tracing::warn!(connector = name, why, "it cannot be looked after");
            }
            (Some(_), None) => tracing::info!(connector = name, "it is looked after again"),
            _ => {}
        }
        said = now;
        let pause = LOOK_EVERY.pause(starts);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_failed_is_told_with_its_first_cause() {
        let trace = "org.apache.kafka.connect.errors.ConnectException: cannot start\n\tat a.b(C)\n\
                     Caused by: io.debezium.DebeziumException: Unable to get it\n\tat d.e(F)\n\
                     Caused by: java.net.ConnectException: Connection refused\n\t... 11 more\n";
        let status = json!({
            "name": "x",
            "connector": { "state": "RUNNING" },
            "tasks": [{ "id": 0, "state": "FAILED", "trace": trace },
                      { "id": 1, "state": "RUNNING" },
                      { "id": 2, "state": "FAILED" }],
        });
        let failed =
            vec!["java.net.ConnectException: Connection refused".to_owned(), String::new()];
        assert_eq!(Connector::of(&status), Connector { failed, is_halted: false });
        let long = format!("It reads from {}, which is gone", "x".repeat(2000));
        let told = first_line(&long);
        assert!(
            told.starts_with("It reads from xx") && told.ends_with("xx, which is gone"),
            "{told}"
        );
        assert!(told.contains("x…x") && told.len() < 400, "{told}");
        let paused = json!({ "connector": { "state": "PAUSED" }, "tasks": [] });
        assert_eq!(Connector::of(&paused), Connector { failed: Vec::new(), is_halted: true });
        assert_eq!(Connector::of(&json!([])), Connector::default());
    }
}

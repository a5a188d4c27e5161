//! `incent serve` as a process of its own, and calls to it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// The admin's token of every test.
pub const ADMIN_TOKEN: &str = "the admin of a test, 0123456789abcdef";

/// How long a process may take to end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A running process. It is killed when dropped.
pub struct Process {
    child: Child,
    url: String,
    /// Kept open: a process whose output nobody takes would fail on it.
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it on a data directory and waits until it is ready. `None` when it dies before, which
    /// only a process with an armed crash point may do.
    pub fn start(data_dir: &Path, crash_at: Option<&str>) -> Option<Self> {
        let log = OpenOptions::new().create(true).append(true).open(data_dir.join("process.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_incent"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"]);
        command.arg(data_dir).env("INCENT_ADMIN_TOKEN", ADMIN_TOKEN).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(log.expect("a log file"));
        match crash_at {
            Some(plan) => command.env("INCENT_CRASH_AT", plan),
            None => command.env_remove("INCENT_CRASH_AT"),
        };
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        while stdout.read_line(&mut line).expect("readable output") > 0 {
            if let Some((_, url)) = line.trim().split_once("ready on ") {
                return Some(Self { child, url: url.to_owned(), _stdout: stdout });
            }
            line.clear();
        }
        let status = child.wait().expect("the end of the process");
        assert!(crash_at.is_some(), "the process ends with {status}: {}", tail(data_dir));
        None
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of the process").is_some()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        // It may have ended by itself a moment ago.
        let _gone = self.child.kill();
        self.child.wait().expect("the end of the process");
    }

    /// SIGTERM, as an operator would; waits for the end.
    pub fn stop(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().expect("kill");
        assert!(told.success(), "the process takes a signal");
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of the process") {
                return status;
            }
            assert!(begin.elapsed() < ENDS_WITHIN, "the process does not stop");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The end of what a process has logged.
pub fn tail(data_dir: &Path) -> String {
    let file = File::open(data_dir.join("process.log")).expect("a log file");
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A caller with the admin's token.
#[derive(Clone)]
pub struct Caller {
    agent: Agent,
    /// For whom the admin acts.
    pub tenant: Option<String>,
}

impl Caller {
    /// Acts for nobody yet.
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .proxy(None);
        Self { agent: config.build().new_agent(), tenant: None }
    }

    /// A call; `None` when the process is gone before it has answered.
    pub fn call(&self, method: &str, url: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .header("content-type", "application/json")
            .header("prefer", "wait=30");
        if let Some(tenant) = &self.tenant {
            request = request.header("incent-tenant", tenant);
        }
        let text = body.map_or_else(String::new, Value::to_string);
        let mut response = self.agent.run(request.body(text).expect("a request")).ok()?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(16 << 20).read_to_string().ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// A call that must succeed.
    pub fn expect(&self, method: &str, url: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, url, body).expect("an answer");
        assert!((200..300).contains(&status), "{method} {url}: {status} {answer:#}");
        answer
    }
}

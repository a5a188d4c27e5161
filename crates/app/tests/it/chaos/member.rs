//! A process of the platform that is killed, frozen and started again, always at the same address.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use engine::crash::{CrashPlan, CrashPoint};

use crate::distributed::rest::Rest;
use crate::support::{ADMIN, incent};

/// How long a process may take to be ready, or to stop in order, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(150);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The signal of a process that aborts.
const ABORT: i32 = 6;

/// A process, running or not.
pub struct Member {
    pub name: &'static str,
    roles: &'static str,
    dir: PathBuf,
    port: u16,
    /// Its own variables.
    variables: Vec<(&'static str, String)>,
    child: Option<Child>,
    armed: Option<CrashPlan>,
    /// What its metrics said of the lives that are over, and of this one.
    counted: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
}

impl Member {
    /// One that does not run yet.
    pub fn new(
        (name, roles): (&'static str, &'static str),
        dir: &Path,
        variables: Vec<(&'static str, String)>,
    ) -> Self {
        let (dir, port) = (dir.to_owned(), testkit::port::lasting());
        let (counted, seen) = (BTreeMap::new(), BTreeMap::new());
        Self { name, roles, dir, port, variables, child: None, armed: None, counted, seen }
    }

    /// Where it answers while it runs.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it, perhaps to die at a point; it is not waited for.
    pub fn start(&mut self, plan: Option<CrashPlan>) {
        let log = self.dir.join(format!("{}.log", self.name));
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let address = format!("127.0.0.1:{}", self.port);
        let args = ["serve", "--config", "services.yaml", "--listen", &address, "--roles"];
        let mut command = incent(&self.dir, &args);
        command.arg(self.roles).stdout(Stdio::null()).stderr(log);
        command.env("INCENT_ADMIN_TOKEN", ADMIN).env("INCENT_LOG", "info");
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        if let Some(plan) = plan {
            command.env("INCENT_CRASH_AT", plan.to_string());
        }
        assert!(self.child.is_none(), "{} runs already", self.name);
        self.child = Some(command.spawn().expect("incent runs"));
        self.armed = plan;
    }

    /// Whether it is told to die at a point.
    pub fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// Where it has died as it was told to, if it has.
    ///
    /// # Panics
    /// When it has ended for any other reason.
    pub fn died(&mut self) -> Option<CrashPoint> {
        let status = self.child.as_mut()?.try_wait().expect("its state")?;
        self.child = None;
        self.turn_the_page();
        let plan = self.armed.take().filter(|_| status.signal() == Some(ABORT));
        let plan = plan.unwrap_or_else(|| panic!("{} ended by itself: {status}", self.name));
        Some(plan.point)
    }

    /// Waits until it has died at its point; `None` when it does not come there in time.
    pub fn dies_within(&mut self, time: Duration, pass: impl Fn(Duration)) -> Option<CrashPoint> {
        let begun = Instant::now();
        loop {
            let died = self.died();
            if died.is_some() || begun.elapsed() > time {
                return died;
            }
            pass(LOOK_EVERY);
        }
    }

    /// SIGKILL. Where it had died before as it was told to, if it had.
    pub fn kill(&mut self) -> Option<CrashPoint> {
        self.scrape();
        let died = self.died();
        if let Some(mut child) = self.child.take() {
            // It may have died in this moment, as it was told to.
            let _gone = child.kill();
            child.wait().expect("it ends");
        }
        self.armed = None;
        self.turn_the_page();
        died
    }

    /// SIGTERM; waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.scrape();
        self.signal("TERM");
        let mut child = self.child.take().expect("it runs");
        let begun = Instant::now();
        while child.try_wait().expect("its state").is_none() {
            assert!(begun.elapsed() < PATIENCE, "{} does not stop", self.name);
            std::thread::park_timeout(LOOK_EVERY);
        }
        self.turn_the_page();
        self.armed = None;
        child.wait().expect("it ends")
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &child.id().to_string()]).stderr(Stdio::null());
        // It may have died a moment ago, as it was told to.
        let _told = kill.status();
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        let answer = Rest::new(&self.url()).call("GET", "/readyz", (None, ""));
        answer.is_some_and(|(status, _)| status == 200)
    }

    /// Waits until it is ready.
    pub fn ready(&mut self) {
        let begun = Instant::now();
        while !self.is_ready() {
            if begun.elapsed() > PATIENCE {
                panic!("{} does not become ready:\n{}", self.name, self.last_words());
            }
            if self.died().is_some() {
                self.start(None);
            }
            std::thread::park_timeout(10 * LOOK_EVERY);
        }
    }

    /// Takes note of what it has counted in this life.
    pub fn scrape(&mut self) {
        if self.child.is_none() {
            return;
        }
        let Some((200, answer)) = Rest::new(&self.url()).call("GET", "/metrics", (None, "")) else {
            return;
        };
        let text = answer.as_str().unwrap_or_default();
        let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        self.seen = values.collect();
    }

    fn turn_the_page(&mut self) {
        for (name, value) in std::mem::take(&mut self.seen) {
            *self.counted.entry(name).or_default() += value;
        }
    }

    /// What its metrics have said under a name, over all its lives.
    pub fn counted(&self, name: &str) -> u64 {
        let of = |values: &BTreeMap<String, u64>| values.get(name).copied().unwrap_or(0);
        of(&self.counted) + of(&self.seen)
    }

    /// How many lines of its log say this.
    pub fn said(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.dir.join(format!("{}.log", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _buried = child.wait();
        }
    }
}

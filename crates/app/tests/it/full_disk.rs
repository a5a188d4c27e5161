//! A disk without room, under the real process: on a small file system where the system lets us
//! mount one, and under a bound on the size of files, which the system enforces anywhere.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::dir::TempDir;

use crate::process::{ADMIN_TOKEN, Caller};
use crate::support::Platform;

/// Room on the small disk, KiB: far more than the events need.
const ROOM_KIB: u64 = 48 * 1024;
/// Events in one call, and characters of padding in each.
const CALL: usize = 50;
const PADDING: usize = 1000;
/// Calls after which a disk without room must have refused one. Some may pass: what an earlier
/// commit has allocated can be written again.
const CALLS_MAX: usize = 300;
/// A disk is looked at every few seconds, a batch is tried again after ten at most.
const PATIENCE: Duration = Duration::from_secs(90);

/// A place for data whose room can be taken and given back.
enum Disk {
    /// A file system in memory, in a mount namespace that its keeper holds: it goes with it.
    Mounted { keeper: Child, dir: PathBuf, enter: Vec<String> },
    /// A bound on the size of each file of the process.
    Bounded { dir: PathBuf },
}

impl Disk {
    /// Mounts one, as root or as one who may be root in a namespace of their own.
    fn mounted(dir: &Path) -> Option<Self> {
        let ways = [("-m", "-m"), ("-rm", "-m -U --preserve-credentials")];
        ways.into_iter().find_map(|(unshare, enter)| Self::mounted_by(dir, unshare, enter))
    }

    fn mounted_by(dir: &Path, unshare: &str, enter: &str) -> Option<Self> {
        let script = r#"mount -t tmpfs -o size="$1"k none "$2" && echo mounted && exec cat"#;
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", script, "sh", &ROOM_KIB.to_string()]).arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = command.spawn().ok()?;
        let mut line = String::new();
        // It says nothing when it may not mount.
        let _end = BufReader::new(keeper.stdout.take()?).read_line(&mut line);
        let enter = format!("nsenter -t {} {enter} --", keeper.id());
        let enter = enter.split(' ').map(str::to_owned).collect();
        let disk = Self::Mounted { keeper, dir: dir.to_owned(), enter };
        (line == "mounted\n").then_some(disk)
    }

    /// `incent` on it.
    fn incent(&self, args: &[&str]) -> Command {
        // The signal that goes with the bound on files is ignored, so that the write itself fails.
        let script = r#"trap '' XFSZ; cd "$0" && exec "$@""#;
        let (dir, enter) = match self {
            Self::Mounted { dir, enter, .. } => (dir, enter.as_slice()),
            Self::Bounded { dir } => (dir, [].as_slice()),
        };
        let mut words = enter.iter().map(String::as_str).chain(["sh", "-c", script]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).arg(dir).arg(env!("CARGO_BIN_EXE_incent")).args(args);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    /// A server on it.
    fn serve(&self) -> Platform {
        let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
        let mut command = self.incent(&args);
        command.env("INCENT_ADMIN_TOKEN", ADMIN_TOKEN).env("INCENT_LOG", "off");
        let (Self::Mounted { dir, .. } | Self::Bounded { dir }) = self;
        Platform::ready(&mut command, dir)
    }

    /// What takes the room.
    fn filler(keeper: &Child, dir: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}/filler", keeper.id(), dir.display()))
    }

    /// Leaves no room at all.
    fn fill(&self, platform: &Platform) {
        match self {
            Self::Mounted { keeper, dir, .. } => {
                let filler = Self::filler(keeper, dir);
                let mut file = File::create(filler).expect("a file on the disk");
                while file.write_all(&[7; 4096]).is_ok() {}
            }
            Self::Bounded { .. } => bound(platform, "1:"),
        }
    }

    /// Gives the room back.
    fn make_room(&self, platform: &Platform) {
        match self {
            Self::Mounted { keeper, dir, .. } => {
                std::fs::remove_file(Self::filler(keeper, dir)).expect("the filler goes");
            }
            Self::Bounded { .. } => bound(platform, "unlimited:"),
        }
    }
}

/// Sets the bound on the size of files that a process writes.
fn bound(platform: &Platform, bytes: &str) {
    let (id, bound) = (platform.id().to_string(), format!("--fsize={bytes}"));
    let set = Command::new("prlimit").args(["--pid", &id, &bound]).status();
    assert!(set.expect("prlimit runs").success(), "the bound is set");
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted { keeper, .. } = self {
            let _ended = keeper.kill();
            let _waited = keeper.wait();
        }
    }
}

/// A tenant that gives a point for each visit.
struct Shop {
    caller: Caller,
    url: String,
    api: String,
}

impl Shop {
    fn open(platform: &Platform) -> Self {
        let (url, api) = (platform.url.clone(), format!("{}/api/v1", platform.url));
        let mut shop = Self { caller: Caller::new(), url, api };
        let tenant = shop.made("/tenants", &json!({ "name": "Full", "timeZone": "UTC" }));
        let tenant = tenant["tenantId"].as_str().expect("an id").to_owned();
        shop.caller.tenant = Some(tenant);
        let campaign = shop.made(
            "/campaigns",
            &json!({
                "name": "Visits", "type": "SIMPLE", "startAt": "2020-01-01T00:00:00Z",
                "rule": { "on": ["visit"], "rewards": [
                    { "type": "POINTS", "currency": "POINTS", "amount": 1 }] },
            }),
        );
        let id = campaign["campaignId"].as_str().expect("an id");
        shop.caller.expect("POST", &format!("{}/campaigns/{id}:activate", shop.api), None);
        shop
    }

    fn made(&self, path: &str, body: &Value) -> Value {
        self.caller.expect("POST", &format!("{}{path}", self.api), Some(body))
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.caller.call(method, &format!("{}{path}", self.api), body).expect("an answer")
    }

    /// Whether the process takes requests, and why not.
    fn readiness(&self) -> (u16, Value) {
        self.caller.call("GET", &format!("{}/readyz", self.url), None).expect("an answer")
    }

    /// Sends the n-th call of events; true when all of it was accepted, false when all was refused.
    fn send(&self, n: usize) -> bool {
        let padding = "p".repeat(PADDING);
        let event = |i: usize| {
            json!({
                "eventId": format!("{n}-{i}"), "userId": format!("u{i}"), "action": "visit",
                "payload": { "padding": padding },
            })
        };
        let events: Vec<Value> = (0..CALL).map(event).collect();
        let (status, answer) = self.call("POST", "/events:batch", Some(&json!({"events": events})));
        if status == 200 {
            let results = answer["results"].as_array().expect("results");
            assert!(results.iter().all(|r| r["status"] == "ACCEPTED"), "{answer:#}");
            return true;
        }
        refused_for_want_of_room(status, &answer);
        false
    }
}

#[track_caller]
fn refused_for_want_of_room(status: u16, problem: &Value) {
    assert_eq!((status, &problem["code"]), (503, &json!("STORAGE_FULL")), "{problem:#}");
    assert_eq!(problem["retryable"], true, "{problem:#}");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("no room") && detail.contains("nothing was changed"), "{detail}");
}

/// Waits until something holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn nothing_is_lost(disk: &Disk) {
    let platform = disk.serve();
    let shop = Shop::open(&platform);
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    assert!(shop.send(0), "there is room");
    accepted.push(0);

    disk.fill(&platform);
    while refused.is_empty() {
        let n = accepted.len();
        assert!(n < CALLS_MAX, "a disk without room refuses");
        if shop.send(n) { accepted.push(n) } else { refused.push(n) }
    }
    // What operators change is refused as clearly, what is only read goes on.
    let more = json!({ "name": "One more", "timeZone": "UTC" });
    let answers = (0..CALLS_MAX).map(|_| shop.call("POST", "/tenants", Some(&more)));
    let (status, problem) = answers.into_iter().find(|a| a.0 != 201).expect("a refusal");
    refused_for_want_of_room(status, &problem);
    assert_eq!(shop.call("GET", "/tenants", None).0, 200);
    let mut last = Value::Null;
    until("readiness tells it", || {
        let (status, readiness) = shop.readiness();
        last = readiness;
        if status == 200 {
            let n = accepted.len() + refused.len();
            if shop.send(n) { accepted.push(n) } else { refused.push(n) }
        }
        status == 503
    });
    assert!(last["parts"].to_string().contains("free some space"), "{last:#}");

    disk.make_room(&platform);
    let begin = Instant::now();
    while let (503, readiness) = shop.readiness() {
        assert!(begin.elapsed() < PATIENCE, "it is ready again by itself: {readiness:#}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    for n in &refused {
        assert!(shop.send(*n), "what was refused was not stored, and is taken now");
    }
    let events = (accepted.len() + refused.len()) * CALL;
    assert_eq!(platform.stop().code(), Some(0));
    let args = ["doctor", "--data-dir", "data", "--deep", "-o", "json"];
    let report = disk.incent(&args).output().expect("incent runs").stdout;
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["healthy"], true, "{report:#}");
    let rows = &report["rows"];
    assert_eq!((&rows["events"], &rows["incentives"]), (&json!(events), &json!(events)));
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let dir = TempDir::new();
    match Disk::mounted(dir.path()) {
        Some(disk) => nothing_is_lost(&disk),
        // The other test shows what can be shown here.
        None => println!("no file system can be mounted here, so only a bounded file is tried"),
    }
}

#[test]
fn files_that_may_not_grow_lose_nothing_either() {
    let dir = TempDir::new();
    nothing_is_lost(&Disk::Bounded { dir: dir.path().to_owned() });
}

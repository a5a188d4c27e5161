//! From an event's acceptance to the frame at its user's socket, on the embedded platform: a server
//! process with everything (REST, log, calculator, relay, push) and this process as its callers.
//!
//! First the rate that it sustains: senders that send one event a request as fast as they are
//! answered, and how many frames arrive a second. Then half of that, on a fixed schedule, and how
//! long each frame took from the append time of its event (before it is durable) until it was read
//! from the user's WebSocket. Callers and server share the machine, as in all of these programs.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::id::UserRef;
use domain::time::Timestamp;
use engine::hub::{Hub, HubSettings};
use engine::ingest::Ingest;
use engine::ports::{Bus, Clock, HotStore, IdGen};
use engine::worker::{BATCH_MAX_DEFAULT, Ports, Worker};
use futures_util::StreamExt as _;
use http::auth::jwt::UserToken;
use http::push::{Push, PushMetrics, PushSettings, Verified, VerifyEndUser};
use http::{App, Config, Decided, Parts, Rate};
use store::control::{Control, LedgerAnswers, LocalControlPlane};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::pipeline::{TENANT, set_up};

const ADMIN: &str = "admin-token-of-the-benchmark";
/// Users who listen, unless told otherwise.
pub const USERS: usize = 500;
/// Connections that send.
pub const SENDERS: usize = 16;
/// How long each of the two measurements lasts.
const LASTS: Duration = Duration::from_secs(6);

/// Without `serve` it measures, for so many users; with a second number at that many events a second
/// instead of half of what it sustains.
pub fn run(runtime: &tokio::runtime::Runtime, arguments: &[String]) {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", dir] => runtime.block_on(serve(Path::new(dir))),
        ref others => {
            let number = |at: usize| others.get(at).and_then(|n| n.parse().ok());
            runtime.block_on(measure(number(0).unwrap_or(USERS), number(1)));
        }
    }
}

// ------------------------------------------------------------------------------------ the server

struct SystemClock;
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_stored(since.as_micros() as i64)
}

struct Ids(AtomicI64);
impl IdGen for Ids {
    fn uuid(&self) -> Uuid {
        let n = self.0.fetch_add(1, Ordering::Relaxed) as u128;
        Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n)
    }
    fn secret(&self) -> [u8; 32] {
        [1; 32]
    }
}

/// The token is the user: what signatures cost is paid once per connection and is not measured.
struct TokenIsUser;
impl VerifyEndUser for TokenIsUser {
    fn verify<'a>(&'a self, token: &'a str) -> Verified<'a> {
        Box::pin(async move {
            let expires_at = now().plus_micros(86_400_000_000);
            Ok(UserToken { tenant: TENANT, user: UserRef::new(token).unwrap(), expires_at })
        })
    }
}

/// The embedded platform, put together as `incent serve` does. Prints its address.
async fn serve(dir: &Path) {
    let db = SqliteDb::open(&dir.join("incent.db"), &DbOptions::default()).unwrap();
    set_up(&db).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdGen> = Arc::new(Ids(AtomicI64::new(1)));
    let hot: Arc<dyn HotStore> = Arc::new(SqliteHotStore::new(db.clone()));
    let hub = Hub::new(hot.clone(), HubSettings::default());
    let bus = SqliteBus::open(db.clone(), clock.clone(), hub.clone()).await.unwrap();
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let control = Control::Sqlite(db);
    let plane = Arc::new(LocalControlPlane::new(control.clone(), clock.clone()));
    let ports =
        Ports { bus: bus.clone(), store: hot.clone(), control: plane, clock: clock.clone(), limits: None };
    let mut registry = prometheus_client::registry::Registry::default();
    let engine = engine::metrics::Metrics::registered(&mut registry);
    let metrics = http::Metrics::register(&mut registry);
    let mut worker = Worker::new(0, BATCH_MAX_DEFAULT, ports, engine.clone());
    worker.announce_progress_to(hub.clone());
    let (decided, relay) = (worker.progress(), worker.relay());
    let stop = CancellationToken::new();
    let _calculator = worker.on_thread(tokio::runtime::Handle::current(), stop.clone()).unwrap();
    tokio::spawn(relay.run(stop.clone()));
    let unlimited = Rate { per_second: 1_000_000, burst: 1_000_000 };
    let config = Config {
        admin_token: Some(ADMIN.into()),
        rate: unlimited,
        tenant_events: unlimited,
        ..Config::new([7; 32])
    };
    let app = App::new(Parts {
        aggregates: Arc::new(LedgerAnswers::new(control.clone())),
        control,
        ingest: Arc::new(Ingest::new(bus, clock.clone(), ids.clone(), engine)),
        hot,
        decided: Decided::Here(decided),
        clock: clock.clone(),
        ids,
        probes: Vec::new(),
        metrics,
        registry: Arc::new(registry),
        config,
    });
    let settings = PushSettings::default();
    let push = Push::new(hub, Arc::new(TokenIsUser), clock, settings, PushMetrics::default());
    let router = http::router_with(app.clone(), push);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    http::serve(listener, app, router, std::future::pending()).await;
}

// ------------------------------------------------------------------------------------ the callers

/// One connection that sends.
pub struct Sender {
    stream: TcpStream,
    key: String,
    answer: Vec<u8>,
}

impl Sender {
    pub async fn new(at: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, key: key.to_owned(), answer: Vec::new() }
    }

    /// Posts a document; the status and the whole answer.
    async fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        self.send("POST", path, body).await
    }

    /// Sends a document; the status and the whole answer.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (key, length) = (&self.key, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await.unwrap() == 0 {
                panic!("the server has closed");
            }
            let text = String::from_utf8_lossy(&self.answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return (head[9..12].parse().unwrap(), text.into_owned());
            }
        }
    }

    /// Sends event number `n`; how long the answer took.
    async fn event(&mut self, n: u64, users: usize) -> Duration {
        let user = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % users as u64;
        let body = format!(
            r#"{{"eventId":"order-{n}","userId":"user-{user}","action":"purchase","payload":{{"amount":{}.{:02},"country":"FR"}}}}"#,
            10 + n % 90,
            n % 100
        );
        let begun = Instant::now();
        let (status, answer) = self.post("/api/v1/events", &body).await;
        assert_eq!(status, 202, "{answer}");
        begun.elapsed()
    }
}

/// What the users' sockets have received.
#[derive(Default)]
struct Received {
    frames: AtomicU64,
    /// From append time to here, microseconds.
    took: Mutex<Vec<i64>>,
}

/// Listens as one user for ever.
async fn listen(at: SocketAddr, token: String, received: Arc<Received>, ready: Arc<AtomicU64>) {
    let mut request = format!("ws://{at}/ws?afterSeq=0").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers.insert("sec-websocket-protocol", "incent.v1".parse().unwrap());
    let stream = TcpStream::connect(at).await.unwrap();
    // The usual buffer is cleared at each read, which costs more than all else that a caller does.
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let (mut socket, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.unwrap();
    ready.fetch_add(1, Ordering::Relaxed);
    while let Some(Ok(message)) = socket.next().await {
        let Ok(text) = message.to_text() else { continue };
        let Some((_, issued)) = text.split_once(r#""issuedAt":""#) else { continue };
        let issued: Timestamp = issued.split('"').next().unwrap().parse().unwrap();
        received.took.lock().unwrap().push(now().micros() - issued.micros());
        received.frames.fetch_add(1, Ordering::Relaxed);
    }
}

async fn measure(users: usize, rate: Option<usize>) {
    let dir = std::env::temp_dir().join(format!("incent-latency-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["latency", "serve", dir.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = line.trim().parse().unwrap();
    let wanted = r#"{"name":"bench","scopes":["events:write"]}"#;
    let path = format!("/api/v1/tenants/{TENANT}/api-keys");
    let (status, answer) = Sender::new(at, ADMIN).await.post(&path, wanted).await;
    assert_eq!(status, 201, "{answer}");
    let key = answer.split(r#""key":""#).nth(1).unwrap().split('"').next().unwrap();
    let platform = Platform {
        events: at,
        push: at,
        keys: vec![key.to_owned(); SENDERS],
        tokens: (0..users).map(|user| format!("user-{user}")).collect(),
        goal_ms: 20,
    };
    Run::begin(platform).await.report(rate).await;
    server.kill().unwrap();
    server.wait().unwrap();
    let _removed = std::fs::remove_dir_all::<PathBuf>(dir);
}

/// What is measured.
pub struct Platform {
    /// Where events are sent.
    pub events: SocketAddr,
    /// Where users listen.
    pub push: SocketAddr,
    /// A key of the tenant for each sender.
    pub keys: Vec<String>,
    /// A token for each user: `user-0`, `user-1` …
    pub tokens: Vec<String>,
    /// What the 99th percentile has to be at most.
    pub goal_ms: u32,
}

pub struct Run {
    users: usize,
    goal_ms: u32,
    senders: Vec<Sender>,
    next: Arc<AtomicU64>,
    received: Arc<Received>,
}

impl Run {
    /// Everybody is connected.
    pub async fn begin(platform: Platform) -> Self {
        let Platform { events, push, keys, tokens, goal_ms } = platform;
        let (received, ready) = (Arc::new(Received::default()), Arc::new(AtomicU64::new(0)));
        let users = tokens.len();
        for token in tokens {
            tokio::spawn(listen(push, token, received.clone(), ready.clone()));
        }
        let mut senders = Vec::new();
        for key in keys {
            senders.push(Sender::new(events, &key).await);
        }
        while ready.load(Ordering::Relaxed) < users as u64 {
            pause().await;
        }
        Self { users, goal_ms, senders, next: Arc::new(AtomicU64::new(0)), received }
    }

    /// Sends until the time is over, each sender an event every so often; 0 = as fast as it can.
    /// Gives how long the answers took.
    async fn send(&mut self, every: Duration) -> Vec<Duration> {
        let begun = Instant::now();
        let mut running = Vec::new();
        let senders = self.senders.len();
        for (i, mut sender) in std::mem::take(&mut self.senders).into_iter().enumerate() {
            let (next, users) = (self.next.clone(), self.users);
            let first = begun + every.mul_f64(i as f64 / senders as f64);
            running.push(tokio::spawn(async move {
                let mut answers = Vec::new();
                for turn in 0.. {
                    let at = first + every * turn;
                    if begun.elapsed() >= LASTS {
                        break;
                    }
                    if !every.is_zero() {
                        // tidy-allow(sleep-in-test): the schedule of a benchmark
                        tokio::time::sleep_until(at.into()).await;
                    }
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    answers.push(sender.event(n, users).await);
                }
                (sender, answers)
            }));
        }
        let mut answers = Vec::new();
        for sender in running {
            let (sender, more) = sender.await.unwrap();
            self.senders.push(sender);
            answers.extend(more);
        }
        answers
    }

    /// Waits until every event sent has brought its frame.
    async fn drained(&self) {
        while self.received.frames.load(Ordering::Relaxed) < self.next.load(Ordering::Relaxed) {
            pause().await;
        }
    }

    pub async fn report(mut self, wanted: Option<usize>) {
        // The first time warms up.
        for warm in [true, false] {
            let (begun, before) = (Instant::now(), self.next.load(Ordering::Relaxed));
            self.send(Duration::ZERO).await;
            let sending = begun.elapsed();
            self.drained().await;
            let sent = (self.next.load(Ordering::Relaxed) - before) as f64;
            let rate = sent / begun.elapsed().as_secs_f64();
            self.received.took.lock().unwrap().clear();
            if warm {
                continue;
            }
            println!(
                "full rate: {:.0} events/s accepted, {rate:.0} frames/s received; {} users, {} senders, one event a request",
                sent / sending.as_secs_f64(),
                self.users,
                self.senders.len()
            );
            let wanted = wanted.map_or(rate / 2.0, |rate| rate as f64);
            let every = Duration::from_secs_f64(self.senders.len() as f64 / wanted);
            let begun = Instant::now();
            let answers = self.send(every).await;
            let reached = answers.len() as f64 / begun.elapsed().as_secs_f64();
            self.drained().await;
            let took = std::mem::take(&mut *self.received.took.lock().unwrap());
            let took = took.into_iter().map(|us| us as f64 / 1000.0).collect();
            println!("on a schedule: {reached:.0} events/s");
            quantiles("  request sent -> 202 received", answers.iter().map(|a| a.as_secs_f64() * 1000.0).collect());
            quantiles("  accepted -> frame at the socket", took);
            println!("  (goal: p99 of accepted -> frame {} ms or less)", self.goal_ms);
        }
    }
}

fn quantiles(name: &str, mut ms: Vec<f64>) {
    ms.sort_by(f64::total_cmp);
    let at = |q: f64| ms[((ms.len() - 1) as f64 * q) as usize];
    println!("{name}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms ({} of them)", at(0.5), at(0.99), at(1.0), ms.len());
}

async fn pause() {
    // tidy-allow(sleep-in-test): a benchmark that waits for its clients
    tokio::time::sleep(Duration::from_millis(5)).await;
}

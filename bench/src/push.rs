//! How push compares with the bare limit, measured in the same run:
//!
//! 1. **memory**: resident memory of a server process per idle connection;
//! 2. **distinct**: every user gets a frame of their own, against a loop that writes ready-made
//!    frames to as many sockets, one `write` each;
//! 3. **bursts**: 32 frames at once for each connection, against a loop that feeds 32 ready-made
//!    frames to a WebSocket and flushes.
//!
//! Rates are per second of processor time of the serving thread, so that a busy machine disturbs
//! little, and alternate with their yardstick round by round. What is measured is all of ours, from
//! [`Announce::announce`] to the socket: lookup, queue, wake-up, writing the JSON, framing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::id::{TenantId, UserRef};
use domain::time::Timestamp;
use engine::hub::{Dialect, Frame, Hub, HubSettings};
use engine::ports::{Announce as _, Clock, IncentiveEvent, Place};
use futures_util::SinkExt as _;
use http::auth::jwt::UserToken;
use http::push::{self, Push, PushMetrics, PushSettings, Verified, VerifyEndUser};
use testkit::inbox::MemoryInbox;
use testkit::incentive::incentive;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::timing::median;

const TENANT: TenantId = TenantId(uuid::Uuid::from_u128(1));
/// Connections whose memory is measured.
const IDLE: usize = 10_000;
/// Connections that are written to.
const BUSY: usize = 1_000;
/// Rounds of each measurement; the median counts.
const ROUNDS: usize = 9;
/// Frames per connection and round when they are distinct.
const SINGLES: usize = 30;
/// Frames per connection at once.
const BURST: usize = 32;
/// Incentives announced at once, as many as the relay publishes at once.
const ANNOUNCED: usize = 1000;
/// Bursts per connection and round.
const BURSTS: usize = 10;

/// Without arguments it measures; with them it is one of its own helper processes.
pub fn run(arguments: &[String]) {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["drain", at, many, kind] => drain(at, many.parse().unwrap(), kind == "ws"),
        ["speed"] => fan_out(),
        _ => {
            memory();
            fan_out();
        }
    }
}

// -------------------------------------------------------------------------------- what is served

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

/// The token is the user.
struct TokenIsUser;

impl VerifyEndUser for TokenIsUser {
    fn verify<'a>(&'a self, token: &'a str) -> Verified<'a> {
        Box::pin(async move {
            let user = UserRef::new(token).unwrap();
            let expires_at = Timestamp::default().plus_micros(86_400_000_000);
            Ok(UserToken { tenant: TENANT, user, expires_at })
        })
    }
}

fn server() -> (Arc<Hub>, axum::Router) {
    let hub = Hub::new(MemoryInbox::default(), HubSettings::default());
    // Clients that only throw away what they read answer no ping.
    let settings =
        PushSettings { ping_every: Duration::from_secs(3600), ..PushSettings::default() };
    let push = Push::new(
        hub.clone(),
        Arc::new(TokenIsUser),
        Arc::new(Now),
        settings,
        PushMetrics::default(),
    );
    (hub, push::router(push))
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn on_tokio(listener: TcpListener) -> tokio::net::TcpListener {
    listener.set_nonblocking(true).unwrap();
    tokio::net::TcpListener::from_std(listener).unwrap()
}

/// A server of its own process: prints its address, then answers each line with how many sessions
/// it has and its resident memory in KiB.
fn serve() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = listen();
    println!("{}", listener.local_addr().unwrap());
    let (hub, router) = server();
    runtime.spawn(async move { axum::serve(on_tokio(listener), router).await });
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        println!("{} {}", hub.sessions(), resident_kib());
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

// ------------------------------------------------------------------------------------ the clients

fn another(arguments: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("push").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn handshake(at: SocketAddr, user: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {user}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
    stream
}

/// A process that reads from so many connections and throws away what it reads.
fn drain(at: &str, many: usize, is_websocket: bool) {
    let at: SocketAddr = at.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let streams: Vec<_> =
        (0..many)
            .map(|n| {
                if is_websocket { handshake(at, &user(n)) } else { TcpStream::connect(at).unwrap() }
            })
            .collect();
    println!("ready");
    runtime.block_on(async {
        let mut readers = Vec::new();
        for stream in streams {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            readers.push(tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    stream.readable().await.unwrap();
                    match stream.try_read(&mut buffer) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }));
        }
        for reader in readers {
            reader.await.unwrap();
        }
    });
}

fn user(n: usize) -> String {
    format!("user-{n}")
}

// ----------------------------------------------------------------------------------- measurements

fn memory() {
    let mut server = another(&["serve"]);
    let mut out = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut ask = server.stdin.take().unwrap();
    let at: SocketAddr = out.next().unwrap().unwrap().parse().unwrap();
    let mut state = || {
        ask.write_all(b"\n").unwrap();
        let line = out.next().unwrap().unwrap();
        let (sessions, kib) = line.split_once(' ').unwrap();
        (sessions.parse::<usize>().unwrap(), kib.parse::<u64>().unwrap())
    };
    // The first ones warm up what is needed once.
    let mut held: Vec<_> = (0..100).map(|n| handshake(at, &user(n))).collect();
    let (_, before) = state();
    held.extend((100..100 + IDLE).map(|n| handshake(at, &user(n))));
    let (sessions, after) = state();
    assert_eq!(sessions, IDLE + 100);
    let each = (after - before) as f64 / IDLE as f64;
    println!("memory    {IDLE} idle connections: {each:.2} KiB each (goal: 6 or less)");
    drop(held);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Nanoseconds that this thread has run.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Connections to a draining process, accepted.
fn bare_sockets() -> (Child, Vec<TcpStream>) {
    let listener = listen();
    let at = listener.local_addr().unwrap().to_string();
    let client = another(&["drain", &at, &BUSY.to_string(), "bare"]);
    let sockets = (0..BUSY).map(|_| {
        let socket = listener.accept().unwrap().0;
        socket.set_nodelay(true).unwrap();
        socket
    });
    let sockets = sockets.collect();
    (client, sockets)
}

fn fan_out() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut loop_client, mut sockets) = bare_sockets();
        let (mut feed_client, feeds) = bare_sockets();
        let mut feeds = websockets(feeds).await;
        let (hub, router) = server();
        let listener = listen();
        let at = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let listener = on_tokio(listener);
            axum::serve(
                axum::serve::ListenerExt::tap_io(listener, |io| {
                    io.set_nodelay(true).unwrap();
                }),
                router,
            )
            .await
        });
        let mut client = another(&["drain", &at, &BUSY.to_string(), "ws"]);
        while hub.sessions() < BUSY {
            // tidy-allow(sleep-in-test): a benchmark that waits for its clients
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut ours = Ours { hub, next: 1 };

        let (mut bare, mut push) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(loop_of_writes(&mut sockets));
            push.push(ours.singles().await);
        }
        report("distinct", "a loop of writes", bare, push, 0.8);
        let (mut bare, mut push) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(loop_of_feeds(&mut feeds).await);
            push.push(ours.bursts().await);
        }
        report("bursts", "feed and flush", bare, push, 0.5);
        for client in [&mut loop_client, &mut feed_client, &mut client] {
            client.kill().unwrap();
            client.wait().unwrap();
        }
    });
}

/// Prints the medians, and the median of the ratios round by round: both sides of a round ran in
/// the same moments of the machine.
fn report(name: &str, yardstick: &str, bare: Vec<f64>, push: Vec<f64>, goal: f64) {
    let ratio = median(push.iter().zip(&bare).map(|(push, bare)| push / bare).collect());
    let (bare, push) = (median(bare), median(push));
    println!(
        "{name:9} {push:>9.0} frames/s, {yardstick}: {bare:>9.0} frames/s: ratio {ratio:.2} (goal: {goal} or more)"
    );
}

/// Runs `work`, which sends so many frames; gives frames per second of processor time.
async fn rate(frames: usize, work: impl Future<Output = ()>) -> f64 {
    let begun = processor_ns();
    work.await;
    frames as f64 * 1e9 / (processor_ns() - begun) as f64
}

fn frame_bytes() -> Vec<u8> {
    let text = Frame::new(Arc::new(incentive(TENANT, "user-1", 1))).text(Dialect::Plain);
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 126], &length[..], &text].concat()
}

/// The yardstick of distinct frames.
fn loop_of_writes(sockets: &mut [TcpStream]) -> f64 {
    let frame = frame_bytes();
    let begun = processor_ns();
    for _ in 0..SINGLES {
        for socket in &mut *sockets {
            socket.write_all(&frame).unwrap();
        }
    }
    (SINGLES * BUSY) as f64 * 1e9 / (processor_ns() - begun) as f64
}

async fn websockets(sockets: Vec<TcpStream>) -> Vec<WebSocketStream<tokio::net::TcpStream>> {
    let mut all = Vec::new();
    for socket in sockets {
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::TcpStream::from_std(socket).unwrap();
        all.push(WebSocketStream::from_raw_socket(socket, Role::Server, None).await);
    }
    all
}

/// The yardstick of bursts.
async fn loop_of_feeds(sockets: &mut [WebSocketStream<tokio::net::TcpStream>]) -> f64 {
    let text = Frame::new(Arc::new(incentive(TENANT, "user-1", 1))).text(Dialect::Plain);
    let message = Message::text(std::str::from_utf8(&text).unwrap());
    rate(BURSTS * BURST * BUSY, async {
        for _ in 0..BURSTS {
            for socket in &mut *sockets {
                for _ in 0..BURST {
                    socket.feed(message.clone()).await.unwrap();
                }
                socket.flush().await.unwrap();
            }
        }
    })
    .await
}

struct Ours {
    hub: Arc<Hub>,
    next: u64,
}

impl Ours {
    async fn singles(&mut self) -> f64 {
        let rounds = (0..SINGLES).map(|_| self.events(1)).collect();
        self.announce(rounds).await
    }

    async fn bursts(&mut self) -> f64 {
        let rounds = (0..BURSTS).map(|_| self.events(BURST)).collect();
        self.announce(rounds).await
    }

    /// The next incentives of every user.
    fn events(&mut self, each: usize) -> Vec<IncentiveEvent> {
        let seqs = self.next..self.next + each as u64;
        self.next = seqs.end;
        let users = (0..BUSY).flat_map(|n| seqs.clone().map(move |seq| (n, seq)));
        users
            .map(|(n, seq)| IncentiveEvent {
                incentive: Arc::new(incentive(TENANT, &user(n), seq)),
                place: Place { batch_seq: 1, ordinal: 0 },
            })
            .collect()
    }

    async fn announce(&self, rounds: Vec<Vec<IncentiveEvent>>) -> f64 {
        let frames = rounds.iter().map(Vec::len).sum();
        rate(frames, async {
            for events in &rounds {
                let target = self.hub.metrics().delivered.get() + events.len() as u64;
                for part in events.chunks(ANNOUNCED) {
                    self.hub.announce(part);
                    tokio::task::yield_now().await;
                }
                while self.hub.metrics().delivered.get() < target {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await
    }
}

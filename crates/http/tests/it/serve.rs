//! The server at the socket: what is slow, large or malformed there, and how it stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::ports::Announce as _;
use http::Config;
use http::push::{Push, PushMetrics, PushSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::Server;

/// A server that listens.
struct Listening {
    at: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    server: Server,
}

impl Listening {
    async fn of(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let ended = tokio::spawn(http::serve(listener, server.app(), server.router(), stopped));
        Self { at, stop, ended, server }
    }
}

async fn listening(settings: impl FnOnce(Config) -> Config) -> Listening {
    Listening::of(Server::with(settings, http::router).await).await
}

fn hasty(config: Config) -> Config {
    let short = Duration::from_millis(200);
    Config { header_timeout: short, body_timeout: short, ..config }
}

/// Sends bytes and reads until the server closes, at most ten seconds.
async fn exchange(at: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    // A server that has had enough may close before everything is written.
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let whole = stream.read_to_end(&mut answer);
    // A reset is an end, too.
    let _ = tokio::time::timeout(Duration::from_secs(10), whole).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn slow_headers_and_bodies_are_cut_off() {
    let server = listening(hasty).await;
    let begun = Instant::now();
    let answer = exchange(server.at, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(!answer.contains(" 200 "), "{answer}");
    let head = format!(
        "POST /api/v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 100\r\nConnection: close\r\n\r\n{{",
        crate::support::ADMIN
    );
    let answer = exchange(server.at, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("REQUEST_TIMEOUT"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn malformed_requests_are_refused_and_nothing_breaks() {
    let server = listening(|config| config).await;
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let large = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(1 << 20));
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let cases = [
        many.as_str(),
        &large,
        &path,
        "nonsense\r\n\r\n",
        "GET /healthz HTTP/9.9\r\n\r\n",
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    for case in cases {
        let answer = exchange(server.at, case.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or("closed");
        assert!(matches!(status, "closed" | "400" | "401" | "414" | "431"), "{answer}");
    }
    let fine =
        exchange(server.at, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(fine.starts_with("HTTP/1.1 200 ") && fine.contains("request-id: "), "{fine}");
    let head =
        exchange(server.at, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn a_body_without_end_is_refused_early() {
    let server = listening(|config| config).await;
    let mut stream = TcpStream::connect(server.at).await.expect("a connection");
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Incent-Tenant: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        crate::support::ADMIN,
        server.server.tenant("Acme").await,
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    // Far more than is taken: the server must stop reading long before.
    while sent < 1000 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
        let mut answer = [0; 12];
        let ready = tokio::time::timeout(Duration::from_millis(5), stream.peek(&mut answer)).await;
        if let Ok(Ok(12)) = ready {
            assert_eq!(&answer, b"HTTP/1.1 413", "after {sent} chunks");
            return;
        }
    }
    assert!(sent < 1000, "64 MB were taken");
}

/// What is refused by its head alone is still read: the connection then serves what comes next.
#[tokio::test]
async fn a_body_that_comes_after_its_refusal_leaves_the_connection_usable() {
    let server = listening(|config| config).await;
    let heads = [
        ("POST /api/v1/events", 401),
        ("POST /api/v1/nowhere", 404),
        ("PATCH /api/v1/events", 405),
        ("GET /api/v1/tenants", 401),
    ];
    for (head, status) in heads {
        let mut stream = TcpStream::connect(server.at).await.expect("a connection");
        let head = format!("{head} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        let early = tokio::time::timeout(Duration::from_millis(50), stream.peek(&mut [0])).await;
        assert!(early.is_err(), "it answers before the body is there: {head} {early:?}");
        stream.write_all(b"null").await.expect("written");
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .expect("written");
        let answers = read(&mut stream).await;
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{head} {answers}");
        assert!(answers.contains("HTTP/1.1 200 "), "{head} {answers}");
    }
}

/// A client that waits for leave before it sends its body is refused without having to send it, and
/// told that the connection ends.
#[tokio::test]
async fn what_is_not_read_to_its_end_closes_the_connection_and_says_so() {
    let server = listening(|config| config).await;
    let head = "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: ";
    for rest in ["4\r\nExpect: 100-continue\r\n\r\n", "4\r\n\r\n", "999999999\r\n\r\n{"] {
        let answer = exchange(server.at, format!("{head}{rest}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{rest:?} {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{rest:?} {answer}");
    }
}

#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let server = listening(|config| config).await;
    let mut idle = TcpStream::connect(server.at).await.expect("a connection");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.stop.send(()).expect("it runs");
    tokio::time::timeout(Duration::from_secs(5), server.ended)
        .await
        .expect("in time")
        .expect("well");
    read(&mut idle).await;
    assert!(TcpStream::connect(server.at).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_given_up() {
    let short = Duration::from_millis(200);
    let server = Server::assembled(
        |config| Config { stall_timeout: short, ..config },
        |app, hub| {
            let (verifier, clock) = (Arc::new(app.clone()), app.clock.clone());
            let (settings, metrics) = (PushSettings::default(), PushMetrics::default());
            http::router_with(app, Push::new(hub, verifier, clock, settings, metrics))
        },
    );
    let server = Listening::of(server.await).await;
    let tenant = server.server.tenant("Acme").await;
    let token = server.server.tokens(tenant).await("u1");
    // A window as small as it goes, so that little is under way.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a buffer");
    let mut stream = socket.connect(server.at).await.expect("a connection");
    let request = format!("GET /sse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let hub = server.server.hub.clone();
    assert_eq!(hub.sessions(), 1);
    let inbox = testkit::inbox::MemoryInbox::default();
    let given_up = async {
        // Whatever the buffers of this machine hold, some time they are full.
        for seq in (1..).take_while(|_| hub.sessions() > 0) {
            hub.announce(&[inbox.commit(tenant, "u1", seq)]);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), given_up).await.expect("it is given up");
}

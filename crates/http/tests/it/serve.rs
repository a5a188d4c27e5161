//! The server at the socket: what is slow, large or malformed there, and how it stops.

use std::time::{Duration, Instant};

use http::Config;
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
    _server: Server,
}

async fn listening(settings: impl FnOnce(Config) -> Config) -> Listening {
    let server = Server::with(settings, http::router).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let ended = tokio::spawn(http::serve(listener, server.app(), server.router(), stopped));
    Listening { at, stop, ended, _server: server }
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
        server._server.tenant("Acme").await,
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

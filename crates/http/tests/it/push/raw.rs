//! Connections that do not behave, over a bare socket.

use std::time::Duration;

use engine::ports::Announce as _;
use http::push::PushSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{World, narrow, quiet, soon};

/// Opens a connection by hand and reads the answer's head.
async fn open(world: &World, path: &str, more: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good.u1\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the head", stream.read_u8()).await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

async fn upgraded(world: &World) -> TcpStream {
    let more = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (stream, head) = open(world, "/ws", more).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

/// All that comes until the end, and the code of the close frame in it. The connection may end with
/// a reset, when the server has stopped reading.
async fn rest(mut stream: TcpStream) -> (Vec<u8>, Option<u16>) {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = soon("the end", stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..n]);
    }
    // 0x88 begins a close frame of the server; its code comes after the length.
    let close = all.windows(4).rev().find(|frame| frame[0] == 0x88);
    let code = close.map(|frame| u16::from_be_bytes([frame[2], frame[3]]));
    (all, code)
}

#[tokio::test]
async fn a_request_that_is_no_websocket() {
    let world = World::new(quiet()).await;
    let (_, head) = open(&world, "/ws", "").await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    assert!(head.contains("application/problem+json"), "{head}");
    world.emptied().await;
}

/// What a client asks with in the example of RFC 6455, 1.3.
const ASKED: [&str; 4] = [
    "connection: keep-alive, Upgrade\r\n",
    "upgrade: WebSocket\r\n",
    "sec-websocket-version: 13\r\n",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
];

#[tokio::test]
async fn an_upgrade_is_answered_as_the_standard_says() {
    let world = World::new(quiet()).await;
    let (_stream, head) = open(&world, "/ws", &ASKED.concat()).await;
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
    ] {
        assert!(head.lines().any(|one| one == line), "no {line:?} in {head}");
    }
    assert!(!head.contains("sec-websocket-protocol"), "none was offered: {head}");
}

#[tokio::test]
async fn an_upgrade_that_lacks_anything_is_none() {
    let world = World::new(quiet()).await;
    for missing in 0..ASKED.len() {
        let mut asked = ASKED;
        asked[missing] = "";
        let (_, head) = open(&world, "/ws", &asked.concat()).await;
        assert!(head.starts_with("HTTP/1.1 426 "), "without {:?}: {head}", ASKED[missing]);
    }
    for (place, other) in [
        (0, "connection: upgraded\r\n"),
        (1, "upgrade: h2c\r\n"),
        (2, "sec-websocket-version: 12\r\n"),
    ] {
        let mut asked = ASKED;
        asked[place] = other;
        let (_, head) = open(&world, "/ws", &asked.concat()).await;
        assert!(head.starts_with("HTTP/1.1 426 "), "with {other:?}: {head}");
    }
    world.emptied().await;
}

#[tokio::test]
async fn one_that_answers_no_ping_is_closed() {
    let settings = PushSettings {
        ping_every: Duration::from_millis(20),
        pong_within: Duration::from_millis(20),
        ..quiet()
    };
    let world = World::new(settings).await;
    let stream = upgraded(&world).await;
    let (all, code) = rest(stream).await;
    assert_eq!(&all[..2], [0x89, 0], "a ping comes first");
    assert_eq!(code, Some(4002));
    world.emptied().await;
}

#[tokio::test]
async fn one_that_answers_pings_stays() {
    let settings = PushSettings {
        ping_every: Duration::from_millis(20),
        pong_within: Duration::from_secs(600),
        ..quiet()
    };
    let world = World::new(settings).await;
    let mut stream = upgraded(&world).await;
    for _ in 0..4 {
        let mut ping = [0; 2];
        soon("a ping", stream.read_exact(&mut ping)).await.unwrap();
        assert_eq!(ping, [0x89, 0]);
        stream.write_all(&[0x8a, 0x80, 1, 2, 3, 4]).await.unwrap();
    }
    assert_eq!(world.hub.sessions(), 1);
}

#[tokio::test]
async fn one_that_never_reads_is_let_go() {
    let settings = PushSettings {
        write_within: Duration::from_millis(50),
        close_within: Duration::from_millis(20),
        ..narrow(64)
    };
    let world = World::new(settings).await;
    let stream = upgraded(&world).await;
    // Until no buffer takes any more, and the write has timed out.
    for seq in 1.. {
        world.hub.announce(&[world.commit("u1", seq)]);
        if world.hub.sessions() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(stream);
}

#[tokio::test]
async fn frames_that_break_the_protocol() {
    let world = World::new(quiet()).await;
    for (frame, code) in [
        // Not masked.
        (&[0x81, 0x01, b'x'][..], 1002),
        // A reserved opcode.
        (&[0x83, 0x80, 0, 0, 0, 0][..], 1002),
        // A continuation of nothing.
        (&[0x80, 0x80, 0, 0, 0, 0][..], 1002),
        // A ping in pieces.
        (&[0x09, 0x80, 0, 0, 0, 0][..], 1002),
        // Reserved bits.
        (&[0xf1, 0x80, 0, 0, 0, 0][..], 1002),
        // One GiB announced.
        (&[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0][..], 1009),
        // 2^63 and more.
        (&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], 1009),
    ] {
        let mut stream = upgraded(&world).await;
        stream.write_all(frame).await.unwrap();
        assert_eq!(rest(stream).await.1, Some(code), "{frame:x?}");
    }
    world.emptied().await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &world.registry).unwrap();
    assert!(text.contains("incent_push_ended_total{code=\"1002\"} 5\n"), "{text}");
    assert!(text.contains("incent_push_ended_total{code=\"1009\"} 2\n"), "{text}");
}

#[tokio::test]
async fn a_connection_that_breaks_gives_its_place_back() {
    let world = World::new(quiet()).await;
    for _ in 0..3 {
        drop(upgraded(&world).await);
    }
    world.emptied().await;
}

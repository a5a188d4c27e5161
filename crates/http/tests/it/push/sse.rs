//! The event stream.

use std::time::Duration;

use http::push::PushSettings;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::world::{World, narrow, quiet, soon};

/// Reads a stream as RFC 9112 chunks of text/event-stream.
struct Stream {
    lines: BufReader<TcpStream>,
    text: String,
}

struct Event {
    id: Option<String>,
    data: Value,
}

async fn ask(world: &World, path: &str, headers: &str) -> (u16, String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        soon("the head", lines.read_line(&mut head)).await.unwrap();
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, lines)
}

impl Stream {
    async fn open(world: &World, path: &str, more: &str) -> Self {
        let headers = format!("authorization: Bearer good.u1\r\n{more}");
        let (status, head, lines) = ask(world, path, &headers).await;
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        assert!(head.contains("cache-control: no-store\r\n"), "{head}");
        Self { lines, text: String::new() }
    }

    /// The next block of lines, up to an empty one; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let mut size = String::new();
            soon("a chunk", self.lines.read_line(&mut size)).await.unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            soon("a chunk", self.lines.read_exact(&mut chunk)).await.unwrap();
            if size == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
        }
    }

    /// The next event.
    async fn event(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
            };
            if let Some(data) = field("data: ") {
                return Event { id: field("id: "), data: serde_json::from_str(&data).unwrap() };
            }
        }
    }

    /// The `seq`s of so many incentives, each of which must be its event's id as well.
    async fn seqs(&mut self, many: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < many {
            let event = self.event().await;
            assert_eq!(event.data["type"], "INCENTIVE_NOTIFICATION", "{}", event.data);
            let seq = event.data["seq"].as_u64().unwrap();
            assert_eq!(event.id, Some(seq.to_string()));
            seqs.push(seq);
        }
        seqs
    }
}

#[tokio::test]
async fn it_begins_with_what_is_new() {
    let world = World::new(quiet()).await;
    world.grant("u1", 1..=3);
    let mut stream = Stream::open(&world, "/sse", "").await;
    let retry = stream.block().await.unwrap();
    assert_eq!(retry, "retry: 2000");
    let hello = stream.event().await;
    assert_eq!((&hello.data["type"], &hello.data["lastSeq"]), (&"HELLO".into(), &3.into()));
    // A client that loses the stream now resumes from here.
    assert_eq!(hello.id.as_deref(), Some("3"));
    world.grant("u1", 4..=6);
    assert_eq!(stream.seqs(3).await, [4, 5, 6]);
}

#[tokio::test]
async fn it_resumes_after_a_cursor() {
    let world = World::new(narrow(2)).await;
    world.grant("u1", 1..=20);
    for (path, header) in [
        ("/sse", "last-event-id: 5\r\n"),
        ("/sse?afterSeq=5", ""),
        // What the client has seen since wins over the address it was opened with.
        ("/sse?afterSeq=2", "last-event-id: 5\r\n"),
    ] {
        let mut stream = Stream::open(&world, path, header).await;
        let hello = stream.event().await;
        assert_eq!(hello.id.as_deref(), Some("5"), "nothing of 6 to 20 may be skipped");
        let resumed = stream.event().await.data;
        assert_eq!((&resumed["type"], &resumed["afterSeq"]), (&"RESUMED".into(), &5.into()));
        assert_eq!(stream.seqs(15).await, (6..=20).collect::<Vec<_>>());
    }
    let mut stream = Stream::open(&world, "/sse?afterSeq=19", "").await;
    stream.event().await;
    stream.event().await;
    world.grant("u1", 21..=40);
    assert_eq!(stream.seqs(21).await, (20..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_shows_that_it_lives() {
    let settings = PushSettings { heartbeat_every: Duration::from_millis(10), ..quiet() };
    let world = World::new(settings).await;
    let mut stream = Stream::open(&world, "/sse", "").await;
    stream.block().await;
    stream.block().await;
    assert_eq!(stream.block().await.as_deref(), Some(":"));
    assert_eq!(stream.block().await.as_deref(), Some(":"));
}

#[tokio::test]
async fn it_says_why_it_ends() {
    let world = World::new(quiet()).await;
    let mut stream = Stream::open(&world, "/sse", "").await;
    stream.event().await;
    world.grant("u1", [1]);
    world.hub.drain();
    assert_eq!(stream.seqs(1).await, [1]);
    let close = stream.event().await.data;
    assert_eq!((&close["type"], &close["code"]), (&"CLOSE".into(), &4000.into()));
    assert!(stream.block().await.is_none());
    world.emptied().await;
}

#[tokio::test]
async fn it_ends_with_its_token() {
    let world = World::new(quiet()).await;
    let headers = "authorization: Bearer brief.u1.50\r\n";
    let (status, _, lines) = ask(&world, "/sse", headers).await;
    assert_eq!(status, 200);
    let mut stream = Stream { lines, text: String::new() };
    stream.event().await;
    assert_eq!(stream.event().await.data["code"], 4101);
    assert!(stream.block().await.is_none());
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let world = World::new(quiet()).await;
    let good = "authorization: Bearer good.u1\r\n";
    for (path, headers, expected) in [
        ("/sse", "", 401),
        ("/sse", "authorization: Bearer nonsense\r\n", 401),
        ("/sse?token=good.u1", "", 401),
        ("/sse", "authorization: Bearer down\r\n", 503),
        ("/sse?afterSeq=x", good, 400),
        ("/sse", &format!("{good}last-event-id: 1.5\r\n"), 400),
        ("/sse", &format!("{good}last-event-id: \r\n"), 400),
    ] {
        let (status, head, _) = ask(&world, path, headers).await;
        assert_eq!(status, expected, "{path} {headers}");
        assert!(head.contains("application/problem+json"), "{head}");
    }
    world.emptied().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_gives_its_place_back() {
    let world = World::new(quiet()).await;
    let mut stream = Stream::open(&world, "/sse", "").await;
    stream.event().await;
    assert_eq!(world.hub.sessions(), 1);
    drop(stream);
    world.emptied().await;
}

//! Against a server that answers each part with the same part.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{COMMIT, CommitCut, FaultProxy, Target};

const PATIENCE: Duration = Duration::from_secs(60);

/// The proxy before a server that says what it heard, and answers with it.
fn echo() -> (FaultProxy, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (told, heard) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            thread::spawn(move || answer(stream, &told));
        }
    });
    (FaultProxy::to(Target::Tcp(address)), heard)
}

fn answer(mut stream: TcpStream, told: &Sender<Vec<u8>>) {
    let mut part = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut part) {
        if told.send(part[..n].to_vec()).is_err() || stream.write_all(&part[..n]).is_err() {
            return;
        }
    }
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// Says something; `None` when the connection ends before all of it has come back.
fn said(stream: &mut TcpStream, text: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(text).ok()?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn it_passes_on_until_it_is_cut() {
    let (proxy, _heard) = echo();
    let mut stream = connect(&proxy);
    assert_eq!(said(&mut stream, b"one").as_deref(), Some(&b"one"[..]));
    proxy.cut();
    assert_eq!(said(&mut stream, b"two"), None);
    assert_eq!(said(&mut connect(&proxy), b"three").as_deref(), Some(&b"three"[..]));
    let seen = proxy.seen();
    assert_eq!((seen.connections, seen.cuts), (2, 1));

    proxy.refuse(true);
    assert_eq!(said(&mut connect(&proxy), b"four"), None);
    proxy.refuse(false);
    proxy.crumble(1);
    assert_eq!(said(&mut connect(&proxy), b"five").as_deref(), Some(&b"five"[..]));
}

#[test]
fn it_is_slow_and_silent_as_told() {
    let (proxy, heard) = echo();
    let mut stream = connect(&proxy);
    let delay = Duration::from_millis(30);
    proxy.delay(delay);
    let begun = Instant::now();
    assert!(said(&mut stream, b"slow").is_some());
    assert!(begun.elapsed() >= 2 * delay, "there and back");
    proxy.delay(Duration::ZERO);
    while heard.try_recv().is_ok() {}

    proxy.silence(true);
    stream.write_all(b"anybody?").expect("it takes");
    assert!(heard.recv_timeout(delay).is_err(), "nothing comes through");
    proxy.silence(false);
    assert_eq!(heard.recv_timeout(PATIENCE).expect("it comes late"), b"anybody?");
}

#[test]
fn a_commit_is_cut_before_or_after_the_server_has_it() {
    let (proxy, heard) = echo();
    let committed = |when: Option<CommitCut>| {
        if let Some(when) = when {
            proxy.cut_commits(when, 1);
        }
        let mut stream = connect(&proxy);
        assert!(said(&mut stream, b"begin").is_some(), "nothing else is cut");
        heard.recv_timeout(PATIENCE).expect("it was heard");
        let is_answered = said(&mut stream, COMMIT).is_some();
        drop(stream);
        (is_answered, is_answered || heard.recv_timeout(Duration::from_millis(200)).is_ok())
    };
    assert_eq!(committed(Some(CommitCut::Before)), (false, false));
    assert_eq!(committed(Some(CommitCut::After)), (false, true));
    assert_eq!(committed(None), (true, true));
    let seen = proxy.seen();
    assert_eq!((seen.commits_before, seen.commits_after, seen.cuts), (1, 1, 0));
}

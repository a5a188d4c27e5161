//! A way over TCP to a server that can fail as networks do: it is cut, refuses, delays, falls
//! silent, hands out crumbs; and it can lose the answer to a `COMMIT` of PostgreSQL, so that its
//! client does not know what became of the transaction.
#![expect(clippy::expect_used, reason = "a test without its way to the server cannot go on")]

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Largest part that is passed on at once, in bytes.
const PART_BYTES: usize = 64 * 1024;
/// `COMMIT` as a client of PostgreSQL says it: a simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// How long the server is listened to after a client whose commit was cut off has gone.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Where a way leads to.
#[derive(Clone, Debug)]
pub enum Target {
    /// An address.
    Tcp(SocketAddr),
    /// A socket of this machine.
    Unix(PathBuf),
}

/// When a connection is cut around a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitCut {
    /// The server never hears of it.
    Before,
    /// The server has it, the client gets no answer.
    After,
}

/// A way to a server. What it is told holds for all connections over it.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    way: Arc<Way>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

/// What has happened on a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections made over it.
    pub connections: usize,
    /// Connections that were cut.
    pub cuts: usize,
    /// Commits that the server never heard of.
    pub commits_before: usize,
    /// Commits whose answer was lost.
    pub commits_after: usize,
}

#[derive(Debug)]
struct Way {
    target: Target,
    delay_us: AtomicU64,
    /// 0 = parts are passed on as they come.
    crumb_bytes: AtomicUsize,
    refuses: AtomicBool,
    is_silent: watch::Sender<bool>,
    /// Raised to cut all that is there.
    age: watch::Sender<u64>,
    /// Commits still to be cut, before and after the server has them.
    before: AtomicUsize,
    after: AtomicUsize,
    seen: [AtomicUsize; 4],
}

/// What [`Way::seen`] counts, in its order.
#[derive(Clone, Copy)]
enum Count {
    Connections,
    Cuts,
    CommitsBefore,
    CommitsAfter,
}

impl FaultProxy {
    /// A way to a server, without faults at first.
    ///
    /// # Panics
    /// When there is no free port, or no thread.
    #[must_use]
    pub fn to(target: Target) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a socket of ours");
        let way = Arc::new(Way {
            target,
            delay_us: AtomicU64::new(0),
            crumb_bytes: AtomicUsize::new(0),
            refuses: AtomicBool::new(false),
            is_silent: watch::Sender::new(false),
            age: watch::Sender::new(0),
            before: AtomicUsize::new(0),
            after: AtomicUsize::new(0),
            seen: Default::default(),
        });
        let inside = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a socket of ours");
        drop(inside);
        runtime.spawn(listen(listener, way.clone()));
        Self { port, way, runtime: Some(runtime) }
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections. New ones go through.
    pub fn cut(&self) {
        self.way.age.send_modify(|age| *age += 1);
    }

    /// From now on each new connection ends at once, or goes through again.
    pub fn refuse(&self, refuses: bool) {
        self.way.refuses.store(refuses, Ordering::SeqCst);
    }

    /// From now on each part comes so much later, in both directions.
    pub fn delay(&self, by: Duration) {
        let us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.way.delay_us.store(us, Ordering::SeqCst);
    }

    /// From now on nothing comes through, or all that has come meanwhile: nobody is told.
    pub fn silence(&self, is_silent: bool) {
        self.way.is_silent.send_replace(is_silent);
    }

    /// From now on parts are passed on in crumbs of so many bytes; 0 = as they come.
    pub fn crumble(&self, bytes: usize) {
        self.way.crumb_bytes.store(bytes, Ordering::SeqCst);
    }

    /// Cuts the connections of the next `count` commits; 0 = of no more.
    pub fn cut_commits(&self, when: CommitCut, count: usize) {
        let left = match when {
            CommitCut::Before => &self.way.before,
            CommitCut::After => &self.way.after,
        };
        left.store(count, Ordering::SeqCst);
    }

    /// What has happened so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let count = |what: Count| self.way.seen[what as usize].load(Ordering::SeqCst);
        Seen {
            connections: count(Count::Connections),
            cuts: count(Count::Cuts),
            commits_before: count(Count::CommitsBefore),
            commits_after: count(Count::CommitsAfter),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn listen(listener: TcpListener, way: Arc<Way>) {
    while let Ok((client, _)) = listener.accept().await {
        if way.refuses.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(carry(client, way.clone()));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // It may be dropped where nothing may block.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// How a connection ended.
enum End {
    /// One side has closed it, or an error.
    Closed,
    /// Its commit was not passed on.
    CommitBefore,
    /// Its commit was passed on, its answer will not be.
    CommitAfter,
}

/// One connection, from its beginning to its end.
async fn carry(client: TcpStream, way: Arc<Way>) {
    let Some(server) = way.connect().await else { return };
    way.count(Count::Connections);
    let _as_it_comes = client.set_nodelay(true);
    let mut age = way.age.subscribe();
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let end = tokio::select! {
        _ = age.changed() => {
            way.count(Count::Cuts);
            return;
        }
        end = way.pass(&mut from_client, &mut to_server, true) => end,
        end = way.pass(&mut from_server, &mut to_client, false) => end,
    };
    match end {
        End::Closed => {}
        End::CommitBefore => way.count(Count::CommitsBefore),
        End::CommitAfter => {
            way.count(Count::CommitsAfter);
            drop((from_client, to_client));
            // Closed at once, with its answer unread, the server might never read what it was sent.
            let mut answer = vec![0; PART_BYTES];
            let _answer = tokio::time::timeout(LAST_WORDS, from_server.read(&mut answer)).await;
        }
    }
}

impl Way {
    fn count(&self, what: Count) {
        self.seen[what as usize].fetch_add(1, Ordering::SeqCst);
    }

    async fn connect(&self) -> Option<Box<dyn Stream>> {
        match &self.target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.ok()?;
                let _as_it_comes = stream.set_nodelay(true);
                Some(Box::new(stream))
            }
            Target::Unix(path) => Some(Box::new(UnixStream::connect(path).await.ok()?)),
        }
    }

    /// Passes on what one side says to the other.
    async fn pass(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        is_client: bool,
    ) -> End {
        let mut is_silent = self.is_silent.subscribe();
        let mut part = vec![0; PART_BYTES];
        while let Ok(n @ 1..) = from.read(&mut part).await {
            let part = &part[..n];
            let delay = Duration::from_micros(self.delay_us.load(Ordering::SeqCst));
            if !delay.is_zero() {
                // tidy-allow(sleep-in-test): to be slow is what it is for
                tokio::time::sleep(delay).await;
            }
            // The sender is ours, so this ends.
            let _heard = is_silent.wait_for(|is_silent| !is_silent).await.map(drop);
            let is_commit = is_client && part.windows(COMMIT.len()).any(|text| text == COMMIT);
            if is_commit && took_one(&self.before) {
                return End::CommitBefore;
            }
            let crumb = match self.crumb_bytes.load(Ordering::SeqCst) {
                0 => n,
                bytes => bytes,
            };
            for crumb in part.chunks(crumb) {
                if to.write_all(crumb).await.is_err() || to.flush().await.is_err() {
                    return End::Closed;
                }
            }
            if is_commit && took_one(&self.after) {
                return End::CommitAfter;
            }
        }
        End::Closed
    }
}

/// Takes one of those that are left.
fn took_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

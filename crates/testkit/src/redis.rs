//! A Redis server for one test: in a temporary folder, reached through a socket in it, and gone
//! with the test. It can be killed, frozen, and brought back with an old copy of its data. And a
//! way to it that can be slow.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::dir::TempDir;

/// Starts a server, says its process id once it answers, and ends it when standard input is
/// closed: with the test program, however that ends.
const SCRIPT: &str = r#"
socket="$DIR/redis.sock"
rm -f "$socket"
redis-server --port 0 --unixsocket "$socket" --dir "$DIR" --save '' --appendonly no \
  --logfile "$DIR/log" "$@" &
pid=$!
trap 'kill -9 $pid 2>/dev/null' EXIT
until redis-cli -s "$socket" ping 2>/dev/null | grep -q PONG; do
  kill -0 $pid || { cat "$DIR/log" >&2; exit 1; }
  sleep 0.02
done
echo $pid
cat >/dev/null
"#;

/// A server of its own.
#[derive(Debug)]
pub struct RedisServer {
    dir: TempDir,
    options: Vec<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    pid: String,
    /// Ends when its standard input is closed.
    shell: Child,
    _said: BufReader<ChildStdout>,
}

impl RedisServer {
    /// Starts one that keeps nothing on disk, with further options as on the command line.
    ///
    /// # Panics
    /// When `redis-server` is not installed or does not start: says what to do.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { dir: TempDir::new(), options, running: None };
        server.restart();
        server
    }

    /// Its URL. It stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.shell.stdin.take());
            running.shell.wait().expect("the shell ends");
        }
    }

    /// Starts it again, empty or with the copy that was [kept](Self::keep_copy).
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args(&self.options)
            .env("DIR", self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there");
        let mut said = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut pid = String::new();
        said.read_line(&mut pid).expect("it says its process id");
        let pid = pid.trim().to_owned();
        assert!(
            !pid.is_empty(),
            "Redis does not start, and these tests ask a real one: apt-get install redis-server"
        );
        self.running = Some(Running { pid, shell, _said: said });
    }

    /// Has it answer nobody, as a machine that hangs, or go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self, is_frozen: bool) {
        let running = self.running.as_ref().expect("it runs");
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        let done = Command::new("kill").args([signal, &running.pid]).status();
        assert!(done.expect("kill is there").success());
    }

    /// One command's answer in the form of `redis-cli`: a line for each value.
    ///
    /// # Panics
    /// When it does not run.
    pub fn ask(&self, command: &[&str]) -> Vec<String> {
        let told = Command::new("redis-cli").arg("-s").arg(self.socket()).args(command).output();
        let told = told.expect("redis-cli is there");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).lines().map(str::to_owned).collect()
    }

    /// Keeps a copy of its data, with which it starts the next time.
    pub fn keep_copy(&self) {
        self.ask(&["save"]);
    }

    /// Forgets the copy: the next time it starts empty.
    pub fn forget_copy(&self) {
        // There may be none.
        let _gone = std::fs::remove_file(self.dir.path().join("dump.rdb"));
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A way to a server that passes bytes on, each part after a delay that can be changed.
#[derive(Debug)]
pub struct SlowWay {
    url: String,
    delay_us: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

impl SlowWay {
    /// To this server; without a delay at first.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("redis://{}", listener.local_addr().expect("an address"));
        let (delay_us, socket) = (Arc::new(AtomicU64::new(0)), server.socket());
        let delay = delay_us.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = UnixStream::connect(&socket).await {
                    tokio::spawn(pass(client, server, delay.clone()));
                }
            }
        });
        Self { url, delay_us, listening }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on every part of an answer comes so much later.
    pub fn delay(&self, by: Duration) {
        self.delay_us.store(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn pass(client: TcpStream, server: UnixStream, delay_us: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut part = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from_server.read(&mut part).await {
        let delay = Duration::from_micros(delay_us.load(Ordering::SeqCst));
        if !delay.is_zero() {
            // tidy-allow(sleep-in-test): to be slow is what it is for
            tokio::time::sleep(delay).await;
        }
        if to_client.write_all(&part[..n]).await.is_err() {
            return;
        }
    }
}

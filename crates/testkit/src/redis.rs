//! A Redis server for one test: in a temporary folder, reached through a socket in it, and gone
//! with the test. It can be killed, frozen, and brought back with an old copy of its data.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::path::PathBuf;
use std::process::Command;

use crate::dir::TempDir;
use crate::shell::Shell;

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
    running: Option<Shell>,
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
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again, empty or with the copy that was [kept](Self::keep_copy).
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let shell = Shell::start(SCRIPT, &self.options, &[("DIR", self.dir.path())]);
        assert!(
            !shell.pid.is_empty(),
            "Redis does not start, and these tests ask a real one: apt-get install redis-server"
        );
        self.running = Some(shell);
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

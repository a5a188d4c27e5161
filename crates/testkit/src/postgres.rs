//! A PostgreSQL server for one test program: made in a temporary folder, reached through a socket
//! in it, and gone with the program, however that ends. One that a test has for itself can be
//! stopped in the middle of its work and started again.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where Debian and Ubuntu put the server's programs, a folder per version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Makes a server, says where, obeys orders, and ends it when standard input is closed: with the
/// test program.
const SCRIPT: &str = r#"
set -e
cd /tmp
dir=$(mktemp -d /tmp/incent-pg-XXXXXX)
trap '"$BIN/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
chmod 755 "$dir"
"$BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 \
  || { cat "$dir/log" >&2; exit 1; }
start() {
  "$BIN/pg_ctl" -D "$dir/data" -w -t 120 -l "$dir/log" start >/dev/null </dev/null -o "-k $dir \
    -c listen_addresses= -c fsync=off -c full_page_writes=off -c wal_level=logical \
    -c max_connections=300 -c shared_buffers=64MB -c unix_socket_permissions=0777 $OPTIONS"
}
start || { cat "$dir/log" >&2; exit 1; }
echo "$dir"
while read -r order; do
  case "$order" in
    stop) "$BIN/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null && echo "$order" || echo no ;;
    start) start && echo "$order" || { tail -n 20 "$dir/log" >&2; echo no; } ;;
  esac
done
"#;

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    dir: String,
    /// Ends with the test program: its standard input is ours.
    shell: Mutex<(Child, BufReader<ChildStdout>)>,
}

/// The test program's server, started by who asks first.
///
/// # Panics
/// When PostgreSQL is not installed or does not start: says what to do.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&programs(), ""))
}

/// The folder of the server's programs: `PG_BIN`, or the newest version installed.
fn programs() -> PathBuf {
    if let Some(dir) = std::env::var_os("PG_BIN") {
        return dir.into();
    }
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin"));
    let version = |bin: &Path| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
    let newest = installed.filter(|bin| bin.join("initdb").exists()).max_by_key(|bin| version(bin));
    newest.expect(
        "PostgreSQL is not installed, and these tests ask a real one: apt-get install postgresql \
         (or set PG_BIN to the folder of initdb and pg_ctl)",
    )
}

impl Cluster {
    /// A server that nobody else uses, with further settings as `-c name=value`.
    ///
    /// # Panics
    /// As [`cluster`].
    #[must_use]
    pub fn own(settings: &str) -> Self {
        Self::start(&programs(), settings)
    }

    /// Stops it at once, as a crash would: the next start recovers.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop_at_once(&self) {
        self.order("stop");
    }

    /// Starts it again and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        self.order("start");
    }

    /// The socket through which it is reached.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        Path::new(&self.dir).join(".s.PGSQL.5432")
    }

    fn order(&self, order: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let (shell, said) = &mut *shell;
        writeln!(shell.stdin.as_mut().expect("it is piped"), "{order}").expect("the shell listens");
        let mut done = String::new();
        said.read_line(&mut done).expect("it says when it is done");
        assert_eq!(done.trim(), order, "PostgreSQL does not {order}; its words are above");
    }

    fn start(bin: &Path, settings: &str) -> Self {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        // The server refuses to run as root.
        let mut command = match is_root {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--", "sh", "-c", SCRIPT]);
                command
            }
            false => {
                let mut command = Command::new("sh");
                command.args(["-c", SCRIPT]);
                command
            }
        };
        command
            .env("BIN", bin)
            .env("OPTIONS", settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut server = command.spawn().expect("sh and runuser are there");
        let mut said = BufReader::new(server.stdout.take().expect("it is piped"));
        let mut dir = String::new();
        said.read_line(&mut dir).expect("it says where it is");
        let dir = dir.trim().to_owned();
        assert!(!dir.is_empty(), "PostgreSQL does not start; its words are above");
        Self { bin: bin.to_owned(), dir, shell: Mutex::new((server, said)) }
    }

    /// Makes a new database, empty or as another one is now, and returns its URL. Nobody may be
    /// connected to the other one.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn database(&self, like: Option<&str>) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.create(&name, like.unwrap_or("template0"));
        self.url(&name)
    }

    /// Makes a database of this name.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create(&self, name: &str, like: &str) {
        // A connection that was just closed may be there for a moment.
        let release = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{like}'"
        );
        let create = format!("create database {name} template {like}");
        let told = Command::new(self.bin.join("psql"))
            .args(["-h", &self.dir, "-U", "postgres", "-d", "postgres", "-q", "-X"])
            .args(["-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-c", &release, "-c", &create])
            .output()
            .expect("psql is there");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.dir)
    }
}

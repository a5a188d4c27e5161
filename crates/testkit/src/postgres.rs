//! A PostgreSQL server for one test program: made in a temporary folder, reached through a socket
//! in it, and gone with the program, however that ends.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Debian and Ubuntu put the server's programs, a folder per version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Makes a server, says where, and ends it when standard input is closed: with the test program.
const SCRIPT: &str = r#"
set -e
cd /tmp
dir=$(mktemp -d /tmp/incent-pg-XXXXXX)
trap '"$BIN/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
chmod 755 "$dir"
"$BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 \
  || { cat "$dir/log" >&2; exit 1; }
"$BIN/pg_ctl" -D "$dir/data" -w -t 120 -l "$dir/log" start >/dev/null -o "-k $dir \
  -c listen_addresses= -c fsync=off -c full_page_writes=off -c wal_level=logical \
  -c max_connections=300 -c shared_buffers=64MB -c unix_socket_permissions=0777" \
  || { cat "$dir/log" >&2; exit 1; }
echo "$dir"
cat >/dev/null
"#;

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    dir: String,
    /// Ends with the test program: its standard input is ours.
    _server: (Child, BufReader<ChildStdout>),
}

/// The test program's server, started by who asks first.
///
/// # Panics
/// When PostgreSQL is not installed or does not start: says what to do.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&programs()))
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
    fn start(bin: &Path) -> Self {
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
        command.env("BIN", bin).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("sh and runuser are there");
        let mut said = BufReader::new(server.stdout.take().expect("it is piped"));
        let mut dir = String::new();
        said.read_line(&mut dir).expect("it says where it is");
        let dir = dir.trim().to_owned();
        assert!(!dir.is_empty(), "PostgreSQL does not start; its words are above");
        Self { bin: bin.to_owned(), dir, _server: (server, said) }
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

//! A Kafka Connect worker with Debezium's connector for PostgreSQL, for one test: on a port of its
//! own, and gone with the test program, however that ends. It can be killed and brought back.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::dir::TempDir;
use crate::kafka::{is_dead, parts};
use crate::port;
use crate::shell::Shell;

/// How long it may take to answer on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// As for the broker: says its process id, and ends with the test program.
const SCRIPT: &str = r#"
java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
  -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$JARS/*" \
  org.apache.kafka.connect.cli.ConnectDistributed "$DIR/worker.properties" >>"$LOG" 2>&1 &
pid=$!
trap 'kill -9 $pid 2>/dev/null; wait $pid' EXIT
echo $pid
cat >/dev/null
"#;

/// A worker of its own, the only one of its group.
#[derive(Debug)]
pub struct ConnectServer {
    dir: TempDir,
    log: PathBuf,
    port: u16,
    database_port: String,
    running: Option<Shell>,
}

impl ConnectServer {
    /// Starts it on a broker, for a database on a port of this machine, and does not wait for it.
    ///
    /// # Panics
    /// When Java or the jars are not there: says what to do.
    #[must_use]
    pub fn start(brokers: &str, database_port: u16, log: &Path) -> Self {
        let (dir, port) = (TempDir::new(), port::lasting());
        let config = dir.path().join("worker.properties");
        std::fs::write(&config, properties(brokers, port)).expect("a file");
        let (log, database_port) = (log.to_owned(), database_port.to_string());
        let mut server = Self { dir, log, port, database_port, running: None };
        server.restart();
        server
    }

    /// Where it answers; the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again; it goes on where its offsets in Kafka say. It is not waited for.
    pub fn restart(&mut self) {
        self.kill();
        let jars = parts("kafka");
        let variables = [
            ("DIR", self.dir.path()),
            ("LOG", &self.log),
            ("JARS", &jars.join("jars")),
            // The connector files of `deploy/debezium` name the database by these.
            ("POSTGRES_HOST", Path::new("127.0.0.1")),
            ("POSTGRES_PORT", Path::new(&self.database_port)),
            ("POSTGRES_USER", Path::new("postgres")),
            ("POSTGRES_PASSWORD", Path::new("postgres")),
        ];
        self.running = Some(Shell::start(SCRIPT, &[], &variables));
    }

    /// Waits until it answers: until it has joined its group.
    ///
    /// # Panics
    /// When it does not, with where its log is.
    pub fn ready(&self) {
        let begun = Instant::now();
        while !self.answers() {
            let is_gone = self.running.as_ref().is_none_or(|shell| is_dead(&shell.pid));
            let is_late = is_gone || begun.elapsed() > PATIENCE;
            assert!(!is_late, "Connect does not start: see {}", self.log.display());
            std::thread::park_timeout(PAUSE);
        }
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<Vec<u8>> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(
                b"GET /connectors HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            )?;
            let mut answer = Vec::new();
            stream.take(64 * 1024).read_to_end(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
    }
}

fn properties(brokers: &str, port: u16) -> String {
    format!(
        "\
bootstrap.servers={brokers}
group.id=connect
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
plugin.path={}
plugin.discovery=service_load
config.storage.topic=connect.configs
offset.storage.topic=connect.offsets
offset.storage.partitions=1
status.storage.topic=connect.status
status.storage.partitions=1
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.flush.interval.ms=1000
# One that was killed is missed soon.
session.timeout.ms=4000
heartbeat.interval.ms=1000
scheduled.rebalance.max.delay.ms=0
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter.schemas.enable=false
",
        parts("debezium").display()
    )
}

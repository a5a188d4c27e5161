//! A Kafka broker for one test: in a temporary folder, on a port of its own, and gone with the
//! test program, however that ends. It can be stopped, killed, and brought back with what it had.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::dir::TempDir;
use crate::port;
use crate::shell::Shell;

/// Where `cargo x services` puts what services are made of, from the project's folder.
const PARTS: &str = "target/services-parts";
/// Any fixed 16 bytes in base64.
const CLUSTER_ID: &str = "aW5jZW50LWNoYW9zLXRlcw";
/// How long it may take to answer, and to stop in order, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the broker, says its process id, and ends it when standard input is closed: with the test
/// program. When the shell has ended, so has the broker.
const SCRIPT: &str = r#"
java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
  -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$JARS/*" \
  kafka.Kafka "$DIR/server.properties" >>"$DIR/log" 2>&1 &
pid=$!
trap 'kill -9 $pid 2>/dev/null; wait $pid' EXIT
echo $pid
cat >/dev/null
"#;

/// A broker of its own, the only one of its cluster.
#[derive(Debug)]
pub struct KafkaServer {
    dir: TempDir,
    port: u16,
    running: Option<Shell>,
}

impl KafkaServer {
    /// Formats its storage, starts it and waits until it answers.
    ///
    /// # Panics
    /// When Java or the jars are not there, or it does not start: says what to do.
    #[must_use]
    pub fn start() -> Self {
        let (dir, port, controller) = (TempDir::new(), port::lasting(), port::lasting());
        let config = dir.path().join("server.properties");
        std::fs::write(&config, properties(dir.path(), port, controller)).expect("a file");
        let formatted = Command::new("java")
            .arg("-cp")
            .arg(format!("{}/jars/*", parts("kafka").display()))
            .args(["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"])
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(&config)
            .output()
            .expect("java is there: `cargo x services up kafka` installs it");
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let mut server = Self { dir, port, running: None };
        server.restart();
        server
    }

    /// Its address, as a list of brokers. It stays the same over restarts.
    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(&mut self) {
        let Some(running) = &self.running else { return };
        let signal = |name: &str| {
            let mut kill = Command::new("kill");
            let told = kill.args([name, &running.pid]).stderr(Stdio::null()).status();
            told.expect("kill is there").success()
        };
        signal("-TERM");
        let begun = Instant::now();
        // Gone, or a body that its shell has not buried.
        while signal("-0") && !is_dead(&running.pid) {
            assert!(begun.elapsed() < PATIENCE, "the broker does not stop");
            std::thread::park_timeout(PAUSE);
        }
        self.kill();
    }

    /// Starts it again on what it had, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start: with the end of its log.
    pub fn restart(&mut self) {
        self.kill();
        let variables = [("DIR", self.dir.path()), ("JARS", &*parts("kafka").join("jars"))];
        let shell = Shell::start(SCRIPT, &[], &variables);
        let begun = Instant::now();
        while !self.answers() {
            let gone = is_dead(&shell.pid) || begun.elapsed() > PATIENCE;
            assert!(!gone, "the broker does not start:\n{}", self.last_words());
            std::thread::park_timeout(PAUSE);
        }
        self.running = Some(shell);
    }

    /// Asks for the versions of the protocol: answered once the broker has registered itself.
    fn answers(&self) -> bool {
        // Length, ApiVersions (18), version 0, correlation 7, no client name.
        const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
        let ask = || -> std::io::Result<[u8; 10]> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(&QUESTION)?;
            let mut answer = [0; 10];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer[4..] == [0, 0, 0, 7, 0, 0])
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process has ended, be it that nobody has taken note of it yet.
pub(crate) fn is_dead(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    state.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// The folder of a service's jars: they are in `jars` inside it.
pub(crate) fn parts(service: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = root.join(PARTS).join(service);
    assert!(
        parts.join("jars").is_dir(),
        "this test asks a real Kafka with Debezium, whose jars are not here: run \
         `cargo x services up connect` once, or the tests by `cargo x test`"
    );
    parts
}

fn properties(dir: &Path, port: u16, controller: u16) -> String {
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# One that was killed may register again soon.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
num.network.threads=2
num.io.threads=3
log.cleaner.dedupe.buffer.size=16777216
",
        dir.join("logs").display()
    )
}

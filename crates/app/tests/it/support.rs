//! Runs `incent` and talks to it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use testkit::dir::TempDir;

/// The admin's token in tests.
pub const ADMIN: &str = "test-admin-token-0123456789abcdef";
/// A debug build on a busy machine is slow; a hang is longer than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// `incent` with these arguments, in a directory, with nothing of our environment that it would read.
pub fn incent(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_incent"));
    command.args(args).current_dir(dir).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    command
}

/// What a finished run has said.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Data.
    pub out: String,
    /// Talk.
    pub err: String,
}

impl Said {
    /// What this run said.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }
    /// Fails the test unless the run went well.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
    /// Fails the test unless the run failed with this code, saying all of these.
    #[track_caller]
    pub fn failed(self, code: i32, saying: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        for words in saying {
            assert!(self.err.contains(words), "no {words:?} in:\n{}", self.err);
        }
        self
    }
    /// The data as JSON documents, a line each.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// Runs to the end.
pub fn run(dir: &Path, args: &[&str]) -> Said {
    Said::of(incent(dir, args).output().expect("incent runs"))
}

/// A running platform; killed when dropped.
pub struct Platform {
    child: Child,
    /// Where it answers.
    pub url: String,
    dir: PathBuf,
    _kept: Option<TempDir>,
}

impl Platform {
    /// Serves from a new directory.
    pub fn start() -> Self {
        let dir = TempDir::new();
        let mut platform = Self::start_in(dir.path());
        platform._kept = Some(dir);
        platform
    }

    /// Serves from a directory that somebody else keeps.
    pub fn start_in(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// The same with further flags.
    pub fn start_with(dir: &Path, flags: &[&str]) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
        let mut command = incent(dir, &[&serve, flags].concat());
        Self::ready(command.env("INCENT_ADMIN_TOKEN", ADMIN).env("INCENT_LOG", "warn"), dir)
    }

    /// Runs a command that serves until it says that it is ready.
    pub fn ready(command: &mut Command, dir: &Path) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("incent runs");
        let url = ready_line(&mut child);
        Self { child, url, dir: dir.to_owned(), _kept: None }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A command that talks to it, as the admin and perhaps for a tenant.
    pub fn command(&self, tenant: Option<&str>, args: &[&str]) -> Command {
        let mut command = incent(&self.dir, args);
        command.env("INCENT_URL", &self.url).env("INCENT_ADMIN_TOKEN", ADMIN);
        if let Some(tenant) = tenant {
            command.env("INCENT_TENANT", tenant);
        }
        command
    }
    /// Runs a command that talks to it.
    pub fn run(&self, tenant: Option<&str>, args: &[&str]) -> Said {
        Said::of(self.command(tenant, args).output().expect("incent runs"))
    }

    /// Writes a file into its directory.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.join(name), text).expect("a file can be written");
    }
    /// Reads a file of its directory.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).expect(name)
    }
    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// The id of the tenant of this name.
    #[track_caller]
    pub fn tenant(&self, name: &str) -> String {
        let tenants = self.get("/api/v1/tenants", None);
        let items = tenants["items"].as_array().expect("items");
        let found = items.iter().find(|t| t["name"] == name).expect(name);
        found["tenantId"].as_str().expect("an id").to_owned()
    }

    /// `GET` as the admin.
    #[track_caller]
    pub fn get(&self, path: &str, tenant: Option<&str>) -> Value {
        let mut request = ureq::get(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {ADMIN}"));
        if let Some(tenant) = tenant {
            request = request.header("incent-tenant", tenant);
        }
        request.call().expect(path).body_mut().read_json().expect("JSON")
    }
    /// `POST` or `PUT` as the admin.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.url);
        let request = match method {
            "PUT" => ureq::put(url),
            _ => ureq::post(url),
        };
        let request = request.header("authorization", format!("Bearer {ADMIN}"));
        request.send_json(body).expect(path).body_mut().read_json().expect("JSON")
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let (pid, name) = (self.child.id().to_string(), format!("-{name}"));
        let told = Command::new("kill").args([&name, &pid]).status().expect("kill runs");
        assert!(told.success());
    }
    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state")
    }
    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the line that says where the platform is.
pub fn ready_line(child: &mut Child) -> String {
    let lines = lines_of(child);
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("a ready line in time");
        if let Some(url) = line.strip_prefix("incent ready on ") {
            return url.to_owned();
        }
    }
}

/// The lines of a child's standard output as they come; reading goes on in the background, so that
/// the child never waits.
pub fn lines_of(child: &mut Child) -> Receiver<String> {
    let stdout = child.stdout.take().expect("a piped stdout");
    let (lines, heard) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more: read on, so that the child can write.
            let _ = lines.send(line);
        }
    });
    heard
}

/// The next line in time.
#[track_caller]
pub fn next_line(lines: &Receiver<String>) -> String {
    lines.recv_timeout(PATIENCE).expect("a line in time")
}

/// All of a child's standard error, once it has ended.
pub fn errors_of(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("a piped stderr").read_to_string(&mut text).expect("UTF-8");
    text
}

//! A server in a shell that ends it with the test program, however that ends.
#![expect(clippy::expect_used, reason = "a test without its server cannot go on")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A shell that says the process id of its server, and ends it when its standard input is closed:
/// when this is dropped, or with the test program.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The server's process id; empty when it did not start.
    pub pid: String,
    child: Child,
    _said: BufReader<ChildStdout>,
}

impl Shell {
    /// Runs a script and waits for its first line.
    ///
    /// # Panics
    /// When there is no shell.
    pub fn start(script: &str, args: &[String], variables: &[(&str, &Path)]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut pid = String::new();
        said.read_line(&mut pid).expect("it says its process id");
        Self { pid: pid.trim().to_owned(), child, _said: said }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends its server first.
        let _ended = self.child.wait();
    }
}

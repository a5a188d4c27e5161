//! Runs the tests: the words of cargo test go through unchanged, a sum follows.

#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Instant;

use crate::out;
use crate::run::{Failure, start};

/// Runs `cargo test`, by default for the whole workspace: unit tests, the integration tests of
/// each crate, and those of `incent` that start the real binary. Further arguments go to cargo
/// test as they are. A failing test does not keep the other test programs from running.
pub fn run(root: &Path, args: &[&str]) -> Result<(), Failure> {
    let mut command = vec!["cargo", "test", "--no-fail-fast"];
    // A package that was named stands in the place of the whole workspace.
    if !args.iter().take_while(|arg| **arg != "--").any(|arg| names_package(arg)) {
        command.push("--workspace");
    }
    command.extend(args);
    let begun = Instant::now();
    let mut running = start(root, &command)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Failure::io(Path::new("cargo"), source))?;
    let mut sum = Sum::default();
    if let Some(output) = running.stdout.take() {
        pass_through(output, &mut sum)?;
    }
    let ended = running.wait().map_err(|source| Failure::io(Path::new("cargo"), source))?;
    out::data(format_args!("{sum} in {:.1} s", begun.elapsed().as_secs_f64()));
    for name in &sum.failures {
        out::data(format_args!("  failed: {name}"));
    }
    if !ended.success() {
        return Err(Failure::Tests("not all passed; see above".to_owned()));
    }
    sum.verdict()
}

fn names_package(arg: &str) -> bool {
    arg == "-p" || arg.starts_with("--package") || arg.starts_with("--manifest-path")
}

fn pass_through(output: ChildStdout, sum: &mut Sum) -> Result<(), Failure> {
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|source| Failure::io(Path::new("cargo test"), source))?;
        sum.take(&line);
        out::data(format_args!("{line}"));
    }
    Ok(())
}

/// What the closing lines of all test programs add up to.
#[derive(Default, Debug, PartialEq, Eq)]
struct Sum {
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
}

impl Sum {
    /// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; …` and `test a::b ... FAILED`.
    fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        self.programs += 1;
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// A run in which nothing ran is not a success.
    fn verdict(&self) -> Result<(), Failure> {
        if self.failed > 0 {
            return Err(Failure::Tests(format!("{} failed", self.failed)));
        }
        if self.passed == 0 {
            return Err(Failure::Tests("none ran; is the filter right?".to_owned()));
        }
        Ok(())
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { programs, passed, failed, ignored, .. } = self;
        write!(f, "sum: {passed} passed; {failed} failed; {ignored} ignored; ")?;
        write!(f, "{programs} test program{}", if *programs == 1 { "" } else { "s" })
    }
}

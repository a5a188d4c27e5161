//! Runs the tests: the words of cargo test go through unchanged, a sum follows.

#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Instant;

use crate::chaos;
use crate::out;
use crate::run::{Failure, start};
use crate::services::{self, Service};

/// Crates whose tests ask real services. Whoever tests them gets these services started, and
/// stopped again if they did not run before.
const NEEDS: [(&str, &[Service]); 4] = [
    (
        "incent",
        &[Service::Kafka, Service::Postgres, Service::Connect, Service::Redis, Service::Clients],
    ),
    ("incent-bus-kafka", &[Service::Kafka, Service::Clients, Service::Java]),
    ("incent-limits-redis", &[Service::Postgres, Service::Redis]),
    ("incent-store", &[Service::Postgres]),
];

/// The features that everything which ships has on, by the crates that have them.
const FEATURES: [(&str, &str); 2] =
    [("incent", "incent/distributed"), ("incent-store", "incent-store/distributed")];

/// [`FEATURES`] of the whole workspace, as cargo takes them.
pub const DISTRIBUTED: &str = "incent/distributed,incent-store/distributed";

/// Runs `cargo test`, by default for the whole workspace: unit tests, the integration tests of
/// each crate, and those of `incent` that start the real binary. Further arguments go to cargo
/// test as they are. A failing test does not keep the other test programs from running. The fault
/// test is left out unless it is named: it has a command of its own.
pub fn run(root: &Path, args: &[&str]) -> Result<(), Failure> {
    let args = &but_chaos(args)[..];
    let services = needed(args);
    let started = start_while_building(root, &services, args)?;
    let tested = tests(root, args, Vec::new());
    services::stop(root, &started).and(tested)
}

/// The arguments, and that the fault test is skipped: it wants the machine to itself.
fn but_chaos<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut args = args.to_vec();
    if !args.iter().any(|arg| arg.contains("chaos")) {
        if !args.contains(&"--") {
            args.push("--");
        }
        args.extend(["--skip", chaos::TEST]);
    }
    args
}

/// The services that the tests of these arguments ask for.
fn needed(args: &[&str]) -> Vec<Service> {
    let all = !names_package(args);
    let asked = NEEDS.iter().filter(|(package, _)| all || names(args, package));
    let mut services: Vec<_> = asked.flat_map(|(_, services)| services.iter().copied()).collect();
    services.sort();
    services.dedup();
    services
}

/// Starts services beside the build of the tests, which takes longer. Returns the ones started.
fn start_while_building(
    root: &Path,
    services: &[Service],
    args: &[&str],
) -> Result<Vec<Service>, Failure> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    std::thread::scope(|scope| {
        let started = scope.spawn(|| services::start(root, services));
        // What does not build says so again, with all its words, when it is run.
        let mut build = cargo_test(&of_cargo(args).collect::<Vec<_>>());
        build.push("--no-run");
        let built = start(root, &build).stdout(Stdio::null()).status();
        let started = started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        built.map_err(|source| Failure::io(Path::new("cargo"), source))?;
        started
    })
}

/// The command, by default for the whole workspace.
fn cargo_test<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut command = vec!["cargo", "test", "--no-fail-fast"];
    // A package that was named stands in the place of the whole workspace.
    let all = !names_package(args);
    if all {
        command.push("--workspace");
    }
    // Not `--all-features`: that would build OpenSSL along, for brokers that no test has.
    for (package, feature) in FEATURES {
        if all || names(args, package) {
            command.extend(["--features", feature]);
        }
    }
    command.extend(args);
    command
}

/// Runs `cargo test` with these arguments and variables, and adds up what ran. Errors: one failed,
/// or none ran.
pub fn tests(root: &Path, args: &[&str], variables: Vec<(String, String)>) -> Result<(), Failure> {
    let command = cargo_test(args);
    let begun = Instant::now();
    let mut running = start(root, &command)
        .envs(variables)
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

/// The arguments that are cargo's and not the test program's.
fn of_cargo<'a>(args: &[&'a str]) -> impl Iterator<Item = &'a str> {
    args.iter().copied().take_while(|arg| *arg != "--")
}

fn names(args: &[&str], package: &str) -> bool {
    of_cargo(args).any(|arg| arg == package)
}

fn names_package(args: &[&str]) -> bool {
    of_cargo(args).any(|arg| {
        arg == "-p" || arg.starts_with("--package") || arg.starts_with("--manifest-path")
    })
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

//! The steps, their order, and what stops them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::{chaos, out, schemas, test, tidy};

/// Why a command ended without success. Each message says what to do next.
#[derive(Debug)]
pub enum Failure {
    /// A command line that means nothing.
    Usage(String),
    /// Not inside the project.
    NoWorkspace,
    /// `tidy` found something: how many.
    Untidy(usize),
    /// Some files are not formatted.
    Unformatted,
    /// A program that ended with an error, as it would be typed.
    Step(String),
    /// Some tests failed, or none ran at all.
    Tests(String),
    /// The schemas in the tree are not those of the code.
    Schemas(Vec<String>),
    /// A program gave an answer that makes no sense.
    Answer {
        /// The program.
        from: String,
        /// What is wrong with its answer.
        what: String,
    },
    /// A file or program that could not be read or started.
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure {
    /// An input or output error with the path it happened on.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    /// 2 for a wrong command line, as usual; 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Usage(_)) { 2 } else { 1 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(args) => write!(f, "no such command: `{args}`; see `cargo x help`"),
            Self::NoWorkspace => f.write_str("run it inside the project's folder"),
            Self::Untidy(1) => f.write_str("1 thing to tidy, listed above"),
            Self::Untidy(n) => write!(f, "{n} things to tidy, listed above"),
            Self::Unformatted => {
                f.write_str("the files above are not formatted; run `cargo x fmt`")
            }
            Self::Step(command) => write!(f, "`{command}` failed; its own words are above"),
            Self::Tests(why) => write!(f, "tests: {why}"),
            Self::Schemas(files) => {
                write!(f, "not what the code says: {}; run `cargo x schemas`", files.join(", "))
            }
            Self::Answer { from, what } => write!(f, "`{from}`: {what}"),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

/// Builds and runs a benchmark program. They are a workspace of their own, so that the engines they
/// compare with never reach the product's build.
pub fn bench(root: &Path, args: &[&str]) -> Result<(), Failure> {
    let command = "cargo run --quiet --release --manifest-path bench/Cargo.toml --";
    let command: Vec<_> = command.split(' ').chain(args.iter().copied()).collect();
    program(root, &command)
}

/// Runs a program in the project's folder, its output going straight through.
pub fn program(root: &Path, command: &[&str]) -> Result<(), Failure> {
    let ended = start(root, command)
        .status()
        .map_err(|source| Failure::io(Path::new(command[0]), source))?;
    if ended.success() { Ok(()) } else { Err(Failure::Step(command.join(" "))) }
}

/// Runs a program in the project's folder and returns what it wrote on stdout.
pub fn answer(root: &Path, command: &[&str]) -> Result<String, Failure> {
    let ended = start(root, command)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|source| Failure::io(Path::new(command[0]), source))?;
    if !ended.status.success() {
        return Err(Failure::Step(command.join(" ")));
    }
    String::from_utf8(ended.stdout).map_err(|_| Failure::Answer {
        from: command.join(" "),
        what: "its output is not UTF-8".to_owned(),
    })
}

/// A program of the project's folder, ready to start.
pub fn start(root: &Path, command: &[&str]) -> Command {
    let mut program = Command::new(command[0]);
    program.args(&command[1..]).current_dir(root);
    program
}

/// Formats the tree.
pub fn format(root: &Path) -> Result<(), Failure> {
    program(root, &["cargo", "fmt", "--all"])
}

/// Names the files that are not formatted.
pub fn format_check(root: &Path) -> Result<(), Failure> {
    let command = "cargo fmt --all -- --check --files-with-diff";
    program(root, &command.split(' ').collect::<Vec<_>>()).map_err(|failure| match failure {
        Failure::Step(_) => Failure::Unformatted,
        other => other,
    })
}

fn clippy(root: &Path) -> Result<(), Failure> {
    let command = format!(
        "cargo clippy --workspace --all-targets --features {} --quiet -- --deny warnings",
        test::DISTRIBUTED
    );
    program(root, &command.split(' ').collect::<Vec<_>>())
}

fn all_tests(root: &Path) -> Result<(), Failure> {
    test::run(root, &[])
}

type Step = (&'static str, fn(&Path) -> Result<(), Failure>);

const CHECK: [Step; 3] = [("tidy", tidy::run), ("fmt", format_check), ("clippy", clippy)];

/// What to run before each commit.
pub fn check(root: &Path) -> Result<(), Failure> {
    steps(root, &CHECK)
}

/// Everything. The cheapest refusal comes first, so that a slip costs seconds and not minutes.
pub fn ci(root: &Path) -> Result<(), Failure> {
    let rest: [Step; 3] =
        [("test", all_tests), ("chaos", chaos::usual), ("schemas", schemas::check_built)];
    steps(root, &[CHECK.as_slice(), rest.as_slice()].concat())
}

fn steps(root: &Path, steps: &[Step]) -> Result<(), Failure> {
    let whole = Instant::now();
    for (n, (name, step)) in steps.iter().enumerate() {
        out::talk(format_args!("── {}/{} {name}", n + 1, steps.len()));
        let begun = Instant::now();
        step(root)?;
        out::talk(format_args!("   {name} passed in {:.1} s", begun.elapsed().as_secs_f64()));
    }
    out::talk(format_args!("all passed in {:.1} s", whole.elapsed().as_secs_f64()));
    Ok(())
}

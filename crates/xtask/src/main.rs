//! `cargo x`: every chore of the project in one program, so that a person, a hook and the CI run
//! the same thing. It depends on `serde_json` alone and builds in seconds.
//!
//! Read [`run`] for the order of the steps, then [`tidy`] for the limits that no compiler holds.

mod chaos;
mod out;
mod run;
mod schemas;
mod services;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use run::Failure;

const HELP: &str = "\
cargo x: the chores of this project

Usage: cargo x <COMMAND>

Commands:
  tidy [--notes]     limits that no compiler holds: sizes, names, links, crate edges, SQL
  fmt [--check]      format the tree, or only say what is not formatted
  check              tidy, fmt --check, clippy: what to run before each commit
  test [ARGS]...     all tests of the workspace, whole-binary ones included; ARGS go to cargo test
  chaos [--seed N] [--events N] [--faults N] [--seconds N] [--without GUARD]
                     the fault test of the distributed profile: a seed tells what goes wrong;
                     without epoch, dedupe, settle or fence it has to fail
  bench NAME [ARGS]  a benchmark program, which prints ratios; without NAME it lists them
  schemas [--check]  write schemas/ from the code, or only compare
  services up|down|status [NAME]... [--dir DIR] [--wipe]
                     real kafka, connect, postgres, redis as plain processes; installs what is
                     missing; see DIR/services.env (DIR: target/services)
  ci                 everything, the cheapest refusal first; what CI runs
  help               this text

Examples:
  cargo x check                      before a commit
  cargo x test -p incent-domain      the tests of one crate
  cargo x test -- limit              the tests with `limit` in their name
  cargo x chaos --seed 7 --faults 60 a run of the fault test
  cargo x schemas                    after a change to the API or to the rule document
  cargo x services up postgres       one service; `down` stops it, `down --wipe` forgets its data
  cargo x ci                         before a pull request
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = workspace_root().and_then(|root| dispatch(&root, &args));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::talk(format_args!("cargo x: {failure}"));
            failure.exit_code()
        }
    }
}

fn dispatch(root: &Path, args: &[&str]) -> Result<(), Failure> {
    match args {
        [] | ["help" | "-h" | "--help", ..] | [_, "-h" | "--help"] => {
            out::data(format_args!("{}", HELP.trim_end()));
            Ok(())
        }
        ["tidy"] => tidy::run(root),
        ["tidy", "--notes"] => tidy::run_with_notes(root),
        ["fmt"] => run::format(root),
        ["fmt", "--check"] => run::format_check(root),
        ["check"] => run::check(root),
        ["test", rest @ ..] => test::run(root, rest),
        ["chaos", rest @ ..] => chaos::run(root, rest),
        ["bench", rest @ ..] => run::bench(root, rest),
        ["schemas"] => schemas::write(root),
        ["schemas", "--check"] => schemas::check(root),
        ["services", rest @ ..] => services::run(root, rest),
        ["ci"] => run::ci(root),
        _ => Err(Failure::Usage(args.join(" "))),
    }
}

/// The nearest folder upwards that holds the workspace's manifest, so that the command works from
/// any folder of the tree.
fn workspace_root() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|source| Failure::io(Path::new("."), source))?;
    here.ancestors()
        .find(|dir| {
            std::fs::read_to_string(dir.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.contains("[workspace]"))
        })
        .map(Path::to_path_buf)
        .ok_or(Failure::NoWorkspace)
}

//! Benchmark programs. Each prints ratios against a bare limit or a peer measured in the same run,
//! because absolute figures of a shared machine mean little. `docs/performance.md` has the results.

mod conditions;
mod decisions;
mod timing;

use std::process::ExitCode;

const HELP: &str = "\
Benchmarks of Incent, each against a bare limit or a peer in the same run.

Usage: cargo x bench NAME

  conditions   conditions per second against the crates cel and zen-expression
  decisions    decide() in ns per campaign considered; 10,000 campaigns against 10
";

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "conditions" => conditions::run(),
        "decisions" => decisions::run(),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

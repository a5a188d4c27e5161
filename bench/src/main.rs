//! Benchmark programs. Each prints ratios against a bare limit or a peer measured in the same run,
//! because absolute figures of a shared machine mean little. `docs/performance.md` has the results.

mod conditions;
mod decisions;
mod distributed;
mod latency;
mod pipeline;
mod push;
mod timing;

use std::process::ExitCode;

const HELP: &str = "\
Benchmarks of Incent, each against a bare limit or a peer in the same run.

Usage: cargo x bench NAME

  conditions   conditions per second against the crates cel and zen-expression
  decisions    decide() in ns per campaign considered; 10,000 campaigns against 10
  pipeline [N] N events accepted, decided, committed and published on the embedded profile,
               against plain batched SQLite writes of the same rows
  distributed [N [one|two|all]]
               N records in Kafka decided, committed, published and logged on the distributed
               profile, against COPY of the same rows: by one calculator, by two, and with all
               other roles and both connectors beside it; wants `cargo x services up` and
               `cargo build --release --features distributed`
  push         frames to many devices against bare writes; memory of an idle connection
  latency [USERS [RATE]]
               from an event's acceptance to the frame at its user's socket, at half of the
               rate that the embedded platform sustains, or at so many events a second
";

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "conditions" => conditions::run(),
        "decisions" => decisions::run(),
        "pipeline" => {
            let events = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(100_000);
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(pipeline::run(events));
        }
        "distributed" => {
            let events = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(200_000);
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            let only = std::env::args().nth(3);
            runtime.block_on(distributed::run(events, only.as_deref()));
        }
        "push" => push::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        "latency" => latency::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

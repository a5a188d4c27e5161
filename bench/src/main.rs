//! Benchmark programs. Each prints ratios against a bare limit or a peer measured in the same run,
//! because absolute figures of a shared machine mean little. `docs/performance.md` has the results.

mod conditions;
mod decisions;
mod distributed;
mod latency;
mod limits;
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
  consumer [N] N records read and decoded, against a bare consumer; wants the services
  takeover     how long things stand still when a calculator is killed or frozen, and when Redis is
               emptied; wants the services and the binary
  limits [N]   N incentives reserved and settled in Redis, against scripts that issue the same
               commands and nothing else; wants `redis-server`
  push         frames to many devices against bare writes; memory of an idle connection
  latency [USERS [RATE]]
               from an event's acceptance to the frame at its user's socket, at half of the
               rate that the embedded platform sustains, or at so many events a second
  latency-distributed [USERS [RATE]]
               the same on the distributed profile, a process for each role; wants the services and
               the binary
";

/// What follows the name, as numbers.
struct Numbers(Vec<Option<usize>>);

impl Numbers {
    fn get(&self, at: usize) -> Option<usize> {
        self.0.get(at).copied().flatten()
    }

    fn events(&self, usual: u64) -> u64 {
        self.get(0).map_or(usual, |n| n as u64)
    }
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let numbers = Numbers(arguments.iter().map(|text| text.parse().ok()).collect());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    match name.as_str() {
        "conditions" => conditions::run(),
        "decisions" => decisions::run(),
        "pipeline" => runtime.block_on(pipeline::run(numbers.events(100_000))),
        "distributed" => {
            let only = arguments.get(1).map(String::as_str);
            runtime.block_on(distributed::run(numbers.events(200_000), only));
        }
        "consumer" => runtime.block_on(distributed::consumer::run(numbers.events(400_000))),
        "takeover" => runtime.block_on(distributed::takeover::run()),
        "limits" => runtime.block_on(limits::run(numbers.events(50_000))),
        "push" => push::run(&arguments),
        "latency" => latency::run(&runtime, &arguments),
        "latency-distributed" => {
            let users = numbers.get(0).unwrap_or(latency::USERS);
            runtime.block_on(distributed::live::run(users, numbers.get(1)));
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

//! `incent topics`: the topics of the distributed profile.

use std::path::PathBuf;

use crate::config::distributed;
use crate::failure::Outcome;
use crate::output::Output;

/// Flags of `topics`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent topics create --kafka kafka:9092
  incent topics create --config incent.yaml --partitions 24")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with topics.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make the topics of events, announcements and captured changes where they are missing
    Create(Create),
}

/// Flags of `topics create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Topics are made on purpose, with the broker's time in their records (LogAppendTime). What is there
already is left as it is.

Examples:
  incent topics create --kafka kafka:9092
  incent topics create --config incent.yaml --partitions 24 --retention-hours 336
  incent topics create --kafka 127.0.0.1:9092 --replication 1")]
pub struct Create {
    /// Configuration file (YAML or JSON), as for incent serve
    #[arg(long, env = "INCENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Partitions of each topic: the most processes that can decide at the same time
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// Copies of each partition; with 3, two must have a record before it is acknowledged
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=10))]
    pub replication: i32,
    /// How long records are kept, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=876_000))]
    pub retention_hours: u32,
    /// Where Kafka is.
    #[command(flatten)]
    pub distributed: distributed::Flags,
}

/// Does it.
pub fn run(args: Args, out: &Output) -> Outcome {
    let Action::Create(create) = args.action;
    made(create, out)
}

#[cfg(not(feature = "distributed"))]
fn made(_: Create, _: &Output) -> Outcome {
    Err(distributed::not_built())
}

#[cfg(feature = "distributed")]
fn made(create: Create, out: &Output) -> Outcome {
    use bus_kafka::topics::{self, TopicPlan};

    use super::serve::runtime;
    use crate::config::document;
    use crate::config::server::ServerFile;
    use crate::platform::wait_for;

    let Create { config, partitions, replication, retention_hours, distributed } = create;
    let file: Option<ServerFile> = config.as_deref().map(document::read).transpose()?;
    let settings = distributed.over(file.as_ref()).bus()?;
    let plan = TopicPlan { partitions, replication, retention_hours };
    runtime()?.block_on(wait_for("Kafka", async || topics::create(&settings, plan).await))?;
    for topic in topics::all(&settings) {
        out.data(&topic)?;
    }
    Ok(())
}

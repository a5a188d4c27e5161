//! Structured logs on standard error: text for people, JSON lines for machines.

use std::io::IsTerminal;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text.
    Text,
    /// A JSON document a line.
    Json,
}

/// Starts logging. `filter` is a level (`info`) or a list as `warn,engine=debug`.
/// Errors: a filter that cannot be read.
pub fn start(out: &Output, format: LogFormat, filter: &str) -> Outcome {
    let env_filter = EnvFilter::try_new(filter).map_err(|e| {
        Failure::usage(format!("{filter:?} is not a log filter"))
            .why(e.to_string())
            .mend("write a level (error, warn, info, debug, trace) or warn,engine=debug")
    })?;
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(std::io::stderr)
        .with_ansi(out.may_color_talk());
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    started.map_err(|e| Failure::usage("logging is already started").why(e.to_string()))
}

//! `incent`: the platform in one binary. This file only parses and dispatches; each command is a
//! file in [`command`].

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::failure::Outcome;
use crate::output::Output;

mod cli;
mod client;
mod clock;
mod command;
mod config;
mod data_dir;
mod demo;
mod failure;
mod housekeeping;
mod interrupt;
mod output;
mod platform;
mod progress;
mod reading;
mod roles;
mod server;
mod table;
mod telemetry;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let no_color = global.no_color || config::no_color();
    let out = Output::new(global.output, no_color, global.quiet, global.verbose);
    let outcome = match command {
        Some(command) => run(command, &out),
        None => out.data(Cli::command().render_help().to_string().trim_end()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_silent() => ExitCode::SUCCESS,
        Err(failure) => {
            out.error(&failure);
            failure.code.into()
        }
    }
}

fn run(command: Command, out: &Output) -> Outcome {
    match command {
        Command::Dev(args) => command::dev::run(args, out),
        Command::Serve(args) => command::serve::run(*args, out),
        Command::Apply(args) => command::apply::run(args, out),
        Command::Import(args) => command::import::run(args, out),
        Command::Export(args) => command::export::run(args, out),
        Command::Listen(args) => command::listen::run(args, out),
        Command::Trigger(args) => command::trigger::run(args, out),
        Command::Explain(args) => command::explain::run(args, out),
        Command::Token(args) => command::token::run(args, out),
        Command::Migrate(args) => command::migrate::run(args, out),
        Command::Topics(args) => command::topics::run(args, out),
        Command::Aggregates(args) => command::aggregates::run(args, out),
        Command::Doctor(args) => command::doctor::run(args, out),
        Command::Completions(args) => command::completions::run(args, out),
        Command::Schemas(args) => command::schemas::run(args, out),
    }
}

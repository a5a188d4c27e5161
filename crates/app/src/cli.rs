//! The command tree.

use clap::{Parser, Subcommand};

use crate::command;
use crate::output::Format;

/// What bare `incent` and `-h` begin with.
const BEFORE: &str = "Try: incent dev";

/// Incent, an incentivization platform: tenants send the actions of their users, campaigns say
/// which actions earn what, limits keep the cost under control, users see their reward at once.
#[derive(Debug, Parser)]
#[command(
    name = "incent",
    version,
    before_help = BEFORE,
    about = "Incentives for what users do: campaigns, quests, limits, one binary",
    disable_help_subcommand = true,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 credentials, 4 not found, 5 conflict, \
                  6 limited, 7 unavailable, 130 interrupted"
)]
pub struct Cli {
    /// Flags that every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command has.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// How data is written [default: table on a terminal, jsonl in a pipe]
    #[arg(short = 'o', long = "output", value_enum, global = true, help_heading = "Everywhere")]
    pub output: Option<Format>,
    /// No colours (NO_COLOR in the environment does the same)
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub no_color: bool,
    /// Only data, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Everywhere")]
    pub quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a demo: real purchases in, incentives out, then serve
    Dev(command::dev::Args),
    /// Run the platform
    Serve(Box<command::serve::Args>),
    /// Bring tenants, limits, cohorts and campaigns to what files say
    Apply(command::apply::Args),
    /// Load events from a CSV or JSON-lines file
    Import(command::import::Args),
    /// Write out what was granted
    Export(command::export::Args),
    /// Print a user's incentives the moment they are pushed
    Listen(command::listen::Args),
    /// Send an event and see what it earns
    Trigger(command::trigger::Args),
    /// Say why a user did or did not get an incentive
    Explain(command::explain::Args),
    /// Sign an end user's token for the push connection
    Token(command::token::Args),
    /// Bring a database to the schema of this version
    Migrate(command::migrate::Args),
    /// Make the topics of the distributed profile
    Topics(command::topics::Args),
    /// Make the aggregates of the distributed profile anew
    Aggregates(command::aggregates::Args),
    /// Check a data directory and say how to mend it
    Doctor(command::doctor::Args),
    /// Print a completion script for a shell
    Completions(command::completions::Args),
    /// Write the published schemas
    #[command(hide = true)]
    Schemas(command::schemas::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_about_and_examples() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing about itself");
            if command.is_hide_set() {
                continue;
            }
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples =
                after.lines().filter(|line| line.trim_start().starts_with("incent ")).count();
            assert!((2..=4).contains(&examples), "{name} has {examples} examples");
        }
    }
}

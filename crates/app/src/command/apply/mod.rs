//! `incent apply`: brings tenants, limits, cohorts and campaigns to what files say. Applied again,
//! it changes nothing.

mod diff;
pub mod document;
mod platform;

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::client::Client;
use crate::config::connection::{self, Connection};
use crate::failure::Outcome;
use crate::output::{Format, Ink, Output};
use diff::Difference;
use document::Document;
pub use platform::Platform;

/// Flags of `apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Documents are YAML (several in a file, between lines of ---) or JSON, of kind Tenant, Limits, Cohort or
Campaign. They are found again by their names. All are checked before the first one is applied.

Examples:
  incent apply -f campaigns/
  incent apply -f shop.yaml -f campaigns/spring.yaml --dry-run
  incent apply -f campaigns/ --tenant 0199… -o jsonl
  incent apply -f quest.yaml --progress reset")]
pub struct Args {
    /// File, or directory with .yaml, .yml and .json files
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub file: Vec<PathBuf>,
    /// Show what would change and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What becomes of users' progress in the running quests that change. Needed when one loses a
    /// step or changes the kind of a goal
    #[arg(long, value_enum, ignore_case = true, value_name = "KEEP|RESET")]
    pub progress: Option<Progress>,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

/// What becomes of users' progress in a quest that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// It stays with the steps of the same id and kind of goal
    Keep,
    /// All users begin their current cycle anew
    Reset,
}

impl Progress {
    /// The platform's word for it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "KEEP",
            Self::Reset => "RESET",
        }
    }
}

/// What was done (or would be) to one thing.
#[derive(Debug)]
pub struct Change {
    /// Kind of the document.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What was done.
    pub verb: Verb,
    /// What differed.
    pub differences: Vec<Difference>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Made.
    Create,
    /// Changed.
    Update,
    /// As it should be already.
    Keep,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Keep => "unchanged",
        }
    }
}

/// Applies the files.
pub fn run(args: Args, out: &Output) -> Outcome {
    let documents = document::read_all(&args.file)?;
    let client = Client::new(Connection::resolve(args.connection)?);
    let mut platform = Platform::new(client, args.dry_run).progress(args.progress);
    let changes = apply(&mut platform, &documents, |change| show(change, out))?;
    let count = |verb| changes.iter().filter(|c| c.verb == verb).count();
    let would = if args.dry_run { " (dry run: nothing was changed)" } else { "" };
    out.say(&format!(
        "{} created, {} updated, {} unchanged{would}",
        count(Verb::Create),
        count(Verb::Update),
        count(Verb::Keep)
    ));
    Ok(())
}

/// Applies documents in their order, telling each change as it is made. Errors: the first refusal;
/// what came before it stays applied.
pub fn apply(
    platform: &mut Platform,
    documents: &[Document],
    mut tell: impl FnMut(&Change) -> Outcome,
) -> Outcome<Vec<Change>> {
    let mut changes = Vec::new();
    for document in documents {
        let change = platform.apply(document)?;
        tell(&change)?;
        changes.push(change);
    }
    Ok(changes)
}

fn show(change: &Change, out: &Output) -> Outcome {
    if out.asked_for().is_some_and(|format| format != Format::Table) {
        let differences: Vec<Value> = change
            .differences
            .iter()
            .map(|d| json!({"pointer": d.pointer, "old": d.old, "new": d.new}))
            .collect();
        return out.data(
            &json!({"kind": change.kind, "name": change.name, "result": change.verb.as_str(),
                    "differences": differences})
            .to_string(),
        );
    }
    let sign = match change.verb {
        Verb::Create => out.ink(Ink::Green, "+"),
        Verb::Update => out.ink(Ink::Yellow, "~"),
        Verb::Keep => out.ink(Ink::Dim, "="),
    };
    let mut text = format!("{sign} {:<9} {}", change.kind, change.name);
    for difference in &change.differences {
        text.push_str(&format!("\n      {}", difference.line()));
    }
    out.data(&text)
}

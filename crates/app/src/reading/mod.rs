//! Events out of CSV and JSON-lines files: lines, records, the mapping of columns, sorting.
//!
//! A broken row never stops the reading: it comes out as [`Broken`], with its line and its text.

pub mod event;
mod lines;
pub mod mapping;
mod record;
pub mod sort;
#[cfg(test)]
mod tests;
mod time;

use std::io::BufRead;
use std::path::Path;

use clap::ValueEnum;

pub use event::Event;
use mapping::{Mapping, Plan};
use record::Records;

use crate::failure::Outcome;

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Columns under a line of headings.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

impl Kind {
    /// By the file's name: `.jsonl`, `.ndjson` and `.json` are JSON lines, all else is CSV.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("jsonl" | "ndjson" | "json") => Self::Jsonl,
            _ => Self::Csv,
        }
    }
}

/// A row that is an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The row as it stands in the file.
    pub raw: String,
    /// What it says.
    pub event: Event,
}

/// A row that is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The row as it stands in the file.
    pub raw: String,
    /// Why, in plain words.
    pub why: String,
    /// Whether its columns are in order (of a CSV row).
    pub sound: bool,
}

/// The events of an input, row by row.
pub struct Events<R> {
    records: Records<R>,
    plan: Plan,
    kind: Kind,
}

impl<R: BufRead> Events<R> {
    /// Reads the headings and checks the mapping against them. Errors: no headings, a column that
    /// is not there, a mapping that is incomplete.
    pub fn open(input: R, kind: Kind, delimiter: u8, mapping: &Mapping) -> Outcome<Self> {
        let records = Records::open(input, kind, delimiter)?;
        let plan = Plan::new(mapping, kind, records.headings())?;
        Ok(Self { records, plan, kind })
    }

    /// The line of headings as it stands in a CSV; empty for JSON lines.
    pub fn heading_line(&self) -> &str {
        self.records.heading_line()
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = Outcome<Result<Item, Broken>>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(Ok(record)) => record,
            Ok(Err(broken)) => return Some(Ok(Err(broken))),
            Err(failure) => return Some(Err(failure)),
        };
        let (line, read) = (record.line, self.plan.event(&record, self.kind));
        let raw = record.raw;
        Some(Ok(match read {
            Ok(event) => Ok(Item { line, raw, event }),
            Err(why) => Err(Broken { line, raw, why, sound: true }),
        }))
    }
}

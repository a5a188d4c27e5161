//! Rows gathered into requests.

use crate::failure::{Failure, Outcome};
use crate::reading::Item;

/// Largest body, in bytes: the API takes 1 MiB.
const BODY_BYTES_MAX: usize = 1_000_000;

/// A request and the rows in it.
#[derive(Debug)]
pub struct Batch {
    /// Its number, dense from 0.
    pub number: u64,
    /// The body of `POST /api/v1/events:batch`.
    pub body: String,
    /// Line and text of each row, in the order of the body.
    pub rows: Vec<(u64, String)>,
}

/// Gathers rows.
pub struct Gatherer {
    events_max: usize,
    next: u64,
    body: String,
    rows: Vec<(u64, String)>,
}

impl Gatherer {
    /// Batches of at most so many events.
    pub fn new(events_max: usize) -> Self {
        Self { events_max, next: 0, body: String::new(), rows: Vec::new() }
    }

    /// Takes a row; gives a batch when it is full. Errors: the row is not JSON, which is a bug.
    pub fn push(&mut self, item: Item) -> Outcome<Option<Batch>> {
        let json = item.event.to_json().map_err(|e| {
            Failure::usage(format!("line {} has a payload that is not JSON", item.line))
                .why(e.to_string())
        })?;
        let full =
            self.rows.len() >= self.events_max || self.body.len() + json.len() > BODY_BYTES_MAX;
        let batch = if full { self.take() } else { None };
        self.body.push_str(if self.rows.is_empty() { r#"{"events":["# } else { "," });
        self.body.push_str(&json);
        self.rows.push((item.line, item.raw));
        Ok(batch)
    }

    /// What is gathered; `None` when there is nothing.
    pub fn take(&mut self) -> Option<Batch> {
        if self.rows.is_empty() {
            return None;
        }
        let mut body = std::mem::take(&mut self.body);
        body.push_str("]}");
        let batch = Batch { number: self.next, body, rows: std::mem::take(&mut self.rows) };
        self.next += 1;
        Some(batch)
    }
}

//! Rows in the order of their times, within a bound of memory: what does not fit is sorted in runs
//! on disk and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use domain::id::{ActionCode, EventId, UserRef};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, Item};

/// Memory that rows may take before a run is written to disk, in bytes.
pub const MEMORY_BYTES: usize = 128 << 20;

/// Collects rows and gives them back by time; rows of the same time keep the file's order.
pub struct Sorter {
    rows: Vec<Item>,
    bytes: usize,
    bound: usize,
    folder: PathBuf,
    runs: Vec<Run>,
}

impl Sorter {
    /// A sorter that holds about `bound` bytes and writes runs into `folder`, which exists.
    pub fn new(folder: &Path, bound: usize) -> Self {
        Self { rows: Vec::new(), bytes: 0, bound, folder: folder.to_owned(), runs: Vec::new() }
    }

    /// Takes a row. Errors: a run cannot be written.
    pub fn push(&mut self, item: Item) -> io::Result<()> {
        self.bytes += size_of::<Item>() + item.raw.len() + item.event.payload.len() + 64;
        self.rows.push(item);
        if self.bytes >= self.bound {
            self.write_run()?;
        }
        Ok(())
    }

    /// The rows by time. Errors: a run cannot be written or read.
    pub fn finish(mut self) -> io::Result<Sorted> {
        if !self.runs.is_empty() && !self.rows.is_empty() {
            self.write_run()?;
        }
        self.sort();
        let mut heap = BinaryHeap::new();
        for (from, run) in self.runs.iter_mut().enumerate() {
            heap.extend(run.next()?.map(|row| Reverse(Head::of(row, from))));
        }
        Ok(Sorted { memory: std::mem::take(&mut self.rows).into_iter(), runs: self.runs, heap })
    }

    fn sort(&mut self) {
        self.rows.sort_by_key(|item| (item.event.event_ts, item.line));
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.sort();
        let name = format!("incent-sort-{}-{}.jsonl", std::process::id(), self.runs.len());
        let path = self.folder.join(name);
        // From here on a failure removes the file.
        let mut run = Run { input: None, path };
        let mut file = BufWriter::new(File::create(&run.path)?);
        for item in self.rows.drain(..) {
            serde_json::to_writer(&mut file, &Row::of(item))?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        self.bytes = 0;
        run.input = Some(BufReader::new(File::open(&run.path)?));
        self.runs.push(run);
        Ok(())
    }
}

/// Rows by time.
pub struct Sorted {
    memory: std::vec::IntoIter<Item>,
    runs: Vec<Run>,
    heap: BinaryHeap<Reverse<Head>>,
}

impl Iterator for Sorted {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.runs.is_empty() {
            return self.memory.next().map(Ok);
        }
        let Reverse(head) = self.heap.pop()?;
        match self.runs[head.from].next() {
            Ok(next) => self.heap.extend(next.map(|row| Reverse(Head::of(row, head.from)))),
            Err(error) => return Some(Err(error)),
        }
        Some(head.row.into_item())
    }
}

/// A row as it lies in a run.
#[derive(Serialize, Deserialize)]
struct Row {
    at: Timestamp,
    line: u64,
    raw: String,
    id: String,
    user: String,
    action: String,
    payload: String,
}

impl Row {
    fn of(item: Item) -> Self {
        let Item { line, raw, event } = item;
        Self {
            at: event.event_ts,
            line,
            raw,
            id: event.event_id.as_str().to_owned(),
            user: event.user_id.as_str().to_owned(),
            action: event.action.as_str().to_owned(),
            payload: event.payload,
        }
    }

    fn into_item(self) -> io::Result<Item> {
        let event = Event {
            event_id: EventId::new(&self.id).map_err(io::Error::other)?,
            user_id: UserRef::new(&self.user).map_err(io::Error::other)?,
            action: ActionCode::new(&self.action).map_err(io::Error::other)?,
            event_ts: self.at,
            payload: self.payload,
        };
        Ok(Item { line: self.line, raw: self.raw, event })
    }
}

struct Head {
    row: Row,
    from: usize,
}

impl Head {
    fn of(row: Row, from: usize) -> Self {
        Self { row, from }
    }
    fn key(&self) -> (Timestamp, u64) {
        (self.row.at, self.row.line)
    }
}
impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A sorted run on disk; its file goes with it.
struct Run {
    input: Option<BufReader<File>>,
    path: PathBuf,
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Row>> {
        let Some(input) = &mut self.input else { return Ok(None) };
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A run that cannot be removed is litter in the temporary folder, not a fault.
        let _ = std::fs::remove_file(&self.path);
    }
}

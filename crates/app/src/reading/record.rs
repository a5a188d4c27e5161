//! Records: what stands under the headings of a CSV, or a JSON object of a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use csv::StringRecord;
use csv_core::ReadRecordResult;
use serde_json::value::RawValue;

use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::{Broken, Kind};
use crate::failure::{Failure, Outcome};

/// A row with its place.
#[derive(Debug)]
pub struct Record {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Its text.
    pub raw: String,
    /// The cells of a CSV row; `None` for JSON lines, whose text is read on demand.
    cells: Option<StringRecord>,
}

/// The named fields of a JSON line, values as they were written.
pub type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl Record {
    /// A cell of a CSV row; empty cells and ones that are not there are `None`.
    pub fn cell(&self, index: usize) -> Option<&str> {
        self.cells.as_ref()?.get(index).map(str::trim).filter(|cell| !cell.is_empty())
    }
    /// The fields of a JSON line. Errors: it is not a JSON object.
    pub fn fields(&self) -> Result<Fields<'_>, String> {
        serde_json::from_str(&self.raw).map_err(|e| format!("the line is not a JSON object: {e}"))
    }
}

/// A JSON value as text: what stands in a string, numbers as written; null is nothing.
pub fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    if raw == "null" {
        return None;
    }
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).ok()?;
        return (!text.is_empty()).then_some(Cow::Owned(text));
    }
    Some(Cow::Borrowed(raw))
}

/// The records of an input.
pub struct Records<R> {
    lines: Lines<R>,
    kind: Kind,
    delimiter: u8,
    row: Row,
    headings: StringRecord,
    heading_line: String,
}

/// Splits rows into cells. It is made once, for making it costs as much as splitting many rows.
struct Row {
    reader: csv_core::Reader,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

impl Row {
    fn new(delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, cells: Vec::new(), ends: Vec::new() }
    }

    /// The cells of a row.
    fn split(&mut self, text: &str) -> Result<StringRecord, String> {
        let Self { reader, cells, ends } = self;
        reader.reset();
        // Its cells are not longer than the row, nor more than its bytes and one.
        cells.resize(text.len() + 1, 0);
        ends.resize(text.len() + 2, 0);
        let (mut input, mut written, mut ended) = (text.as_bytes(), 0, 0);
        loop {
            let (result, read, wrote, more) =
                reader.read_record(input, &mut cells[written..], &mut ends[ended..]);
            (input, written, ended) = (&input[read..], written + wrote, ended + more);
            match result {
                // Asked once more without input, it tells the last cell.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err("the row is not CSV: its cells are longer than itself".to_owned());
                }
            }
        }
        let text = std::str::from_utf8(&cells[..written]);
        let text = text.map_err(|e| format!("the row is not CSV: {e}"))?;
        let mut record = StringRecord::with_capacity(written, ended);
        let mut begin = 0;
        for end in &ends[..ended] {
            // The reader cuts at delimiters and quotes, which are whole characters.
            record.push_field(text.get(begin..*end).unwrap_or_default());
            begin = *end;
        }
        Ok(record)
    }
}

impl<R: BufRead> Records<R> {
    /// Opens an input; reads the headings of a CSV. Errors: it has none.
    pub fn open(input: R, kind: Kind, delimiter: u8) -> Outcome<Self> {
        let mut records = Self {
            lines: Lines::new(input),
            kind,
            delimiter,
            row: Row::new(delimiter),
            headings: StringRecord::new(),
            heading_line: String::new(),
        };
        if kind == Kind::Csv {
            records.read_headings()?;
        }
        Ok(records)
    }

    /// The names of the columns; none for JSON lines.
    pub fn headings(&self) -> &StringRecord {
        &self.headings
    }
    /// The line of headings as it stands in the file.
    pub fn heading_line(&self) -> &str {
        &self.heading_line
    }

    fn read_headings(&mut self) -> Outcome {
        let first = self.lines.next().map_err(|e| unreadable(&e))?;
        let usable = first.filter(|line| line.fault.is_none() && !line.text.trim().is_empty());
        let Some(line) = usable else {
            return Err(Failure::usage("the file has no line of headings")
                .mend("the first line of a CSV names its columns"));
        };
        self.headings = self.row.split(&line.text).map_err(Failure::usage)?;
        self.headings.trim();
        self.heading_line = line.text;
        Ok(())
    }

    fn json_record(line: Line) -> Result<Record, Broken> {
        match line.fault {
            Some(why) => Err(Broken { line: line.number, raw: line.text, why, sound: false }),
            None => Ok(Record { line: line.number, raw: line.text, cells: None }),
        }
    }

    /// A row of a CSV, which may span lines inside quotes. A quote that is not closed, or not where
    /// the columns want it, costs its own line only: the lines after it are read again.
    fn csv_record(&mut self, first: Line) -> Outcome<Result<Record, Broken>> {
        let Line { number, text, fault } = first;
        if let Some(why) = fault {
            return Ok(Err(Broken { line: number, raw: text, why, sound: false }));
        }
        let mut quote = Quote::default();
        quote.feed(&text, self.delimiter);
        let (mut raw, mut more) = (text.clone(), Vec::new());
        while quote.is_open() {
            let Some(line) = self.lines.next().map_err(|e| unreadable(&e))? else { break };
            let usable = line.fault.is_none() && raw.len() + line.text.len() < LINE_BYTES_MAX;
            if usable {
                quote.feed("\n", self.delimiter);
                quote.feed(&line.text, self.delimiter);
                raw.push('\n');
                raw.push_str(&line.text);
            }
            more.push(line);
            if !usable {
                break;
            }
        }
        let read = self.checked(number, raw);
        if !quote.is_open() && (more.is_empty() || read.is_ok()) {
            return Ok(read);
        }
        self.lines.put_back(more.into_iter());
        let why = "a quote that begins in this line is never closed".to_owned();
        Ok(Err(Broken { line: number, raw: text, why, sound: false }))
    }

    fn checked(&mut self, line: u64, raw: String) -> Result<Record, Broken> {
        let cells = match self.row.split(&raw) {
            Ok(cells) => cells,
            Err(why) => return Err(Broken { line, raw, why, sound: false }),
        };
        if cells.len() != self.headings.len() {
            let why =
                format!("has {} columns, the headings have {}", cells.len(), self.headings.len());
            return Err(Broken { line, raw, why, sound: false });
        }
        Ok(Record { line, raw, cells: Some(cells) })
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Outcome<Result<Record, Broken>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.lines.next() {
                Ok(line) => line?,
                Err(error) => return Some(Err(unreadable(&error))),
            };
            if line.fault.is_none() && line.text.trim().is_empty() {
                continue;
            }
            return Some(match self.kind {
                Kind::Jsonl => Ok(Self::json_record(line)),
                Kind::Csv => self.csv_record(line),
            });
        }
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(crate::failure::Code::Failure, "the input cannot be read").why(error.to_string())
}

/// Whether a CSV text ends inside a quoted cell.
#[derive(Default)]
struct Quote {
    state: Cell,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Cell {
    #[default]
    Start,
    Bare,
    Quoted,
    /// After a quote inside a quoted cell: its end, or the first half of a doubled one.
    Ended,
}

impl Quote {
    fn feed(&mut self, text: &str, delimiter: u8) {
        for byte in text.bytes() {
            self.state = match (self.state, byte) {
                (Cell::Quoted, b'"') => Cell::Ended,
                (Cell::Quoted, _) | (Cell::Start | Cell::Ended, b'"') => Cell::Quoted,
                (_, other) if other == delimiter => Cell::Start,
                _ => Cell::Bare,
            };
        }
    }
    fn is_open(&self) -> bool {
        self.state == Cell::Quoted
    }
}

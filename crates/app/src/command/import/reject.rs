//! Rows that were refused, kept beside the input with their lines and reasons. In the shape of the
//! input, so that the file can be mended and imported.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::reading::mapping::{REJECTED_LINE, REJECTED_WHY};
use crate::reading::{Broken, Kind};

/// The reject file; it is made with its first row.
pub struct RejectFile {
    path: PathBuf,
    kind: Kind,
    delimiter: char,
    headings: String,
    columns: usize,
    /// Lines kept by an earlier run.
    known: HashSet<u64>,
    file: Option<BufWriter<File>>,
    rows: u64,
}

/// What became of a reject file.
pub struct Kept {
    /// How many rows are in it.
    pub rows: u64,
    /// Where it is; `None` when no row was refused.
    pub path: Option<PathBuf>,
}

impl RejectFile {
    /// The reject file of an input.
    pub fn open(input: &Path, kind: Kind, delimiter: u8, headings: &str) -> Self {
        let mut path = input.as_os_str().to_owned();
        path.push(".rejected.csv");
        let delimiter = if kind == Kind::Csv { char::from(delimiter) } else { ',' };
        Self {
            path: path.into(),
            kind,
            delimiter,
            headings: headings.to_owned(),
            columns: columns(headings, delimiter),
            known: HashSet::new(),
            file: None,
            rows: 0,
        }
    }

    /// Goes on with the file of an interrupted run: its rows are not kept twice.
    pub fn go_on(&mut self) -> Outcome {
        let Ok(file) = File::open(&self.path) else { return Ok(()) };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(u8::try_from(self.delimiter).unwrap_or(b','))
            .flexible(true)
            .from_reader(file);
        let headings = reader.headers().cloned().unwrap_or_default();
        let at = (0..headings.len()).rev().find(|at| headings.get(*at) == Some(REJECTED_LINE));
        for row in reader.records().flatten() {
            self.known.extend(at.and_then(|at| row.get(at)?.parse::<u64>().ok()));
        }
        self.rows = self.known.len() as u64;
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = Some(BufWriter::new(file.map_err(|e| self.failed("write", &e))?));
        Ok(())
    }

    /// Keeps a row.
    pub fn keep(&mut self, broken: &Broken) -> Outcome {
        if !self.known.insert(broken.line) {
            return Ok(());
        }
        if self.file.is_none() {
            let file = File::create(&self.path).map_err(|e| self.failed("write", &e))?;
            self.file = Some(BufWriter::new(file));
            let headings = self.headings_line();
            self.write(&headings)?;
        }
        self.rows += 1;
        let row = self.row(broken);
        self.write(&row)
    }

    /// Writes what is buffered. To be called before progress is recorded.
    pub fn flush(&mut self) -> Outcome {
        match &mut self.file {
            Some(file) => file.flush().map_err(|e| Failure::file("write", &self.path, &e)),
            None => Ok(()),
        }
    }

    /// Ends.
    pub fn finish(mut self) -> Outcome<Kept> {
        self.flush()?;
        Ok(Kept { rows: self.rows, path: self.file.is_some().then_some(self.path) })
    }

    fn headings_line(&self) -> String {
        let d = self.delimiter;
        match self.kind {
            Kind::Csv => format!("{}{d}{REJECTED_LINE}{d}{REJECTED_WHY}\n", self.headings),
            Kind::Jsonl => format!("{REJECTED_LINE}{d}{REJECTED_WHY}{d}row\n"),
        }
    }

    fn row(&self, broken: &Broken) -> String {
        let (d, line, why) = (self.delimiter, broken.line, quoted(&broken.why));
        match self.kind {
            Kind::Jsonl => format!("{line}{d}{why}{d}{}\n", quoted(&broken.raw)),
            Kind::Csv if broken.sound => format!("{}{d}{line}{d}{why}\n", broken.raw),
            // Whatever is wrong with its columns, it must not spill into the rows after it.
            Kind::Csv => {
                let rest = d.to_string().repeat(self.columns - 1);
                format!("{}{rest}{d}{line}{d}{why}\n", quoted(&broken.raw))
            }
        }
    }

    fn write(&mut self, text: &str) -> Outcome {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes()).map_err(|e| Failure::file("write", &self.path, &e))
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> Failure {
        Failure::file(doing, &self.path, error)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn columns(headings: &str, delimiter: char) -> usize {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).unwrap_or(b','))
        .has_headers(false)
        .from_reader(headings.as_bytes());
    reader.records().flatten().next().map_or(1, |row| row.len().max(1))
}

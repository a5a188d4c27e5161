//! Physical lines with their numbers, each bounded.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// Longest line, in bytes: an event may have 256 KiB.
pub const LINE_BYTES_MAX: usize = 512 << 10;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Its text without the line end. What is not UTF-8 or too long is there in part only.
    pub text: String,
    /// Why it cannot be used.
    pub fault: Option<String>,
}

/// The lines of an input.
pub struct Lines<R> {
    input: R,
    number: u64,
    pending: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    /// The lines of an input.
    pub fn new(input: R) -> Self {
        Self { input, number: 0, pending: VecDeque::new() }
    }

    /// The next line; `None` at the end. Errors: the input cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        match self.pending.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.read(),
        }
    }

    /// Puts lines back, to be given again in the same order.
    pub fn put_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        lines.rev().for_each(|line| self.pending.push_front(line));
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let bound = LINE_BYTES_MAX as u64 + 2;
        if self.input.by_ref().take(bound).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut fault = None;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if bytes.len() > LINE_BYTES_MAX {
            self.skip_line()?;
        }
        if bytes.len() > LINE_BYTES_MAX {
            bytes.truncate(1000);
            fault = Some(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
        }
        if self.number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            fault.get_or_insert_with(|| "the line is not UTF-8".to_owned());
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        Ok(Some(Line { number: self.number, text, fault }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|b| *b == b'\n');
            let used = end.map_or(buffer.len(), |at| at + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

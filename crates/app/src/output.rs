//! The only place that prints. Data goes to standard output, talk to standard error, so that a pipe
//! never carries anything but data.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::failure::{Code, Failure, Outcome};

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    /// Good news.
    Green,
    /// Bad news.
    Red,
    /// Worth a look.
    Yellow,
    /// Secondary.
    Dim,
    /// Primary.
    Bold,
}

/// Where and how a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Option<Format>,
    color_out: bool,
    color_err: bool,
    quiet: bool,
    /// How talkative: 0 normal, 1 `-v`, 2 `-vv`.
    pub verbosity: u8,
    out_is_terminal: bool,
    err_is_terminal: bool,
}

impl Output {
    /// From the flags; asks the system whether the two streams are terminals.
    pub fn new(format: Option<Format>, no_color: bool, quiet: bool, verbosity: u8) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        let err_is_terminal = io::stderr().is_terminal();
        Self {
            format,
            color_out: out_is_terminal && !no_color,
            color_err: err_is_terminal && !no_color,
            quiet,
            verbosity,
            out_is_terminal,
            err_is_terminal,
        }
    }

    /// The format in force: what was asked for, otherwise tables for people and JSON for pipes.
    pub fn format(&self) -> Format {
        match self.format {
            Some(format) => format,
            None if self.out_is_terminal => Format::Table,
            None => Format::Jsonl,
        }
    }
    /// Whether a format was asked for with `-o`.
    pub fn asked_for(&self) -> Option<Format> {
        self.format
    }
    /// Whether bars may be drawn on standard error.
    pub fn may_draw(&self) -> bool {
        self.err_is_terminal && !self.quiet
    }
    /// Whether logs and talk may be coloured.
    pub fn may_color_talk(&self) -> bool {
        self.color_err
    }

    /// Text in a colour, for standard output.
    pub fn ink(&self, ink: Ink, text: &str) -> String {
        paint(self.color_out, ink, text)
    }
    /// Text in a colour, for standard error.
    pub fn talk_ink(&self, ink: Ink, text: &str) -> String {
        paint(self.color_err, ink, text)
    }

    /// Writes data: a line (or several) to standard output.
    pub fn data(&self, text: &str) -> Outcome {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(stdout_failure)
    }
    /// Writes data as it is, without a line end.
    pub fn raw(&self, bytes: &[u8]) -> Outcome {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(stdout_failure)
    }
    /// Talks: a line to standard error, unless `-q`.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }
    /// Talks under `-v` only.
    pub fn detail(&self, text: &str) {
        if self.verbosity > 0 {
            self.say(text);
        }
    }
    /// Talks whatever the flags: warnings and errors.
    pub fn complain(&self, text: &str) {
        // Nobody is left to tell when standard error itself is gone.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
    /// A warning.
    pub fn warn(&self, text: &str) {
        self.complain(&format!("{} {text}", self.talk_ink(Ink::Yellow, "warning:")));
    }
    /// The last word of a failed command.
    pub fn error(&self, failure: &Failure) {
        self.complain(&format!("{} {failure}", self.talk_ink(Ink::Red, "error:")));
    }

    /// Writes one document; `human` renders it for people.
    pub fn document(&self, value: &Value, human: impl FnOnce(&Self) -> String) -> Outcome {
        match self.format() {
            Format::Table => self.data(&human(self)),
            Format::Json => self.data(&format!("{value:#}")),
            Format::Jsonl => self.data(&value.to_string()),
        }
    }
}

fn paint(on: bool, ink: Ink, text: &str) -> String {
    if !on {
        return text.to_owned();
    }
    let code = match ink {
        Ink::Green => "32",
        Ink::Red => "31",
        Ink::Yellow => "33",
        Ink::Dim => "2",
        Ink::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

fn stdout_failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::reader_gone();
    }
    Failure::new(Code::Failure, "cannot write to standard output").why(error.to_string())
}

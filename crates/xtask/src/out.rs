//! The one place that prints: data on stdout, talk on stderr.

use std::fmt::Arguments;
use std::io::Write;

/// A line of what was asked for. A closed pipe is not an error of ours.
pub fn data(line: Arguments<'_>) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A line about the work itself.
pub fn talk(line: Arguments<'_>) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

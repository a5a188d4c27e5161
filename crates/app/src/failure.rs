//! What a command answers when it fails: what happened, why, and how to mend it, with the exit code
//! that scripts rely on.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit codes. They are part of the interface: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Something failed; the message says what.
    Failure = 1,
    /// The command line, a configuration file or an input file is wrong.
    Usage = 2,
    /// No credential, a wrong one, or one that may not do this.
    Auth = 3,
    /// No such thing, or not for this tenant.
    NotFound = 4,
    /// The state does not allow it, or somebody else changed it first.
    Conflict = 5,
    /// A rate limit or quota.
    Limited = 6,
    /// The server, the network, the port or the disk is not there for us now.
    Unavailable = 7,
    /// Stopped by Ctrl-C or a signal.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A failed command.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What went wrong, in one line.
    pub what: String,
    /// Why, when the first line does not say it.
    pub why: Option<String>,
    /// How to mend it.
    pub mend: Option<String>,
    /// The places concerned: a line per bad field.
    pub places: Vec<String>,
}

/// What commands return.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), why: None, mend: None, places: Vec::new() }
    }
    /// The input is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, what)
    }
    /// Stopped on request.
    pub fn interrupted() -> Self {
        Self::new(Code::Interrupted, "interrupted")
    }
    /// The reader of our output went away (`incent export | head`): stop, and nothing to show.
    pub fn reader_gone() -> Self {
        Self::new(Code::Failure, "")
    }
    /// Whether there is nothing to show.
    pub fn is_silent(&self) -> bool {
        self.what.is_empty()
    }
    /// A file or directory could not be used. `doing` completes "cannot …".
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::new(Code::Failure, format!("cannot {doing} {}", path.display()))
            .why(error.to_string());
        match error.kind() {
            io::ErrorKind::NotFound => failure.mend("check the path"),
            io::ErrorKind::PermissionDenied => {
                failure.mend("give this user access to it, or choose another path")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self { code: Code::Unavailable, ..failure }
                    .mend("free some space and run the same command again; nothing was lost")
            }
            _ => failure,
        }
    }
    /// Adds the reason.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }
    /// Adds the way out.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
    /// Adds a place.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.places.push(place.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for place in &self.places {
            write!(f, "\n  at    {place}")?;
        }
        if let Some(why) = &self.why {
            write!(f, "\n  why   {}", why.replace('\n', "\n        "))?;
        }
        if let Some(mend) = &self.mend {
            write!(f, "\n  mend  {}", mend.replace('\n', "\n        "))?;
        }
        Ok(())
    }
}

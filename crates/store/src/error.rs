//! What can go wrong in a store, sorted by what it calls for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::ports::{PortError, PortErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// The result of a call to the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a call to the store failed. Cloned where one failed commit answers several callers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data directory open.
    #[error(
        "the data directory is in use: {} is locked by {}; stop that process or choose another \
         data directory", .lock_file.display(), holder(*.pid)
    )]
    Locked {
        /// The lock file.
        lock_file: PathBuf,
        /// The process that holds it, when it has written its id.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot {doing} {}: {cause}", .path.display())]
    Io {
        /// What was tried: "create", "open", …
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// No room left.
    #[error(
        "the database cannot grow: the disk, its quota or the largest allowed file is full \
         ({detail}); the transaction was rolled back and nothing that was answered is lost; free some space and try again"
    )]
    Full {
        /// What SQLite said.
        detail: String,
    },
    /// Another connection holds a lock for too long.
    #[error(
        "the database is locked by another connection ({detail}); close other programs that have \
         the file open, then try again"
    )]
    Busy {
        /// What SQLite said.
        detail: String,
    },
    /// The database server cannot be reached, or cannot do it now.
    #[error(
        "the database cannot be reached or is busy ({detail}); what was answered is not lost, and \
         it is tried again by itself"
    )]
    Unavailable {
        /// What it said.
        detail: String,
    },
    /// Another transaction was in the way of this one.
    #[error("another transaction was in the way ({detail}); nothing was stored, try again")]
    Raced {
        /// What the database said.
        detail: String,
    },
    /// The database file as a whole is damaged, or is none.
    #[error(
        "the database file is damaged or is not a database ({detail}); stop, keep a copy of it and \
         restore the last backup"
    )]
    Damaged {
        /// What SQLite said.
        detail: String,
    },
    /// A stored value is not what its column should hold.
    #[error(
        "stored data contradicts itself: {column} in {table}, row {row}: {detail}; run \
         `incent doctor`"
    )]
    Corrupt {
        /// The table, or the statement that read it.
        table: String,
        /// The column.
        column: String,
        /// Which row: its first column.
        row: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It exists already.
    #[error("{what} exists already")]
    Conflict {
        /// What does.
        what: String,
    },
    /// It does not exist (or belongs to another tenant, which is the same).
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// Changed by somebody else since the caller read it.
    #[error(
        "{what} is at version {actual}, not {expected}: somebody changed it meanwhile; read it \
         again and repeat the change"
    )]
    Stale {
        /// What.
        what: String,
        /// The version the caller had.
        expected: u32,
        /// The version stored.
        actual: u32,
    },
    /// It is not in a state in which this can be done to it.
    #[error("{what}")]
    WrongState {
        /// What is wrong, as a sentence.
        what: String,
    },
    /// The request contradicts what is stored, or breaks a bound.
    #[error("{what}")]
    Invalid {
        /// What is wrong, as a sentence.
        what: String,
    },
    /// The schema is not one this program can work with.
    #[error("{what}")]
    Schema {
        /// What is wrong and how to mend it.
        what: String,
    },
    /// The database has been closed.
    #[error("the database is closed: the process is stopping")]
    Closed,
    /// A closure panicked; its changes were rolled back.
    #[error(
        "a database operation failed by a defect in the program: {detail}; nothing of it was stored"
    )]
    Panicked {
        /// The panic's message.
        detail: String,
    },
    /// Anything else the database said.
    #[error("the database refused a statement: {detail}")]
    Sql {
        /// What it said.
        detail: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl StoreError {
    /// An [`StoreError::Io`].
    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), cause: Arc::new(cause) }
    }
    /// A [`StoreError::NotFound`].
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }
    /// A [`StoreError::Conflict`].
    pub fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }
    /// A [`StoreError::WrongState`].
    pub fn wrong_state(what: impl Into<String>) -> Self {
        Self::WrongState { what: what.into() }
    }
    /// A [`StoreError::Invalid`].
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, detail) => {
                let detail = detail.unwrap_or_else(|| code.to_string());
                from_code(code, detail)
            }
            rusqlite::Error::QueryReturnedNoRows => Self::not_found("such row"),
            rusqlite::Error::InvalidColumnType(_, column, kind) => {
                corrupt_column(column, format!("holds {kind}"))
            }
            rusqlite::Error::FromSqlConversionFailure(index, kind, cause) => {
                corrupt_column(format!("column {index}"), format!("holds {kind}: {cause}"))
            }
            other => Self::Sql { detail: other.to_string() },
        }
    }
}

fn corrupt_column(column: String, detail: String) -> StoreError {
    StoreError::Corrupt { table: "a query".to_owned(), column, row: "unknown".to_owned(), detail }
}

fn from_code(error: ffi::Error, detail: String) -> StoreError {
    match error.code {
        ErrorCode::DiskFull => StoreError::Full { detail },
        // What the system answers beyond a quota or the largest allowed file. SQLite does not tell
        // it from a failing disk.
        _ if matches!(error.extended_code, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE) => {
            StoreError::Full { detail: format!("{detail}; if there is room, the disk is failing") }
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy { detail },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Damaged { detail },
        ErrorCode::ConstraintViolation => match error.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                StoreError::Conflict { what: format!("a row with the same key ({detail})") }
            }
            _ => StoreError::Invalid {
                what: format!("the change breaks a rule of the schema: {detail}"),
            },
        },
        _ => StoreError::Sql { detail: format!("{detail} (SQLite code {})", error.extended_code) },
    }
}

impl From<StoreError> for PortError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Full { .. } => PortErrorKind::Full,
            StoreError::Damaged { .. } | StoreError::Corrupt { .. } | StoreError::Schema { .. } => {
                PortErrorKind::Corrupt
            }
            StoreError::Busy { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Raced { .. }
            | StoreError::Io { .. }
            | StoreError::Locked { .. }
            | StoreError::Closed
            | StoreError::Sql { .. } => PortErrorKind::Unavailable,
            StoreError::Conflict { .. }
            | StoreError::NotFound { .. }
            | StoreError::Stale { .. }
            | StoreError::WrongState { .. }
            | StoreError::Invalid { .. }
            | StoreError::Panicked { .. } => PortErrorKind::Invalid,
        };
        Self { kind, message: error.to_string() }
    }
}

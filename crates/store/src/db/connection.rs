//! Opening connections with the settings that the guarantees rest on.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::DbOptions;
use crate::error::{Result, StoreError};

/// Statements kept prepared per connection; more than the platform has.
const STATEMENTS_CACHED: usize = 256;
const READER_CACHE_KIB: u32 = 8 * 1024;
/// A checkpoint rather gives up than keeps the writer waiting for a long reader.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(10);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
    Checkpoint,
}

/// Opens a connection. The writer's comes first: it makes the file and switches it to WAL. Errors
/// name the file.
pub(super) fn open(path: &Path, options: &DbOptions, purpose: Purpose) -> Result<Connection> {
    try_open(path, options, purpose).map_err(|error| match error {
        StoreError::Damaged { detail } => {
            StoreError::Damaged { detail: format!("{}: {detail}", path.display()) }
        }
        StoreError::Sql { detail } => StoreError::io("open", path, std::io::Error::other(detail)),
        other => other,
    })
}

fn try_open(path: &Path, options: &DbOptions, purpose: Purpose) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if purpose == Purpose::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(match purpose {
        Purpose::Checkpoint => CHECKPOINT_PATIENCE,
        Purpose::Write | Purpose::Read => options.busy_timeout,
    })?;
    if purpose == Purpose::Write {
        conn.pragma_update(None, "page_size", options.page_size)?;
        let mode: String =
            conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::invalid(format!(
                "the file system of {} cannot hold a write-ahead log (journal mode is {mode}); \
                 use a local disk",
                path.display()
            )));
        }
    }
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Savepoints keep the old pages in memory instead of a temporary file.
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "mmap_size", options.mmap_bytes)?;
    let cache_kib = match purpose {
        Purpose::Write => options.cache_kib,
        Purpose::Read | Purpose::Checkpoint => READER_CACHE_KIB,
    };
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    // A page that is changed twice in a transaction is written once, however many there are.
    conn.pragma_update(None, "cache_spill", false)?;
    if purpose == Purpose::Read {
        conn.pragma_update(None, "query_only", true)?;
    }
    // A plan depends on the statement and not on what is bound to it. Otherwise SQLite prepares
    // many statements anew each time they run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(conn)
}

/// Runs a statement that is kept prepared: one that begins or ends what every read and write does.
pub(super) fn execute(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

//! Is what is stored consistent? The promises of `docs/guarantees.md` that foreign keys cannot hold
//! on the hot tables, checked by reading: `incent doctor` asks, and so does every fault test.
//!
//! Read-only, on a connection of its own; a running platform is not disturbed.

mod invariants;
#[cfg(feature = "distributed")]
mod postgres;
mod sums;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Result, StoreError};
use crate::migrate;

pub use invariants::Invariant;
#[cfg(feature = "distributed")]
pub use postgres::examine_postgres;

/// How many places of a broken promise are told.
pub const PLACES_MAX: usize = 5;

/// A promise that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What should be true.
    pub states: &'static str,
    /// In how many places it is not.
    pub count: u64,
    /// Some of them.
    pub places: Vec<String>,
    /// What to do about it.
    pub mend: &'static str,
}

/// The result of an examination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// What was examined, in the order of the examination.
    pub examined: Vec<&'static str>,
    /// What is broken.
    pub findings: Vec<Finding>,
    /// Rows by table, for those who want to know what there is.
    pub rows: Vec<(&'static str, u64)>,
}

/// Examines a database file. With `deep` the file's own structure is read as well, which takes as
/// long as reading all of it. Errors: there is no such file, or it cannot be read, or its schema is
/// not this program's.
pub fn examine_file(path: &Path, deep: bool) -> Result<Examination> {
    if !path.is_file() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StoreError::io("open", path, missing));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.pragma_update(None, "query_only", true)?;
    // One state for all questions, though the platform may be writing.
    conn.execute_batch("begin")?;
    migrate::check_current(&conn)?;
    let mut examination = Examination::default();
    if deep {
        structure(&conn, &mut examination)?;
    }
    examine(&conn, &mut examination)?;
    Ok(examination)
}

/// Examines a database over a connection that sees one state of it.
pub fn examine(conn: &Connection, examination: &mut Examination) -> Result<()> {
    for invariant in invariants::ALL {
        examination.examined.push(invariant.states);
        examination.findings.extend(invariant.check(conn)?);
    }
    for sum in sums::ALL {
        examination.examined.push(sum.states);
        examination.findings.extend(sum.check(conn)?);
    }
    for table in ["tenants", "campaigns", "users", "events", "incentives", "dead_letters"] {
        let count: i64 =
            conn.query_row(&format!("select count(*) from {table}"), [], |r| r.get(0))?;
        examination.rows.push((table, count.unsigned_abs()));
    }
    Ok(())
}

const STRUCTURE: &str = "the database file is sound";

fn structure(conn: &Connection, examination: &mut Examination) -> Result<()> {
    examination.examined.push(STRUCTURE);
    let mut query = conn.prepare("pragma integrity_check(100)")?;
    let lines = query.query_map([], |row| row.get::<_, String>(0))?;
    let broken: Vec<String> =
        lines.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().filter(|l| l != "ok").collect();
    if !broken.is_empty() {
        examination.findings.push(Finding {
            states: STRUCTURE,
            count: broken.len() as u64,
            places: broken.into_iter().take(PLACES_MAX).collect(),
            mend: "stop the platform, keep a copy of the file and restore the last backup",
        });
    }
    Ok(())
}

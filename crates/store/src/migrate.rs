//! Forward-only migrations, compiled in. A database remembers which it has and their checksums, so
//! that a program never works on a schema it does not know.

use domain::time::Timestamp;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::db::SqliteDb;
use crate::error::{Result, StoreError};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place, dense from 1.
    pub version: u32,
    /// The file's name without number and ending, the same for every database.
    pub name: &'static str,
    /// Its SQL.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($dir:literal: $($version:literal $name:literal),+ $(,)?) => {
        &[$($crate::migrate::Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $dir, "/000", $version, "_", $name, ".sql")),
        }),+]
    };
}

#[cfg(feature = "distributed")]
pub(crate) use migrations;

/// The schema of the embedded profile.
pub const SQLITE: &[Migration] =
    migrations!("sqlite": 1 "hot", 2 "control", 3 "progress", 4 "captured");

const CREATE_TABLE: &str = "
create table if not exists schema_migrations (
    version    integer not null primary key,
    name       text    not null,
    checksum   text    not null,
    applied_at integer not null
) strict";

/// Brings the database to this program's schema, all steps or none. Returns the names of the steps
/// that it applied. Errors: [`StoreError::Schema`] when the database is of a newer program or was
/// migrated by altered files.
pub async fn migrate(db: &SqliteDb, now: Timestamp) -> Result<Vec<&'static str>> {
    db.write(move |conn| apply(conn, SQLITE, now)).await
}

/// [`migrate`] for threads outside the async runtime.
pub fn migrate_blocking(db: &SqliteDb, now: Timestamp) -> Result<Vec<&'static str>> {
    db.write_blocking(move |conn| apply(conn, SQLITE, now))
}

/// Applies what is missing of `steps` inside the caller's transaction.
pub fn apply(conn: &Connection, steps: &[Migration], now: Timestamp) -> Result<Vec<&'static str>> {
    conn.execute_batch(CREATE_TABLE)?;
    let known = applied(conn)?;
    check(&known, steps)?;
    let mut names = Vec::new();
    for step in &steps[known.len()..] {
        conn.execute_batch(step.sql).map_err(|e| StoreError::Schema {
            what: format!("migration {:04}_{} cannot be applied: {e}", step.version, step.name),
        })?;
        conn.execute(
            "insert into schema_migrations (version, name, checksum, applied_at)
             values ($1, $2, $3, $4)",
            (step.version, step.name, checksum(step.sql), now.micros()),
        )?;
        names.push(step.name);
    }
    Ok(names)
}

/// Whether a database has exactly this program's schema. Errors: [`StoreError::Schema`].
pub fn check_current(conn: &Connection) -> Result<()> {
    let known = applied(conn)?;
    check(&known, SQLITE)?;
    match SQLITE.get(known.len()) {
        None => Ok(()),
        Some(step) => Err(StoreError::Schema {
            what: format!(
                "the database lacks migration {:04}_{}: it was written by an older version; start \
                 the platform once, which applies it",
                step.version, step.name
            ),
        }),
    }
}

/// A step that a database remembers.
pub(crate) struct Applied {
    pub version: u32,
    pub name: String,
    pub checksum: String,
}

fn applied(conn: &Connection) -> Result<Vec<Applied>> {
    let mut query =
        conn.prepare("select version, name, checksum from schema_migrations order by version")?;
    let rows = query.query_map([], |row| {
        Ok(Applied { version: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Compares what a database remembers with the steps of this program.
pub(crate) fn check(known: &[Applied], steps: &[Migration]) -> Result<()> {
    for (i, row) in known.iter().enumerate() {
        let Some(step) = steps.get(i) else {
            return Err(StoreError::Schema {
                what: format!(
                    "the database has migration {:04}_{}, which this program does not know: it was \
                     written by a newer version; run that version or restore a backup",
                    row.version, row.name
                ),
            });
        };
        if (step.version, step.name) != (row.version, row.name.as_str())
            || checksum(step.sql) != row.checksum
        {
            return Err(StoreError::Schema {
                what: format!(
                    "migration {:04}_{} of the database is not the one this program has \
                     ({:04}_{}): its text was altered after it had been applied; restore the \
                     original program, or start with an empty data directory",
                    row.version, row.name, step.version, step.name
                ),
            });
        }
    }
    Ok(())
}

/// What a step is remembered by.
pub(crate) fn checksum(sql: &str) -> String {
    let hash = Sha256::digest(sql.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

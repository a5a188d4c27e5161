//! The store over real database files.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod db;
mod migrations;
mod statements;

use std::path::PathBuf;

use domain::time::Timestamp;
use store::{DbOptions, SqliteDb};
use testkit::dir::TempDir;

/// A migrated database in a directory of its own.
struct TestDb {
    db: SqliteDb,
    dir: TempDir,
}

impl TestDb {
    fn new() -> Self {
        Self::with(&DbOptions::default())
    }

    fn with(options: &DbOptions) -> Self {
        let dir = TempDir::new();
        let db = SqliteDb::open(&dir.path().join("incent.db"), options).expect("opens");
        store::migrate::migrate_blocking(&db, at(0)).expect("migrates");
        Self { db, dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("incent.db")
    }
}

/// So many seconds after 2026-01-01.
fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time").plus_micros(seconds * 1_000_000)
}

//! All SQL. Nothing outside this crate knows a table.
//!
//! [`db`] runs closures on the one SQLite client (a writer thread with group commit, a few
//! readers); [`migrate`] brings a database to this version's schema; [`control`] holds the control
//! plane, whose SQL text SQLite and PostgreSQL share.

pub mod control;
pub mod db;
pub mod doctor;
pub mod embedded;
pub mod error;
pub mod hot;
pub mod migrate;
#[cfg(feature = "distributed")]
pub mod postgres;
pub mod report;

pub use db::{DbOptions, SqliteDb};
pub use error::{Result, StoreError};
#[cfg(feature = "distributed")]
pub use postgres::{PgDb, PgOptions};

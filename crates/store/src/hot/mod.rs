//! The event path's tables, written per database because there the difference is the point.
//! Whatever runs here runs once per batch or once per row of a batch: every statement is prepared
//! once per connection and what can be worked out beforehand is handed in ready. Parameters are written `?1`,
//! not `$1`: SQLite takes the latter for a name and numbers names by their first use.

mod commit;
mod encode;
mod load;
#[cfg(feature = "distributed")]
mod postgres;
mod publication;
mod rows;
mod sqlite;

#[cfg(feature = "distributed")]
pub use postgres::PgHotStore;
pub use sqlite::SqliteHotStore;

/// What the embedded log shares with the hot store: the same rows are both.
pub(crate) mod record {
    pub(crate) use super::commit::dead_letter;
    pub(crate) use super::rows::{RECORD_COLUMNS, TOPIC, blob, record};
}

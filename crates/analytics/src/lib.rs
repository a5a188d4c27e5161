//! The landing of the Analytics Bay: rows of `incentives`, as captured from the database, become
//! Parquet files in folders by day, which DuckDB, BigQuery and Snowflake read as they are.
//!
//! Each row lands exactly once. What has landed is what the manifest says: the list of files and,
//! for each tenant and source partition, the place of the last row in them. Both change in one
//! atomic step, so a row that comes again, for whatever reason, is known and dropped. A file that
//! the manifest does not name is not part of the landing.
//!
//! Read [`Landing`] first, then `manifest`, `folder` (the only module that changes the disk) and
//! `columns` (what a file holds). [`follow`] brings the rows.

mod columns;
mod error;
mod file;
mod folder;
mod follow;
mod landing;
mod manifest;
mod merge;
mod metrics;
mod reconcile;

pub use columns::{COLUMNS, Column, Kind};
pub use error::LandingError;
pub use follow::{Around, Counts, Status, follow};
pub use landing::{Cut, Landed, Landing};
pub use manifest::{LandedFile, Manifest};
pub use metrics::Metrics;
pub use reconcile::Drift;

//! The control plane: what operators set and everybody reads. One SQL text for both databases.
//!
//! The functions of the modules take a transaction and the tenant first, and times and ids as
//! parameters; several of them can be put into one transaction:
//!
//! ```ignore
//! let campaign = control
//!     .write(move |sql| campaigns::create(sql, tenant, &new, &change))
//!     .await?;
//! ```
//!
//! What changes a decision (campaigns, limits, cohorts, memberships, a tenant's zone, lateness,
//! status or mode) raises `tenant_states.config_version` in the same transaction; every change
//! writes a row of the audit log.

pub mod actions;
mod aggregates;
pub mod audit;
pub mod campaigns;
pub mod cohorts;
pub mod config;
pub mod dead_letters;
pub mod decisions;
pub mod idempotency;
pub mod incentives;
pub mod jobs;
pub mod keys;
pub mod limits;
mod local;
pub mod memberships;
pub mod page;
#[cfg(feature = "distributed")]
mod postgres;
pub mod push_auth;
pub mod recompute;
pub mod sql;
mod sqlite;
pub mod tenants;
pub mod users;

use domain::time::Timestamp;

pub use self::aggregates::LedgerAnswers;
pub use self::local::LocalControlPlane;
pub use self::page::{PAGE_SIZE_MAX, Page, PageRequest};
pub use self::sql::{Sql, Statement};
pub use self::sqlite::SqliteSession;
use crate::db::SqliteDb;
use crate::error::{Result, StoreError};

/// The control plane's database; clones share it.
#[derive(Clone)]
pub enum Control {
    /// The embedded profile's.
    Sqlite(SqliteDb),
    /// The distributed profile's.
    #[cfg(feature = "distributed")]
    Postgres(crate::PgDb),
}

impl Control {
    /// True when the offsets of a tenant's records rise as they are decided: there is one log. A
    /// topic may have them in several partitions.
    fn has_one_log(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            #[cfg(feature = "distributed")]
            Self::Postgres(_) => false,
        }
    }

    /// Runs a closure in a read transaction: all its queries see one state.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        match self {
            Self::Sqlite(db) => db.read(move |conn| work(&mut SqliteSession(conn))).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(db) => postgres::run(db, postgres::Purpose::Read, work).await,
        }
    }

    /// Runs a closure in a transaction and returns when it is durable; an error rolls it back.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        match self {
            Self::Sqlite(db) => db.write(move |conn| work(&mut SqliteSession(conn))).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(db) => postgres::run(db, postgres::Purpose::Write, work).await,
        }
    }
}

/// Who changes something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The operator or key, as the audit log shows it: `key:<id>`, `admin`, `system`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Every statement of the control plane, for the test that prepares each.
pub fn statements() -> impl Iterator<Item = &'static Statement> {
    [
        actions::ALL,
        aggregates::ALL,
        audit::ALL,
        config::ALL,
        dead_letters::ALL,
        decisions::ALL,
        idempotency::ALL,
        incentives::ALL,
        jobs::ALL,
        keys::ALL,
        limits::ALL,
        memberships::ALL,
        push_auth::ALL,
        tenants::ALL,
        users::ALL,
    ]
    .into_iter()
    .flatten()
    .chain(campaigns::statements())
    .chain(cohorts::statements())
    .chain(recompute::statements())
}

/// Refuses a change by somebody who has not seen the version stored.
fn expect_version(what: impl FnOnce() -> String, expected: Option<u32>, actual: u32) -> Result<()> {
    match expected {
        Some(expected) if expected != actual => {
            Err(StoreError::Stale { what: what(), expected, actual })
        }
        _ => Ok(()),
    }
}

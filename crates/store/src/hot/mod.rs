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
mod written;

#[cfg(feature = "distributed")]
pub use postgres::{PgHotStore, PgLedger};
pub use sqlite::SqliteHotStore;

/// The columns of an incentive, in the order in which both databases' rows are read.
const INCENTIVE_COLUMNS: &str = "
    incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id, type,
    reward_currency, reward_amount, coupon_code, issued_at, seq, limit_day,
    tenant_day_used, tenant_day_cap, tenant_total_used, tenant_total_cap,
    user_day_used, user_day_cap, user_total_used, user_total_cap, budgets";

/// What the embedded log shares with the hot store: the same rows are both.
pub(crate) mod record {
    pub(crate) use super::commit::dead_letter;
    pub(crate) use super::rows::{RECORD_COLUMNS, TOPIC, blob, record};
}

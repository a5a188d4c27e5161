//! Aggregates in Redis: how many incentives, and how much, per tenant, campaign, user, currency and
//! day, and leaderboards. Counted along from captured rows of the ledger, each row once; made anew
//! from the ledger whenever they are not what they should be (`docs/adr/0014-aggregates-in-redis.md`).
//!
//! Read `keeper` first: how rows are counted. `tally` is the arithmetic, `keys` the names, `rebuild`
//! makes a tenant's aggregates anew beside those in use, `compare` tells whether they are right,
//! `answers` reads them, `aggregator` is the role that runs all this, `link` the connection.

mod aggregator;
mod answers;
mod compare;
mod keeper;
mod keys;
mod link;
mod rebuild;
mod scripts;
mod tally;

pub use aggregator::{Aggregator, Running, Surroundings};
pub use compare::{Compared, Comparison};
pub use keeper::Keeper;
pub use link::{Settings, SettingsError};

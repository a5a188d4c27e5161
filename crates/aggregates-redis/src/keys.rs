//! Names of keys. The braces are literal: all keys of a tenant lie in one slot, so that a script may
//! use them on Redis Cluster. Nothing is read back out of a name, so nothing in one is encoded; a
//! user's id, which may hold anything printable, stands last.
//!
//! All that is counted belongs to a *generation*; the tenant's pointer says which one is in use.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use domain::id::{TenantId, UserRef};
use engine::aggregates::{Cell, Leaderboard, Sum};

/// What stands for all campaigns, or for all time.
const ALL: &str = "*";
/// The field of a user's hash that holds the last `seq` counted.
pub(crate) const SEQ: &str = "seq";
/// Who compares with the ledger at the moment, of all processes.
pub(crate) const COMPARING: &str = "agg:comparing";

/// The generation in use.
pub(crate) fn pointer(tenant: TenantId) -> String {
    format!("agg:{{{tenant}}}:now")
}

/// The generation that is being made, by whoever makes it.
pub(crate) fn making(tenant: TenantId) -> String {
    format!("agg:{{{tenant}}}:making")
}

/// There while keys of other generations may be left.
pub(crate) fn unclean(tenant: TenantId) -> String {
    format!("agg:{{{tenant}}}:unclean")
}

/// A pattern that matches the keys of all generations of a tenant.
pub(crate) fn generations(tenant: TenantId) -> String {
    format!("agg:{{{tenant}}}:g:*")
}

/// A generation of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    pub tenant: TenantId,
    pub id: String,
    prefix: String,
}

impl Generation {
    pub fn new(tenant: TenantId, id: &str) -> Self {
        let prefix = format!("agg:{{{tenant}}}:g:{id}:");
        Self { tenant, id: id.to_owned(), prefix }
    }

    /// Whether a key is one of this generation's.
    pub fn has(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
    }

    /// A hash: by source partition, the last place counted.
    pub fn places(&self) -> String {
        self.key("places")
    }

    /// A hash: what the tenant has in total, in a field for each currency.
    pub fn totals(&self) -> String {
        self.key("totals")
    }

    /// A hash: what the tenant has by day and currency.
    pub fn days(&self) -> String {
        self.key("days")
    }

    /// A hash: what a user has, and the last `seq` counted.
    pub fn user(&self, user: &UserRef) -> String {
        self.key(&format!("user:{user}"))
    }

    /// The hash that a cell is a field of.
    pub fn hash(&self, cell: &Cell) -> String {
        match (&cell.user, cell.campaign, cell.day) {
            (Some(user), ..) => self.user(user),
            (None, Some(_), _) => self.key("campaigns"),
            (None, None, Some(_)) => self.days(),
            (None, None, None) => self.totals(),
        }
    }

    /// A sorted set: who leads.
    pub fn board(&self, board: &Leaderboard) -> String {
        let cell = Cell {
            user: None,
            campaign: board.campaign,
            day: board.day,
            currency: board.currency.clone(),
        };
        self.key(&format!("top:{}", field(&cell)))
    }

    fn key(&self, what: &str) -> String {
        format!("{}{what}", self.prefix)
    }
}

/// A cell's field. A currency may hold anything printable and stands last.
pub(crate) fn field(cell: &Cell) -> String {
    let mut field = match cell.campaign {
        Some(campaign) => campaign.0.as_simple().to_string(),
        None => ALL.to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = match cell.day {
        Some(day) => write!(field, "|{}|{}", day.0, cell.currency),
        None => write!(field, "|{ALL}|{}", cell.currency),
    };
    field
}

/// Day and currency of a field of [`Generation::days`] or [`Generation::totals`].
pub(crate) fn day_and_currency(field: &str) -> Option<(Option<i32>, &str)> {
    let mut parts = field.splitn(3, '|');
    let (_, day, currency) = (parts.next()?, parts.next()?, parts.next()?);
    match day {
        ALL => Some((None, currency)),
        day => Some((Some(day.parse().ok()?), currency)),
    }
}

/// A user's member of a leaderboard. Members of equal scores are sorted by their bytes: who reached
/// the amount first comes first, then the smaller id.
pub(crate) fn member(user: &UserRef, sum: &Sum) -> String {
    format!("{:016x}|{user}", sum.last_at.micros())
}

/// Whose member it is.
pub(crate) fn of_member(member: &str) -> Option<UserRef> {
    UserRef::new(member.split_once('|')?.1).ok()
}

/// Scores are sorted upwards, so that ties can be, too. As doubles they are exact for the first 15
/// digits of an amount; what leads is decided on the exact one, which is in the user's hash.
pub(crate) fn score(sum: &Sum) -> f64 {
    use rust_decimal::prelude::ToPrimitive as _;
    -sum.amount.to_f64().unwrap_or(f64::MAX)
}

//! Aggregates: how many incentives, and how much, per tenant, campaign, user, currency and day, and
//! who leads. Kept beside the ledger from its captured rows; the ledger can always give them anew.
//!
//! A row of the ledger counts in eight [`Cell`]s: for its user and for all, for its campaign and for
//! all, on its day and in total. A [`Sum`] is what a cell holds.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use domain::id::{CampaignId, TenantId, UserRef};
use domain::time::{Day, Timestamp};
use rust_decimal::Decimal;
use tokio::sync::mpsc;

use crate::captured::{Applied, CapturedIncentive};
use crate::ports::PortFuture;

/// Most days that one question may span.
pub const DAYS_MAX: i32 = 366;
/// Most users that a leaderboard shows.
pub const LEADERS_MAX: u32 = 1000;

/// What is counted apart: each part that is `None` stands for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Of this user.
    pub user: Option<UserRef>,
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// On this calendar day of the tenant.
    pub day: Option<Day>,
    /// In this currency: amounts of several are never added.
    pub currency: String,
}

impl Cell {
    /// The cells in which something that a user has from a campaign on a day counts.
    pub fn of(
        user: &UserRef,
        campaign: CampaignId,
        day: Day,
        currency: &str,
    ) -> impl Iterator<Item = Self> {
        let users = [Some(user), None];
        users.into_iter().flat_map(move |user| {
            [Some(campaign), None].into_iter().flat_map(move |campaign| {
                [Some(day), None].into_iter().map(move |day| Self {
                    user: user.cloned(),
                    campaign,
                    day,
                    currency: currency.to_owned(),
                })
            })
        })
    }

    /// The leaderboard that a user's cell is a place on; `None` for the cells of all users.
    pub fn leaderboard(&self) -> Option<Leaderboard> {
        self.user.as_ref()?;
        Some(Leaderboard {
            campaign: self.campaign,
            day: self.day,
            currency: self.currency.clone(),
        })
    }
}

/// A leaderboard of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaderboard {
    /// Of this campaign; `None` = of all.
    pub campaign: Option<CampaignId>,
    /// Of this day; `None` = of all time.
    pub day: Option<Day>,
    /// In this currency.
    pub currency: String,
}

/// What a cell holds. As text: the number, the amount, and the microseconds of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Incentives.
    pub incentives: u64,
    /// Their amount, exact.
    pub amount: Decimal,
    /// When the last of them was issued: the moment at which the amount was reached.
    pub last_at: Timestamp,
}

impl Sum {
    /// With more.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self {
            incentives: self.incentives + more.incentives,
            amount: (self.amount + more.amount).normalize(),
            last_at: self.last_at.max(more.last_at),
        }
    }
}

impl Default for Sum {
    /// Of nothing.
    fn default() -> Self {
        Self { incentives: 0, amount: Decimal::ZERO, last_at: Timestamp::from_stored(0) }
    }
}

impl From<&CapturedIncentive> for Sum {
    fn from(row: &CapturedIncentive) -> Self {
        Self { incentives: 1, amount: row.amount, last_at: row.issued_at }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.incentives, self.amount.normalize(), self.last_at.micros())
    }
}

impl FromStr for Sum {
    type Err = NoSum;
    fn from_str(text: &str) -> Result<Self, NoSum> {
        let mut parts = text.split(' ');
        let mut next = || parts.next().ok_or(NoSum);
        let sum = Self {
            incentives: next()?.parse().map_err(|_| NoSum)?,
            amount: next()?.parse().map_err(|_| NoSum)?,
            last_at: Timestamp::from_stored(next()?.parse().map_err(|_| NoSum)?),
        };
        if parts.next().is_none() { Ok(sum) } else { Err(NoSum) }
    }
}

/// A text that is no [`Sum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no sum: a number, an amount and microseconds")]
pub struct NoSum;

// -------------------------------------------------------------------------------------- questions

/// What somebody wants to know: sums by day and currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumsAsked {
    /// Whose.
    pub tenant: TenantId,
    /// Of this campaign; `None` = of all.
    pub campaign: Option<CampaignId>,
    /// Of this user; `None` = of all.
    pub user: Option<UserRef>,
    /// In this currency; `None` = in each.
    pub currency: Option<String>,
    /// The first day.
    pub from: Day,
    /// The last day, at most [`DAYS_MAX`] with the first.
    pub to: Day,
}

/// A day's sum in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaySum {
    /// The tenant's calendar day.
    pub day: Day,
    /// The currency.
    pub currency: String,
    /// What it comes to.
    pub sum: Sum,
}

/// Who leads a board, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The tenant's id of the user.
    pub user: UserRef,
    /// What the user has.
    pub sum: Sum,
}

/// An answer, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// From where.
    pub source: AnsweredBy,
}

domain::choice! {
    /// Where an answer is from.
    pub enum AnsweredBy {
        /// Counted along, a moment behind the ledger.
        Aggregates = "AGGREGATES",
        /// Added up from the ledger for this answer.
        Ledger = "LEDGER",
    }
}

/// Who answers questions: aggregates that are counted along, or the ledger itself.
pub trait Aggregates: Send + Sync {
    /// Sums by day and currency, ascending by both; days and currencies without any are left out.
    fn sums<'a>(&'a self, asked: &'a SumsAsked) -> PortFuture<'a, Answered<DaySum>>;
    /// The first `max` users of a board: by amount, the largest first; of equal amounts, who reached
    /// it first; then by the user's id. At most [`LEADERS_MAX`].
    fn leaders<'a>(
        &'a self,
        tenant: TenantId,
        board: &'a Leaderboard,
        max: u32,
    ) -> PortFuture<'a, Answered<Leader>>;
}

/// The order of a leaderboard.
pub fn by_rank(a: &Leader, b: &Leader) -> std::cmp::Ordering {
    let reached = (a.sum.last_at, a.user.as_str()).cmp(&(b.sum.last_at, b.user.as_str()));
    b.sum.amount.cmp(&a.sum.amount).then(reached)
}

// ------------------------------------------------------------------------------------- the ledger

/// All that a user has, by campaign, currency and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSums {
    /// The tenant's id of the user.
    pub user: UserRef,
    /// The user's last `seq`.
    pub last_seq: u64,
    /// The sums.
    pub sums: Vec<(CampaignId, String, Day, Sum)>,
}

/// What the ledger has of a tenant up to some places, and how much there is beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerDays {
    /// The first day that was looked at; `None` = all.
    pub since: Option<Day>,
    /// By day and currency.
    pub days: BTreeMap<(Day, String), Sum>,
    /// Incentives of these days beyond the places.
    pub beyond: u64,
}

/// The ledger, as the truth from which aggregates are made anew and with which they are compared.
pub trait Ledger: Send + Sync {
    /// Tenants by their id, after one, at most `max`.
    fn tenants<'a>(&'a self, after: Option<TenantId>, max: u32) -> PortFuture<'a, Vec<TenantId>>;
    /// Sends the sums of all users of a tenant as of one moment, and returns the places up to which
    /// that is everything. Waits for whoever takes the sums; ends early when nobody does any more.
    fn users<'a>(
        &'a self,
        tenant: TenantId,
        sums: mpsc::Sender<UserSums>,
    ) -> PortFuture<'a, Applied>;
    /// At most `max` rows of a tenant beyond some places, in the order of source partition and
    /// place.
    fn beyond<'a>(
        &'a self,
        tenant: TenantId,
        places: &'a Applied,
        max: u32,
    ) -> PortFuture<'a, Vec<CapturedIncentive>>;
    /// What there is up to some places, of so many days before the tenant's latest incentive and of
    /// its day; `None` = of all time.
    fn days<'a>(
        &'a self,
        tenant: TenantId,
        places: &'a Applied,
        recent: Option<i32>,
    ) -> PortFuture<'a, LedgerDays>;
}

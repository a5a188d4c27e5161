//! Are the aggregates right? A tenant's sums by day are read together with the places up to which
//! they count, and the ledger is asked for the same: they must agree exactly, however far behind the
//! counting is. What the ledger has beyond is told apart.

use std::collections::BTreeMap;

use domain::id::TenantId;
use domain::time::Day;
use engine::aggregates::Sum;
use engine::captured::Applied;
use engine::ports::PortError;

use crate::keeper::Keeper;
use crate::keys::{self, Generation};
use crate::link::next;
use crate::rebuild::applied;

/// How a tenant's aggregates compare with the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What was found.
    pub comparison: Comparison,
    /// Incentives in the ledger beyond what is counted.
    pub behind: u64,
    /// Up to where it is counted.
    pub places: Applied,
}

/// What a comparison finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They agree, day by day.
    Right,
    /// Redis has nothing of a tenant of whom the ledger has something.
    Missing,
    /// They differ by so many incentives; where only amounts differ, each day counts as one.
    Drift(u64),
}

impl Comparison {
    /// Incentives by which they differ.
    pub fn drift(self, behind: u64) -> u64 {
        match self {
            Self::Right => 0,
            Self::Missing => behind,
            Self::Drift(incentives) => incentives,
        }
    }
}

impl Keeper {
    /// Compares a tenant's aggregates of so many days before its latest incentive and of its day, or
    /// all (`None`). Errors: Redis or the ledger do not answer.
    pub async fn compare(
        &self,
        tenant: TenantId,
        recent: Option<i32>,
    ) -> Result<Compared, PortError> {
        loop {
            let Some(id) = self.in_use(tenant).await? else {
                let places = Applied::default();
                let ledger = self.ledger.days(tenant, &places, None).await?;
                let is_missing = ledger.beyond > 0;
                let comparison = if is_missing { Comparison::Missing } else { Comparison::Right };
                return Ok(Compared { comparison, behind: ledger.beyond, places });
            };
            let generation = Generation::new(tenant, &id);
            let Some((places, mut counted)) = self.counted(&generation).await? else {
                continue;
            };
            let ledger = self.ledger.days(tenant, &places, recent).await?;
            counted.retain(|(day, _), _| ledger.since.is_none_or(|since| *day >= since));
            let drift = drift(&counted, &ledger.days);
            let comparison = if drift == 0 { Comparison::Right } else { Comparison::Drift(drift) };
            return Ok(Compared { comparison, behind: ledger.beyond, places });
        }
    }

    /// A generation's places, and its sums by day as of them; `None` when another one is in use.
    async fn counted(
        &self,
        generation: &Generation,
    ) -> Result<Option<(Applied, BTreeMap<(Day, String), Sum>)>, PortError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("GET").arg(keys::pointer(generation.tenant));
        pipeline.cmd("HGETALL").arg(generation.places());
        pipeline.cmd("HGETALL").arg(generation.days());
        let mut answers = self.link.ask(&pipeline).await?.into_iter();
        let in_use: Option<String> = next(&mut answers)?;
        if in_use.as_deref() != Some(&generation.id) {
            return Ok(None);
        }
        let places: Vec<(i32, String)> = next(&mut answers)?;
        let days: Vec<(String, String)> = next(&mut answers)?;
        let read = |(field, sum): (String, String)| {
            let (day, currency) = keys::day_and_currency(&field)?;
            // What cannot be read is missing, and so told.
            Some(((Day(day?), currency.to_owned()), sum.parse().ok()?))
        };
        let days = days.into_iter().filter_map(read).collect();
        Ok(Some((applied(generation.tenant, places), days)))
    }
}

/// By how many incentives they differ.
fn drift(counted: &BTreeMap<(Day, String), Sum>, ledger: &BTreeMap<(Day, String), Sum>) -> u64 {
    let of_day = |of: &(Day, String)| {
        let sums = [counted, ledger].map(|all| all.get(of).copied().unwrap_or_default());
        let [counted, known] = sums;
        let amounts = u64::from(counted.amount.normalize() != known.amount.normalize());
        counted.incentives.abs_diff(known.incentives).max(amounts)
    };
    let only_counted = counted.keys().filter(|of| !ledger.contains_key(*of));
    ledger.keys().chain(only_counted).map(of_day).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_counts_what_is_too_much_and_what_is_missing() {
        let days = |of: &[(i32, &str, u64, &str)]| -> BTreeMap<(Day, String), Sum> {
            let day = |(day, currency, incentives, amount): &(i32, &str, u64, &str)| {
                let amount = amount.parse().expect("a decimal");
                let sum = Sum { incentives: *incentives, amount, ..Sum::default() };
                ((Day(*day), (*currency).to_owned()), sum)
            };
            of.iter().map(day).collect()
        };
        let ledger = days(&[(1, "EUR", 5, "10.5"), (1, "POINTS", 2, "7"), (2, "EUR", 1, "1")]);
        for (counted, expected) in [
            (ledger.clone(), 0),
            (days(&[(1, "EUR", 5, "10.50"), (1, "POINTS", 2, "7"), (2, "EUR", 1, "1")]), 0),
            (days(&[]), 8),
            (days(&[(1, "EUR", 4, "9"), (1, "POINTS", 2, "7"), (2, "EUR", 1, "1")]), 1),
            (days(&[(1, "EUR", 5, "10.51"), (1, "POINTS", 2, "7"), (2, "EUR", 1, "1")]), 1),
            (days(&[(1, "EUR", 5, "10.5"), (1, "POINTS", 2, "7"), (2, "USD", 1, "1")]), 2),
        ] {
            assert_eq!(drift(&counted, &ledger), expected, "{counted:?}");
        }
    }
}

//! Compares what has landed with what the database has, by counts per day.

use std::collections::BTreeMap;

use domain::time::Day;

/// The days on which the landing and the database differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// By day: rows in the database, rows landed.
    pub days: BTreeMap<Day, (u64, u64)>,
}

impl Drift {
    /// Compares counts per day, over the days that both are said to know: those from the landing's
    /// first one on, and of which the database still has rows. The landing's first day may lack
    /// what was granted before the changes were captured, and the database's first day what was
    /// dropped with a partition.
    pub fn between(stored: &BTreeMap<Day, u64>, landed: &BTreeMap<Day, u64>) -> Self {
        let first = |rows: &BTreeMap<Day, u64>| rows.keys().next().copied();
        let (Some(first_stored), Some(first_landed)) = (first(stored), first(landed)) else {
            return Self::default();
        };
        let differs = |(day, stored): (&Day, &u64)| {
            let landed = landed.get(day).copied().unwrap_or(0);
            let is_missing = *stored > landed && *day > first_landed;
            let is_surplus = *stored < landed && *day > first_stored;
            (is_missing || is_surplus).then_some((*day, (*stored, landed)))
        };
        Self { days: stored.iter().filter_map(differs).collect() }
    }

    /// Rows that the database has and the landing has not.
    pub fn missing(&self) -> u64 {
        self.days.values().map(|(stored, landed)| stored.saturating_sub(*landed)).sum()
    }

    /// Rows that the landing has and the database has not.
    pub fn surplus(&self) -> u64 {
        self.days.values().map(|(stored, landed)| landed.saturating_sub(*stored)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_differ_are_found_and_the_first_ones_are_excused() {
        let rows = |rows: &[(i32, u64)]| rows.iter().map(|(d, n)| (Day(*d), *n)).collect();
        let check = |stored: &[(i32, u64)], landed: &[(i32, u64)], missing, surplus| {
            let drift = Drift::between(&rows(stored), &rows(landed));
            assert_eq!((drift.missing(), drift.surplus()), (missing, surplus), "{drift:?}");
        };
        check(&[(1, 5), (2, 5)], &[(1, 5), (2, 5)], 0, 0);
        check(&[(1, 5), (2, 5), (3, 4)], &[(1, 5), (2, 3)], 2 + 4, 0);
        check(&[(1, 5), (2, 5)], &[(1, 5), (2, 6)], 0, 1);
        // Captured from the middle of day 2 on.
        check(&[(1, 5), (2, 5), (3, 5)], &[(2, 1), (3, 5)], 0, 0);
        // Day 1 is dropped from the database, and a part of day 2 with it.
        check(&[(2, 1), (3, 5)], &[(1, 5), (2, 5), (3, 5)], 0, 0);
        check(&[], &[(1, 5)], 0, 0);
        check(&[(1, 5)], &[], 0, 0);
    }
}

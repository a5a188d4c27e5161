//! Windows: which of the uses in a list count on a day.

use domain::rule::{Budget, BudgetWindow, Per};
use domain::time::{Day, Period};
use rust_decimal::Decimal;

use super::calendar::{first_day, same_period};

/// Over which days a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Ever,
    Period(Period),
    /// So many days.
    Days(i32),
}

impl Over {
    pub fn per(per: Per) -> Self {
        match per {
            Per::Ever => Self::Ever,
            Per::Day => Self::Period(Period::Day),
            Per::Week => Self::Period(Period::Week),
            Per::Month => Self::Period(Period::Month),
            Per::Quarter => Self::Period(Period::Quarter),
            Per::Year => Self::Period(Period::Year),
        }
    }

    pub fn budget(budget: &Budget) -> Self {
        match budget.per {
            BudgetWindow::Total => Self::Ever,
            BudgetWindow::Rolling => {
                let days = budget.days.and_then(|days| i32::try_from(days.get()).ok());
                Self::Days(days.unwrap_or(1))
            }
            BudgetWindow::Day => Self::Period(Period::Day),
            BudgetWindow::Week => Self::Period(Period::Week),
            BudgetWindow::Month => Self::Period(Period::Month),
            BudgetWindow::Quarter => Self::Period(Period::Quarter),
            BudgetWindow::Year => Self::Period(Period::Year),
        }
    }

    pub fn limit(days: Option<u16>) -> Self {
        days.map_or(Self::Ever, |days| Self::Days(days.into()))
    }

    /// The use that counts against a cap for something on a day. Late events may find use on later
    /// days, so of all the windows of N days that hold the day the fullest counts.
    pub fn used(self, uses: &[(Day, Decimal)], day: Day) -> Decimal {
        let sum = |holds: &dyn Fn(Day) -> bool| -> Decimal {
            uses.iter().filter(|(used, _)| holds(*used)).map(|(_, n)| *n).sum()
        };
        match self {
            Self::Ever => sum(&|_| true),
            Self::Period(period) => sum(&|used| same_period(period, used, day)),
            Self::Days(n) => {
                let near: Vec<(Day, Decimal)> =
                    uses.iter().filter(|(used, _)| (used.0 - day.0).abs() < n).copied().collect();
                let window = |first: i32| -> Decimal {
                    let inside = |used: Day| used.0 >= first && used.0 < first + n;
                    near.iter().filter(|(used, _)| inside(*used)).map(|(_, n)| *n).sum()
                };
                (day.0 - n + 1..=day.0).map(window).max().unwrap_or_default()
            }
        }
    }

    /// The bucket in which a use on a day is stored; `None` is the one for ever.
    pub fn bucket(self, day: Day) -> Option<Day> {
        match self {
            Self::Ever => None,
            Self::Period(period) => Some(first_day(period, day)),
            Self::Days(_) => Some(day),
        }
    }
}

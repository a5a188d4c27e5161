//! Limits and budgets: windows, meters and the uses that are recorded with each incentive.

use std::ops::AddAssign;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::time::{Day, Period};

/// Days that a meter keeps: the widest window of a limit. All of them are kept whatever the window
/// in force, so that a window made wider counts exactly from the first moment.
pub const WINDOW_DAYS_MAX: u16 = 366;

/// A tenant limit as set by its operator; `None` = no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitSpec {
    /// Most incentives on one calendar day of the tenant.
    pub max_per_day: Option<u64>,
    /// Most incentives over the window.
    pub max_total: Option<u64>,
    /// The window of `max_total`: today and the N−1 calendar days before; `None` = for ever.
    pub window_days: Option<u16>,
}

impl LimitSpec {
    /// The window over which `max_total` counts.
    pub fn total_window(&self) -> Window {
        self.window_days.map_or(Window::Ever, Window::Days)
    }
}

/// Over which days a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// From the first day on.
    Ever,
    /// The calendar period that holds the day.
    Period(Period),
    /// The day and the N−1 days before it.
    Days(u16),
}

impl Window {
    /// The bucket that a use on `day` falls into; `None` is the bucket for ever.
    pub fn bucket(self, day: Day) -> Option<Day> {
        match self {
            Self::Ever => None,
            Self::Period(period) => Some(period.first_day(day)),
            Self::Days(_) => Some(day),
        }
    }
}

/// What has been used, in daily buckets (or one bucket per period) and for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meter<N> {
    /// Everything since the beginning.
    #[serde(rename = "e")]
    pub ever: N,
    /// By day, ascending.
    #[serde(rename = "d", default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<(Day, N)>,
}

impl<N: Copy + Default + AddAssign + PartialOrd> Meter<N> {
    /// The use that counts against a cap over `window` for something that happens on `day`.
    ///
    /// Days may come out of order (events arrive late), so for a window of N days the answer is the
    /// largest use of all windows that hold `day`: granting up to the cap then exceeds none of them.
    pub fn used(&self, window: Window, day: Day) -> N {
        match window {
            Window::Ever => self.ever,
            Window::Period(period) => self.bucket(period.first_day(day)),
            Window::Days(n) => {
                let reach = i32::from(n) - 1;
                let mut most = self.sum(day.0 - reach, day.0);
                for (later, _) in self.days.iter().filter(|(d, _)| *d > day && d.0 - day.0 <= reach)
                {
                    let use_there = self.sum(later.0 - reach, later.0);
                    if use_there > most {
                        most = use_there;
                    }
                }
                most
            }
        }
    }

    fn bucket(&self, day: Day) -> N {
        match self.days.binary_search_by_key(&day, |(d, _)| *d) {
            Ok(i) => self.days[i].1,
            Err(_) => N::default(),
        }
    }

    fn sum(&self, from: i32, to: i32) -> N {
        let mut sum = N::default();
        for (_, n) in self.days.iter().filter(|(d, _)| (from..=to).contains(&d.0)) {
            sum += *n;
        }
        sum
    }

    /// Adds to the total for ever and to one bucket.
    pub fn add(&mut self, bucket: Option<Day>, n: N) {
        self.ever += n;
        let Some(day) = bucket else { return };
        match self.days.binary_search_by_key(&day, |(d, _)| *d) {
            Ok(i) => self.days[i].1 += n,
            Err(i) => self.days.insert(i, (day, n)),
        }
    }

    /// Forgets the buckets before a day.
    pub fn prune(&mut self, before: Day) {
        let keep = self.days.partition_point(|(d, _)| *d < before);
        self.days.drain(..keep);
    }
}

/// A use and the cap it was held against, after the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Use after the grant.
    pub used: u64,
    /// The cap in force; `None` = no cap.
    pub cap: Option<u64>,
}

/// The four uses of the tenant's limits recorded with each incentive, on the tenant's day of its
/// append time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitUse {
    /// The tenant's calendar day.
    pub day: Day,
    /// The tenant's use on that day.
    pub tenant_day: Use,
    /// The tenant's use over the window of its total.
    pub tenant_total: Use,
    /// The user's use on that day.
    pub user_day: Use,
    /// The user's use over the window of the total.
    pub user_total: Use,
}

/// A campaign budget's use after the grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetUse {
    /// The budget's id in its campaign.
    pub id: String,
    /// Use after the grant, a count or an amount.
    pub used: Decimal,
    /// The cap in force.
    pub cap: Decimal,
    /// First day of the bucket; `None` = for ever.
    pub bucket: Option<Day>,
}

/// The row key of a tenant's GLOBAL limit in `limit_usage`.
pub const TENANT_LIMIT_KEY: &str = "tenant";

/// The row key of a campaign budget in `limit_usage`.
pub fn budget_key(campaign: crate::id::CampaignId, budget: &str) -> String {
    format!("campaign:{campaign}:{budget}")
}

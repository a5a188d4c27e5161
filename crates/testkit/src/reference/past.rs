//! Everything that happened: plain lists, added to and never changed. What a limit, a budget, a
//! repetition or a quest has come to is counted from them anew each time.

use std::collections::BTreeMap;

use domain::id::{ActionCode, CampaignId, EventId, UserId};
use domain::incentive::{Completion, Incentive};
use domain::rule::GoalKind;
use domain::time::{Day, Timestamp};
use rust_decimal::Decimal;

use super::expression::Plain;

/// How use is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// From the list of all grants, each time: quadratic, and nothing can be wrong with it.
    Slow,
    /// From daily sums of the same grants, for logs of many thousand events.
    ByDay,
}

/// A grant and the days it counts on.
pub(super) struct Grant {
    pub incentive: Incentive,
    /// The tenant's day of the event's own time.
    pub event_day: Day,
    /// The tenant's day of the append time.
    pub append_day: Day,
}

/// A reward of a SIMPLE campaign or a completion of a quest, for the repetition.
pub(super) struct Rewarded {
    pub campaign: CampaignId,
    pub ts: Timestamp,
    pub day: Day,
}

/// An event that moved a quest on.
pub(super) struct Turn {
    pub campaign: CampaignId,
    pub ts: Timestamp,
    pub day: Day,
    /// The window before it was over.
    pub opens_window: bool,
    /// The campaign's; a change of it makes the cycle begin anew.
    pub progress_version: u32,
    /// By step: how it is counted, what was added, and whether that completed the step.
    pub moves: Vec<(String, GoalKind, Decimal, bool)>,
    /// It completed the quest.
    pub completes: bool,
}

/// A completed cycle that waits for room.
#[derive(Clone)]
pub(super) struct Owed {
    pub campaign: CampaignId,
    pub cycle: u32,
    pub event_id: EventId,
    /// Place of the reward in the rule, and its amount.
    pub rewards: Vec<(u32, Decimal)>,
}

/// One user's past.
#[derive(Default)]
pub(super) struct UserPast {
    /// The JSON text of the attributes set last.
    pub attributes: Option<String>,
    /// Actions of the events that counted as happened, in the order of the log.
    pub actions: Vec<ActionCode>,
    /// Values that a `oncePer` has rewarded.
    pub once: Vec<(CampaignId, Plain)>,
    /// Places in the list of grants.
    pub grants: Vec<usize>,
    pub rewarded: Vec<Rewarded>,
    pub turns: Vec<Turn>,
    pub owed: Vec<Owed>,
    /// Grants of a campaign up to here do not count for its budgets of scope USER any more: the
    /// campaign had ended.
    pub forgotten: BTreeMap<CampaignId, usize>,
}

/// What a budget counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counts {
    Incentives,
    AmountIn(String),
}

impl Counts {
    /// What an incentive takes from the budget; `None` when the budget does not count it.
    pub fn taken(&self, currency: &str, amount: Decimal) -> Option<Decimal> {
        match self {
            Self::Incentives => Some(Decimal::ONE),
            Self::AmountIn(own) => (own == currency).then_some(amount),
        }
    }
}

/// The past of one tenant.
pub(super) struct Past {
    counting: Counting,
    pub grants: Vec<Grant>,
    pub completions: Vec<Completion>,
    pub users: BTreeMap<UserId, UserPast>,
    tenant_days: BTreeMap<Day, Decimal>,
    campaign_days: BTreeMap<(CampaignId, Counts), BTreeMap<Day, Decimal>>,
}

/// Uses and their days.
pub(super) type Uses = Vec<(Day, Decimal)>;

impl Past {
    pub fn new(counting: Counting) -> Self {
        Self {
            counting,
            grants: Vec::new(),
            completions: Vec::new(),
            users: BTreeMap::new(),
            tenant_days: BTreeMap::new(),
            campaign_days: BTreeMap::new(),
        }
    }

    /// Adds a grant.
    pub fn grant(&mut self, grant: Grant) {
        let incentive = &grant.incentive;
        self.users.entry(incentive.user).or_default().grants.push(self.grants.len());
        *self.tenant_days.entry(grant.append_day).or_default() += Decimal::ONE;
        let (currency, amount) = (&incentive.currency, incentive.amount);
        for counts in [Counts::Incentives, Counts::AmountIn(currency.clone())] {
            let taken = counts.taken(currency, amount).unwrap_or_default();
            let days = self.campaign_days.entry((incentive.campaign, counts)).or_default();
            *days.entry(grant.event_day).or_default() += taken;
        }
        self.grants.push(grant);
    }

    /// All grants of the tenant, by append day.
    pub fn of_tenant(&self) -> Uses {
        match self.counting {
            Counting::Slow => self.grants.iter().map(|g| (g.append_day, Decimal::ONE)).collect(),
            Counting::ByDay => self.tenant_days.iter().map(|(day, n)| (*day, *n)).collect(),
        }
    }

    /// All grants to a user, by append day.
    pub fn of_user(&self, user: UserId) -> Uses {
        self.granted_to(user).map(|(_, g)| (g.append_day, Decimal::ONE)).collect()
    }

    /// What a campaign's grants took from a budget for all users, by event day.
    pub fn of_campaign(&self, campaign: CampaignId, counts: &Counts) -> Uses {
        match self.counting {
            Counting::Slow => {
                let own = self.grants.iter().filter(|g| g.incentive.campaign == campaign);
                own.filter_map(|g| Self::taken(g, counts)).collect()
            }
            Counting::ByDay => {
                let days = self.campaign_days.get(&(campaign, counts.clone()));
                days.into_iter().flatten().map(|(day, n)| (*day, *n)).collect()
            }
        }
    }

    /// What a campaign's grants to a user took from a budget, by event day.
    pub fn of_user_in(&self, user: UserId, campaign: CampaignId, counts: &Counts) -> Uses {
        let past = self.users.get(&user);
        let from = past.and_then(|p| p.forgotten.get(&campaign)).copied().unwrap_or(0);
        let own =
            self.granted_to(user).filter(|(i, g)| *i >= from && g.incentive.campaign == campaign);
        own.filter_map(|(_, g)| Self::taken(g, counts)).collect()
    }

    fn taken(grant: &Grant, counts: &Counts) -> Option<(Day, Decimal)> {
        let incentive = &grant.incentive;
        counts.taken(&incentive.currency, incentive.amount).map(|taken| (grant.event_day, taken))
    }

    fn granted_to(&self, user: UserId) -> impl Iterator<Item = (usize, &Grant)> {
        let places = self.users.get(&user).map(|past| past.grants.as_slice()).unwrap_or_default();
        places.iter().map(|place| (*place, &self.grants[*place]))
    }

    /// The user's number of incentives.
    pub fn seq(&self, user: UserId) -> u64 {
        self.users.get(&user).map_or(0, |past| past.grants.len() as u64)
    }
}

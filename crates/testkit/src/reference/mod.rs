//! What every decision should have been: the semantics of campaigns, limits, budgets and quests
//! written down a second time, slowly and without cleverness.
//!
//! It shares no evaluation with the product: no compiled rules, no meters, no user states. It keeps
//! lists of everything that happened and counts them anew for each event. What it takes from the
//! product is its vocabulary only: ids, instants, rule documents as read, incentives and outcomes.
//!
//! The order of the checks, the first that refuses gives the reason:
//! - every campaign: period, schedule, cohorts;
//! - SIMPLE: first ever, condition, once per value, repetition, cooldown;
//! - QUEST: repetition, cooldown, window, steps;
//! - then the amounts, the campaign's budgets in their order, and the limits: user's day, user's
//!   total, tenant's day, tenant's total.
//!
//! Not modelled: `USER_STATE_FULL`, which depends on bytes, and the bounds on how much is
//! remembered for late events.

pub mod calendar;
mod campaign;
mod caps;
mod expression;
mod past;
mod quest;
mod simple;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use domain::config::TenantConfig;
use domain::decide::{Considered, EventOutcome, Reason, Status};
use domain::event::{Record, RecordKind, USER_UPDATED};
use domain::id::{CampaignId, CohortId, UserId};
use domain::incentive::{Completion, Incentive};
use domain::limit::{TENANT_LIMIT_KEY, budget_key};
use domain::payload::Payload;
use domain::rule::BudgetScope;
use domain::time::Day;
use rust_decimal::Decimal;

use campaign::Campaign;
use expression::{Plain, Sight, Trees};
use past::Past;
use window::Over;

pub use past::Counting;

/// Most different actions of a user that are told apart.
const ACTIONS_MAX: usize = 64;

/// Why a campaign did not grant, and the numbers compared.
struct Refusal {
    reason: Reason,
    numbers: Option<(Decimal, Decimal)>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, numbers: None }
    }
}

/// What came of a campaign that did not refuse.
struct Verdict {
    reason: Reason,
    numbers: Option<(Decimal, Decimal)>,
    grants: u32,
}

/// A tenant's configuration in force from some record on.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What the control plane handed out.
    pub config: TenantConfig,
    /// Who is in which cohort, at the membership versions in force.
    pub members: BTreeMap<CohortId, BTreeSet<UserId>>,
}

/// How far a user is in the current cycle of a quest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuestProgress {
    /// Number of the cycle, from 1.
    pub cycle: u32,
    /// By step: value so far, and whether it is done.
    pub steps: BTreeMap<String, (Decimal, bool)>,
    /// Numbers of the completed cycles that wait for payment.
    pub waiting: Vec<u32>,
}

/// One tenant's log, decided record by record.
pub struct Reference {
    config: TenantConfig,
    members: BTreeMap<CohortId, BTreeSet<UserId>>,
    /// In the order in which they compete.
    campaigns: Vec<Campaign>,
    trees: Trees,
    past: Past,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference").field("tenant", &self.config.tenant).finish_non_exhaustive()
    }
}

/// A record as it is decided.
struct Happening<'r> {
    record: &'r Record,
    user: UserId,
    /// The tenant's day of the event's own time.
    event_day: Day,
    /// The tenant's day of the append time.
    append_day: Day,
    /// The user's first event of its action, ever.
    first: bool,
    cohorts: Vec<CohortId>,
}

impl Reference {
    /// Before the first record.
    ///
    /// # Panics
    /// When a campaign's rule cannot be read: it was checked when it was saved.
    pub fn new(setting: Setting, counting: Counting) -> Self {
        let campaigns = campaign::in_order(&setting.config);
        let Setting { config, members } = setting;
        Self { config, members, campaigns, trees: Trees::default(), past: Past::new(counting) }
    }

    /// The configuration changes before the next record.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn set(&mut self, setting: Setting) {
        self.campaigns = campaign::in_order(&setting.config);
        self.config = setting.config;
        self.members = setting.members;
    }

    /// Decides the next record of the log.
    pub fn decide(&mut self, record: &Record) -> EventOutcome {
        let Ok(payload) = Payload::parse(&record.event.payload) else {
            return EventOutcome::plain(Status::Unreadable);
        };
        let user = record.event.user();
        let past = self.past.users.entry(user).or_default();
        if record.event.action.as_str() == USER_UPDATED {
            past.attributes = Some(record.event.payload.as_ref().to_owned());
            return EventOutcome::plain(Status::UserUpdated);
        }
        let is_history = record.kind == RecordKind::History;
        let late_us = record.append_time.micros() - record.event.event_ts.micros();
        if !is_history && late_us > self.config.lateness_us {
            return EventOutcome::plain(Status::TooLate);
        }
        let known: BTreeSet<_> = past.actions.iter().collect();
        let first = !known.contains(&record.event.action) && known.len() < ACTIONS_MAX;
        past.actions.push(record.event.action.clone());
        if is_history {
            return EventOutcome::plain(Status::History);
        }
        self.forget_ended(user);
        let zone = &self.config.zone;
        let in_force = |cohort: &CohortId| self.config.cohorts.iter().any(|c| c.id == *cohort);
        let joined =
            self.members.iter().filter(|(id, users)| in_force(id) && users.contains(&user));
        let happening = Happening {
            record,
            user,
            event_day: calendar::local_day(zone, record.event.event_ts),
            append_day: calendar::local_day(zone, record.append_time),
            first,
            cohorts: joined.map(|(id, _)| *id).collect(),
        };
        self.meet(&happening, &payload)
    }

    fn meet(&mut self, happening: &Happening<'_>, payload: &Payload<'_>) -> EventOutcome {
        let mut outcome = EventOutcome::plain(Status::Decided);
        let attributes = self.past.users.get(&happening.user).and_then(|p| p.attributes.clone());
        let event = &happening.record.event;
        let object = |payload: &Payload<'_>| {
            let members = payload.members().iter();
            Plain::Object(members.map(|(k, v)| (k.to_string(), Plain::of(v))).collect())
        };
        let nothing = || Plain::Object(Vec::new());
        let user =
            attributes.as_deref().and_then(|text| Payload::parse(text).ok().map(|p| object(&p)));
        let trees = std::mem::take(&mut self.trees);
        let zone = self.config.zone.clone();
        let sight = Sight {
            trees: &trees,
            payload: object(payload),
            user: user.unwrap_or_else(nothing),
            action: event.action.as_str(),
            ts: event.event_ts,
            zone: &zone,
            cohorts: &happening.cohorts,
        };
        let campaigns = std::mem::take(&mut self.campaigns);
        for campaign in campaigns.iter().filter(|c| c.retries()) {
            let grants = self.pay_owed(campaign, happening);
            if grants > 0 {
                let paid = Verdict { reason: Reason::Granted, numbers: None, grants };
                note(&mut outcome, campaign, Ok(paid));
            }
        }
        for campaign in campaigns.iter().filter(|c| c.listens_to(&event.action)) {
            let verdict = self.consider(campaign, happening, &sight);
            note(&mut outcome, campaign, verdict);
        }
        self.campaigns = campaigns;
        self.trees = trees;
        outcome
    }

    /// What a user did in campaigns that are neither active nor paused is forgotten.
    fn forget_ended(&mut self, user: UserId) {
        let kept = |id: &CampaignId| {
            self.config.dormant.contains(id) || self.config.campaigns.iter().any(|c| c.id == *id)
        };
        let granted = self.past.grants.len();
        let Some(past) = self.past.users.get_mut(&user) else { return };
        let own = past.grants.iter().map(|place| self.past.grants[*place].incentive.campaign);
        for campaign in own.filter(|id| !kept(id)).collect::<Vec<_>>() {
            past.forgotten.insert(campaign, granted);
        }
        past.rewarded.retain(|r| kept(&r.campaign));
        past.turns.retain(|t| kept(&t.campaign));
        past.owed.retain(|o| kept(&o.campaign));
    }

    /// All incentives, in the order of the log. The code of a coupon is its prefix and a `#` for
    /// each character that is derived, see [`code_fits`].
    pub fn incentives(&self) -> impl Iterator<Item = &Incentive> {
        self.past.grants.iter().map(|g| &g.incentive)
    }

    /// Steps and quests completed, in the order of the log.
    pub fn completions(&self) -> &[Completion] {
        &self.past.completions
    }

    /// The use of the tenant's limit and of the budgets of scope CAMPAIGN as stored: by key and
    /// bucket, where `None` is the bucket for ever.
    pub fn usage(&self) -> BTreeMap<(String, Option<Day>), Decimal> {
        let mut usage = BTreeMap::new();
        let mut add = |key: &str, over: Over, uses: past::Uses| {
            for (day, n) in uses {
                *usage.entry((key.to_owned(), None)).or_default() += n;
                if let Some(bucket) = over.bucket(day) {
                    *usage.entry((key.to_owned(), Some(bucket))).or_default() += n;
                }
            }
        };
        add(TENANT_LIMIT_KEY, Over::Days(1), self.past.of_tenant());
        for campaign in &self.campaigns {
            let shared = campaign.budgets.iter().filter(|b| b.scope == BudgetScope::Campaign);
            for budget in shared {
                let uses = self.past.of_campaign(campaign.source.id, &caps::counts(budget));
                add(&budget_key(campaign.source.id, &budget.id), Over::budget(budget), uses);
            }
        }
        usage
    }

    /// A user's progress in a quest; `None` before the first event that counted.
    pub fn progress(&self, user: UserId, campaign: CampaignId) -> Option<QuestProgress> {
        let past = self.past.users.get(&user)?;
        past.turns.iter().find(|t| t.campaign == campaign)?;
        let cycle = quest::cycle(past, campaign);
        let owed = past.owed.iter().filter(|o| o.campaign == campaign);
        Some(QuestProgress {
            cycle: cycle.number,
            steps: cycle.steps.into_iter().map(|(id, s)| (id, (s.value, s.done))).collect(),
            waiting: owed.map(|o| o.cycle).collect(),
        })
    }
}

fn note(outcome: &mut EventOutcome, campaign: &Campaign, verdict: Result<Verdict, Refusal>) {
    let (reason, numbers, grants) = match verdict {
        Ok(verdict) => (verdict.reason, verdict.numbers, verdict.grants),
        Err(refusal) => (refusal.reason, refusal.numbers, 0),
    };
    outcome.grants += grants;
    let source = &campaign.source;
    let (number, version) = (source.number, source.version);
    outcome.considered.push(Considered { campaign: source.id, number, version, reason, numbers });
}

/// Whether an incentive is the one that the reference granted, its coupon's code being one that the
/// reference's pattern allows.
pub fn is_granted(got: &Incentive, wanted: &Incentive) -> bool {
    let mut got = got.clone();
    if let (Some(code), Some(pattern)) = (&got.coupon_code, &wanted.coupon_code)
        && code_fits(pattern, code)
    {
        got.coupon_code.clone_from(&wanted.coupon_code);
    }
    got == *wanted
}

/// Whether a coupon's code is one that the reference's pattern allows: the same prefix, and
/// unmistakable letters and digits where the pattern has `#`.
pub fn code_fits(pattern: &str, code: &str) -> bool {
    let unmistakable = |c: char| {
        (c.is_ascii_uppercase() && !"IO".contains(c)) || (c.is_ascii_digit() && !"01".contains(c))
    };
    // Prefixes may hold a # of their own; it fits itself.
    pattern.chars().count() == code.chars().count()
        && pattern.chars().zip(code.chars()).all(|(p, c)| p == c || (p == '#' && unmistakable(c)))
}

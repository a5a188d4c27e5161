//! One event meets one user under one tenant's rules: what the campaigns look at and change.

use std::cell::OnceCell;

use super::caps::Ledger;
use super::{Considered, EventOutcome, Found, Parsed, Reason, Refusal, Status, quest, simple};
use crate::compile::{Campaign, Kind, Repetition, TenantRules};
use crate::expr::{Expr, Scope, Verdict};
use crate::id::CohortId;
use crate::limit::Window;
use crate::state::{CampaignState, STATE_BYTES_MAX, UserState, weight};
use crate::time::{Day, Timestamp};

/// Most grants (completions) that a cooldown looks back on; older ones are forgotten first.
pub const COOLDOWN_GRANTS_MAX: usize = 32;

pub(crate) struct Meeting<'m> {
    pub rules: &'m TenantRules,
    pub event: &'m Parsed<'m>,
    pub scope: Scope<'m>,
    /// The user's first event of its action, ever.
    pub first: bool,
    pub cohorts: &'m [CohortId],
    pub state: &'m mut UserState,
    pub ledger: Ledger<'m>,
    pub days: Days,
}

/// Calendar days of the event, worked out when first asked for.
#[derive(Default)]
pub(crate) struct Days {
    append: OnceCell<Day>,
    event: OnceCell<Day>,
    earliest: OnceCell<Day>,
}

impl<'m> Meeting<'m> {
    pub fn run(mut self) -> EventOutcome {
        let mut outcome = EventOutcome::plain(Status::Decided);
        let rules = self.rules;
        for place in &rules.retrying {
            let campaign = &rules.campaigns[*place as usize];
            if let Some(found) = quest::pay_unpaid(campaign, &mut self) {
                record(&mut outcome, campaign, Ok(found));
            }
        }
        let mut places = Vec::new();
        rules.listening(&self.event.record.event.action, &mut places);
        for place in places {
            let campaign = &rules.campaigns[place as usize];
            let result = self.consider(campaign);
            record(&mut outcome, campaign, result);
        }
        outcome
    }

    fn consider(&mut self, campaign: &Campaign) -> Result<Found, Refusal> {
        self.eligible(campaign)?;
        match &campaign.kind {
            Kind::Simple(simple) => simple::consider(campaign, simple, self),
            Kind::Quest(quest) => quest::consider(campaign, quest, self),
        }
    }

    /// Time, schedule and cohort: what keeps the event from the campaign whatever its rule.
    fn eligible(&self, campaign: &Campaign) -> Result<(), Refusal> {
        let ts = self.event_ts();
        if campaign.start_at.is_some_and(|start| ts < start)
            || campaign.end_at.is_some_and(|end| ts >= end)
        {
            return Err(Reason::NotActive.into());
        }
        if let Some(schedule) = &campaign.schedule
            && !schedule.holds(ts, self.rules.zone())
        {
            return Err(Reason::OutsideSchedule.into());
        }
        let inside = (campaign.include.is_empty()
            || campaign.include.iter().any(|c| self.in_cohort(*c)))
            && campaign.cohort.is_none_or(|c| self.in_cohort(c))
            && !campaign.exclude.iter().any(|c| self.in_cohort(*c));
        if inside { Ok(()) } else { Err(Reason::CohortMiss.into()) }
    }

    pub fn in_cohort(&self, cohort: CohortId) -> bool {
        self.cohorts.contains(&cohort)
    }

    pub fn event_ts(&self) -> Timestamp {
        self.event.record.event.event_ts
    }

    /// The tenant's calendar day of the append time: tenant and user limits go by it.
    pub fn append_day(&self) -> Day {
        *self.days.append.get_or_init(|| self.rules.zone().day(self.event.record.append_time))
    }

    /// The tenant's calendar day of the event time: a campaign's own windows go by it.
    pub fn event_day(&self) -> Day {
        let record = self.event.record;
        if record.event.event_ts == record.append_time {
            return self.append_day();
        }
        *self.days.event.get_or_init(|| self.rules.zone().day(record.event.event_ts))
    }

    /// The earliest event time that may still come.
    fn earliest_ts(&self) -> Timestamp {
        self.event.record.append_time.plus_micros(-self.rules.lateness_us)
    }

    /// The first bucket of a window that an event still to come may ask for.
    pub fn oldest_bucket(&self, window: Window) -> Day {
        let earliest =
            *self.days.earliest.get_or_init(|| self.rules.zone().day(self.earliest_ts()));
        match window {
            Window::Ever => earliest,
            Window::Period(period) => period.first_day(earliest),
            Window::Days(n) => Day(earliest.0 - i32::from(n) + 1),
        }
    }

    /// A condition that is not there holds.
    pub fn require(&self, condition: Option<&Expr>) -> Result<(), Refusal> {
        match condition.map(|c| c.holds(&self.scope)) {
            None | Some(Verdict::True) => Ok(()),
            Some(Verdict::False) => Err(Reason::RuleFalse.into()),
            Some(Verdict::Unknown(why)) => Err(why.into()),
        }
    }

    pub fn own_state(&self, campaign: &Campaign) -> Option<&CampaignState> {
        self.state.campaigns.get(&campaign.id)
    }

    /// The user's state in this campaign, to be changed; asked for after [`Self::room_for`].
    pub fn own_state_mut(&mut self, campaign: &Campaign) -> &mut CampaignState {
        self.state.campaigns.entry(campaign.id).or_default()
    }

    /// Refuses when the user's row has no room for what the campaign remembers. Asked before
    /// anything is written, so that a refusal leaves no trace.
    pub fn room_for(&self, campaign: &Campaign) -> Result<(), Refusal> {
        if campaign.growth_bytes == 0 {
            return Ok(());
        }
        let most = self.state.weight() + campaign.growth_bytes + weight::BUCKET_BYTES_MAX;
        if most <= STATE_BYTES_MAX || most - self.present(campaign) <= STATE_BYTES_MAX {
            return Ok(());
        }
        Err(Reason::UserStateFull.into())
    }

    /// Refuses when the user's row has no room for the day of a grant.
    pub fn room_for_grant(&self) -> Result<(), Refusal> {
        let day = self.append_day();
        let has_day = self.state.limit.days.last().is_some_and(|(last, _)| *last == day);
        if has_day || self.state.weight() + weight::BUCKET_BYTES_MAX <= STATE_BYTES_MAX {
            return Ok(());
        }
        Err(Reason::UserStateFull.into())
    }

    /// Bytes that the campaign's part of the row has already and need not grow by again.
    fn present(&self, campaign: &Campaign) -> usize {
        let Some(own) = self.own_state(campaign) else { return 0 };
        let budgets = campaign.budgets.iter().filter(|b| b.key.is_none());
        let budgets: usize = budgets
            .filter_map(|b| own.budgets.get(&b.id).map(|meter| weight::budget(&b.id, meter)))
            .sum();
        let quest = match (&campaign.kind, &own.quest) {
            (Kind::Quest(quest), Some(state)) => {
                let value = |id: &String| Some(weight::step(id, state.steps.get(id)?));
                let steps: usize = quest.steps.iter().filter_map(|step| value(&step.id)).sum();
                weight::QUEST_BYTES + steps
            }
            _ => 0,
        };
        weight::CAMPAIGN_BYTES + budgets + quest
    }

    /// Refuses when the user was rewarded as often as allowed, or too short a time ago.
    pub fn may_repeat(&self, campaign: &Campaign) -> Result<(), Refusal> {
        let Repetition { max, window, cooldown } = &campaign.repeat;
        let Some(state) = self.own_state(campaign) else { return Ok(()) };
        if let (Some(max), Some(window)) = (max, window) {
            let used = state.repeats.used(*window, self.event_day());
            if used >= *max {
                let numbers = Some((used.into(), (*max).into()));
                return Err(Refusal { reason: Reason::RepeatLimit, numbers });
            }
        }
        if let Some(cooldown) = cooldown {
            let ts = self.event_ts().micros();
            if state.recent.iter().any(|t| (ts - t).abs() < cooldown.micros()) {
                return Err(Reason::Cooldown.into());
            }
        }
        Ok(())
    }

    /// Notes one more reward (completion) for the repetition.
    pub fn note_repeat(&mut self, campaign: &Campaign) {
        let Repetition { max, window, cooldown } = &campaign.repeat;
        if max.is_none() && cooldown.is_none() {
            return;
        }
        let ts = self.event_ts().micros();
        let bucket = window.and_then(|w| w.bucket(self.event_day()));
        let oldest = window.map(|w| self.oldest_bucket(w));
        let earliest = self.earliest_ts().micros();
        let state = self.own_state_mut(campaign);
        if max.is_some() {
            state.repeats.add(bucket, 1);
            if let Some(oldest) = oldest {
                state.repeats.prune(oldest);
            }
        }
        if let Some(cooldown) = cooldown {
            state.recent.retain(|t| *t > earliest - cooldown.micros());
            let at = state.recent.partition_point(|t| *t < ts);
            state.recent.insert(at, ts);
            if state.recent.len() > COOLDOWN_GRANTS_MAX {
                state.recent.remove(0);
            }
        }
    }
}

fn record(outcome: &mut EventOutcome, campaign: &Campaign, result: Result<Found, Refusal>) {
    let (reason, numbers, grants) = match result {
        Ok(found) => (found.reason, found.numbers, found.grants),
        Err(refusal) => (refusal.reason, refusal.numbers, 0),
    };
    outcome.grants += grants;
    outcome.considered.push(Considered {
        campaign: campaign.id,
        number: campaign.number,
        version: campaign.version,
        reason,
        numbers,
    });
}

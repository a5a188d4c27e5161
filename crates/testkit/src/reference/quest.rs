//! A QUEST: the current cycle is folded anew from the events that have counted.

use std::collections::BTreeMap;

use domain::decide::Reason;
use domain::id::{CampaignId, EventId, IncentiveId};
use domain::incentive::Completion;
use domain::rule::{Goal, GoalKind, OnLimit, Order, QuestRule, QuestWindow, Rule, Step};
use domain::time::Timestamp;
use rust_decimal::Decimal;

use super::campaign::{Campaign, matches};
use super::caps::Cause;
use super::expression::Sight;
use super::past::{Owed, Rewarded, Turn, UserPast};
use super::simple::{Planned, require, work_out};
use super::{Happening, Reference, Refusal, Verdict, calendar};

/// Most completed cycles of a user that wait for payment in one quest.
const OWED_MAX: usize = 10;

/// The cycle in progress.
#[derive(Default)]
pub(super) struct Cycle {
    pub number: u32,
    /// The first and the last event that counted in its window.
    first: Option<Timestamp>,
    last_day: Option<domain::time::Day>,
    /// The campaign's, when the last event counted.
    progress_version: u32,
    pub steps: BTreeMap<String, Reached>,
}

/// How far a step is, and how it was counted.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    kind: GoalKind,
    pub value: Decimal,
    pub done: bool,
}

impl Cycle {
    /// A step counted in another way begins at nothing.
    fn reached(&self, step: &str, kind: GoalKind) -> Reached {
        let own = self.steps.get(step).filter(|reached| reached.kind == kind);
        own.copied().unwrap_or(Reached { kind, value: Decimal::ZERO, done: false })
    }
}

/// The cycle that a user is in, from all that has counted so far.
pub(super) fn cycle(past: &UserPast, campaign: CampaignId) -> Cycle {
    let mut cycle = Cycle { number: 1, ..Cycle::default() };
    for turn in past.turns.iter().filter(|t| t.campaign == campaign) {
        if turn.opens_window || turn.progress_version != cycle.progress_version {
            cycle = Cycle { number: cycle.number, ..Cycle::default() };
        }
        cycle.first = cycle.first.or(Some(turn.ts));
        cycle.last_day = Some(turn.day);
        cycle.progress_version = turn.progress_version;
        for (step, kind, added, done) in &turn.moves {
            let reached = cycle.reached(step, *kind);
            let after = Reached { kind: *kind, value: reached.value + *added, done: *done };
            cycle.steps.insert(step.clone(), after);
        }
        if turn.completes {
            let (number, progress_version) = (cycle.number + 1, turn.progress_version);
            cycle = Cycle { number, progress_version, ..Cycle::default() };
        }
    }
    cycle
}

/// A step that an event moves on.
struct Move<'r> {
    step: &'r Step,
    added: Decimal,
    value: Decimal,
    done: bool,
}

impl Move<'_> {
    fn told(&self) -> (String, GoalKind, Decimal, bool) {
        (self.step.id.as_str().to_owned(), self.step.goal.kind(), self.added, self.done)
    }
}

impl Reference {
    pub(super) fn consider_quest(
        &mut self,
        campaign: &Campaign,
        rule: &QuestRule,
        happening: &Happening<'_>,
        sight: &Sight<'_>,
    ) -> Result<Verdict, Refusal> {
        self.check_repeat(campaign, rule.repeat.as_ref(), happening)?;
        let past = self.past.users.entry(happening.user).or_default();
        let mut before = cycle(past, campaign.source.id);
        if before.progress_version != campaign.source.progress_version {
            before = Cycle { number: before.number, ..Cycle::default() };
        }
        let opens_window = is_over(rule, &before, happening)?;
        if opens_window {
            before.steps.clear();
        }
        let moves = moves(rule, &before, happening, sight)?;
        let is_done = |step: &&Step| match moves.iter().find(|m| m.step.id == step.id) {
            Some(moved) => moved.done,
            None => before.reached(&step.id, step.goal.kind()).done,
        };
        let needed = rule.at_least.map_or(rule.steps.len(), |n| n.as_u32() as usize);
        let completes = rule.steps.iter().filter(is_done).count() >= needed;
        // An event whose reward cannot be worked out does not count.
        let planned = if completes { work_out(campaign, sight)? } else { Vec::new() };

        let event = &happening.record.event;
        past.turns.push(Turn {
            campaign: campaign.source.id,
            ts: event.event_ts,
            day: happening.event_day,
            opens_window,
            progress_version: campaign.source.progress_version,
            moves: moves.iter().map(Move::told).collect(),
            completes,
        });
        for moved in moves.iter().filter(|m| m.done) {
            let step = Some(moved.step.id.as_str().to_owned());
            self.complete(campaign, happening, (step, before.number), (None, None));
        }
        if completes {
            return Ok(self.close(campaign, rule, before.number, happening, planned));
        }
        let target = match &moves[0].step.goal {
            Goal::Count(n) => Decimal::from(n.get()),
            Goal::Sum(sum) => sum.target,
        };
        Ok(Verdict { reason: Reason::Progress, numbers: Some((moves[0].value, target)), grants: 0 })
    }

    /// The quest is completed: pays it, or notes why not.
    fn close(
        &mut self,
        campaign: &Campaign,
        rule: &QuestRule,
        number: u32,
        happening: &Happening<'_>,
        mut planned: Vec<Planned<'_>>,
    ) -> Verdict {
        let event = &happening.record.event;
        let id = campaign.source.id;
        let (ts, day) = (event.event_ts, happening.event_day);
        let past = self.past.users.entry(happening.user).or_default();
        past.rewarded.push(Rewarded { campaign: id, ts, day });
        let rewards = planned.iter().map(|p| (p.place, p.amount)).collect();
        let cause = Cause::Cycle { number, completed_by: &event.event_id };
        match self.pay(campaign, happening, &cause, &mut planned) {
            Ok(paid) => {
                self.complete(campaign, happening, (None, number), (paid.first, None));
                Verdict { reason: Reason::Granted, numbers: None, grants: paid.count }
            }
            Err(refusal) => {
                let unpaid = (None, Some(refusal.reason));
                self.complete(campaign, happening, (None, number), unpaid);
                let past = self.past.users.entry(happening.user).or_default();
                let waiting = past.owed.iter().filter(|o| o.campaign == id).count();
                if rule.on_limit == OnLimit::Retry && waiting < OWED_MAX {
                    let event_id = event.event_id.clone();
                    past.owed.push(Owed { campaign: id, cycle: number, event_id, rewards });
                }
                Verdict { reason: Reason::CompletedUnpaid, numbers: refusal.numbers, grants: 0 }
            }
        }
    }

    /// Pays completed cycles in their order, up to the first for which there is no room.
    pub(super) fn pay_owed(&mut self, campaign: &Campaign, happening: &Happening<'_>) -> u32 {
        let Rule::Quest(rule) = &campaign.rule else { return 0 };
        let owed = |past: &UserPast| {
            past.owed
                .iter()
                .position(|o| o.campaign == campaign.source.id)
                .map(|i| (i, past.owed[i].clone()))
        };
        let mut grants = 0;
        while let Some((place, next)) = self.past.users.get(&happening.user).and_then(owed) {
            let plan = |(place, amount): &(u32, Decimal)| {
                let reward = rule.rewards.get(*place as usize)?;
                Some(Planned { place: *place, reward, amount: *amount })
            };
            // A reward that the rule no longer has cannot be paid.
            let Some(mut planned) = next.rewards.iter().map(plan).collect::<Option<Vec<_>>>()
            else {
                break;
            };
            let completed_by: &EventId = &next.event_id;
            let cause = Cause::Cycle { number: next.cycle, completed_by };
            let Ok(paid) = self.pay(campaign, happening, &cause, &mut planned) else { break };
            self.past.users.entry(happening.user).or_default().owed.remove(place);
            self.complete(campaign, happening, (None, next.cycle), (paid.first, None));
            grants += paid.count;
        }
        grants
    }

    fn complete(
        &mut self,
        campaign: &Campaign,
        happening: &Happening<'_>,
        (step, cycle): (Option<String>, u32),
        (incentive, unpaid): (Option<IncentiveId>, Option<Reason>),
    ) {
        self.past.completions.push(Completion {
            user: happening.user,
            campaign: campaign.source.id,
            step,
            cycle,
            event_id: happening.record.event.event_id.clone(),
            action: happening.record.event.action.clone(),
            incentive,
            unpaid_reason: unpaid.map(Reason::as_str),
            completed_at: happening.record.append_time,
        });
    }
}

/// Whether the window of the cycle is over, so that a new one begins with this event. Refuses an
/// event outside the window.
fn is_over(rule: &QuestRule, cycle: &Cycle, happening: &Happening<'_>) -> Result<bool, Refusal> {
    let ts = happening.record.event.event_ts;
    let outside = || Refusal::from(Reason::OutsideWindow);
    match (&rule.window, cycle.first, cycle.last_day) {
        (Some(QuestWindow::Fixed(window)), ..) => {
            if ts < window.from || ts >= window.to {
                Err(outside())
            } else {
                Ok(false)
            }
        }
        (Some(QuestWindow::Rolling(length)), Some(first), _) => {
            if ts < first {
                Err(outside())
            } else {
                Ok(ts.micros() >= first.micros() + length.micros())
            }
        }
        (Some(QuestWindow::Calendar(period)), _, Some(day)) => {
            if calendar::same_period(*period, day, happening.event_day) {
                return Ok(false);
            }
            if happening.event_day < day { Err(outside()) } else { Ok(true) }
        }
        _ => Ok(false),
    }
}

/// The open steps that the event moves on. Refuses when there is none.
fn moves<'r>(
    rule: &'r QuestRule,
    cycle: &Cycle,
    happening: &Happening<'_>,
    sight: &Sight<'_>,
) -> Result<Vec<Move<'r>>, Refusal> {
    let so_far = |step: &Step| cycle.reached(&step.id, step.goal.kind());
    let open = rule.steps.iter().filter(|step| !so_far(step).done);
    let reachable = if rule.order == Order::Sequence { 1 } else { usize::MAX };
    let mut moves = Vec::new();
    let mut refusal = Refusal::from(Reason::StepNotOpen);
    for step in open.take(reachable) {
        if !step.on.iter().any(|p| matches(p, &happening.record.event.action)) {
            continue;
        }
        match count(step, so_far(step).value, sight) {
            Ok(moved) => moves.push(moved),
            Err(why) => refusal = why,
        }
    }
    if moves.is_empty() { Err(refusal) } else { Ok(moves) }
}

fn count<'r>(step: &'r Step, before: Decimal, sight: &Sight<'_>) -> Result<Move<'r>, Refusal> {
    require(step.when.as_deref(), sight)?;
    let (added, target) = match &step.goal {
        Goal::Count(n) => (Decimal::ONE, Decimal::from(n.get())),
        Goal::Sum(sum) => (sight.number(&sum.of)?, sum.target),
    };
    let value = before.checked_add(added).ok_or_else(|| Refusal::from(Reason::RuleError))?;
    Ok(Move { step, added, value, done: value >= target })
}

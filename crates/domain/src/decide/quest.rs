//! A QUEST: several events earn the rewards.

use rust_decimal::Decimal;

use super::caps::{Earned, Grant};
use super::meeting::Meeting;
use super::simple::work_out;
use super::{Found, Reason, Refusal};
use crate::compile::{Campaign, Goal, Quest, Step};
use crate::id::{Cause, IncentiveId};
use crate::incentive::Completion;
use crate::rule::{OnLimit, Order, QuestWindow};
use crate::state::{QuestState, StepState, Unpaid};

/// Most completed cycles that wait for payment; a further one is closed unpaid.
pub const UNPAID_CYCLES_MAX: usize = 10;

/// How one event moves a quest on.
struct Advance {
    /// Steps that it moves: place, new value, done.
    steps: Vec<(usize, Decimal, bool)>,
    /// The progress before it does not count any more: a new window begins, or it was reset.
    fresh: bool,
}

pub(crate) fn consider(
    campaign: &Campaign,
    quest: &Quest,
    meeting: &mut Meeting<'_>,
) -> Result<Found, Refusal> {
    meeting.may_repeat(campaign)?;
    meeting.room_for(campaign)?;
    let none = QuestState::default();
    let stored = meeting.own_state(campaign).and_then(|s| s.quest.as_ref()).unwrap_or(&none);
    let reset = stored.progress_version != quest.progress_version;
    let before = if reset { &none } else { stored };
    let fresh = window_is_over(quest, before, meeting)? || reset;
    let progress = if fresh { &none } else { before };
    let advance = Advance { steps: advance(quest, progress, meeting)?, fresh };
    let done = quest.steps.iter().enumerate().filter(|(i, step)| {
        let moved = advance.steps.iter().find(|(place, ..)| place == i);
        moved.map_or_else(|| reached(quest, progress, step).done, |(.., done)| *done)
    });
    let complete = done.count() >= quest.enough;
    // Amounts come first: an event whose reward cannot be worked out leaves no trace.
    let mut grants = if complete { work_out(campaign, meeting)? } else { Vec::new() };

    let cycle = apply(campaign, quest, &advance, meeting);
    if !complete {
        let (place, value, _) = advance.steps[0];
        let numbers = Some((value, quest.steps[place].target));
        return Ok(Found { reason: Reason::Progress, numbers, grants: 0 });
    }
    Ok(complete_cycle(campaign, quest, cycle, &mut grants, meeting))
}

/// True when the cycle's window has ended and a new one begins with this event; refuses an event
/// outside the window.
fn window_is_over(
    quest: &Quest,
    state: &QuestState,
    meeting: &Meeting<'_>,
) -> Result<bool, Refusal> {
    let ts = meeting.event_ts();
    let outside = || Refusal::from(Reason::OutsideWindow);
    match &quest.window {
        None => Ok(false),
        Some(QuestWindow::Fixed(window)) => {
            if window.from <= ts && ts < window.to {
                Ok(false)
            } else {
                Err(outside())
            }
        }
        Some(QuestWindow::Calendar(period)) => match state.period {
            None => Ok(false),
            Some(current) => {
                let here = period.first_day(meeting.event_day());
                if here < current { Err(outside()) } else { Ok(here > current) }
            }
        },
        Some(QuestWindow::Rolling(length)) => match state.started {
            None => Ok(false),
            Some(started) if ts.micros() < started => Err(outside()),
            Some(started) => Ok(ts.micros() - started >= length.micros()),
        },
    }
}

/// The steps that the event moves on. Refuses when there is none.
fn advance(
    quest: &Quest,
    state: &QuestState,
    meeting: &Meeting<'_>,
) -> Result<Vec<(usize, Decimal, bool)>, Refusal> {
    let action = &meeting.event.record.event.action;
    let mut moved = Vec::new();
    let mut refusal = Refusal::from(Reason::StepNotOpen);
    for (place, step) in quest.steps.iter().enumerate() {
        let progress = reached(quest, state, step);
        if progress.done {
            continue;
        }
        if step.on.iter().any(|p| p.matches(action)) {
            match count(step, progress.value, meeting) {
                Ok(value) => moved.push((place, value, value >= step.target)),
                Err(why) => refusal = why,
            }
        }
        if quest.order == Order::Sequence {
            // Only the first open step counts.
            break;
        }
    }
    if moved.is_empty() { Err(refusal) } else { Ok(moved) }
}

fn reached(quest: &Quest, state: &QuestState, step: &Step) -> StepState {
    state.reached(&step.id, step.goal.kind(), quest.progress_version)
}

/// The step's value after the event.
fn count(step: &Step, value: Decimal, meeting: &Meeting<'_>) -> Result<Decimal, Refusal> {
    meeting.require(step.when.as_ref())?;
    let more = match &step.goal {
        Goal::Count => Decimal::ONE,
        Goal::Sum(of) => of.number(&meeting.scope)?,
    };
    value.checked_add(more).map(|v| v.normalize()).ok_or(Reason::RuleError.into())
}

/// Writes the progress; the number of the cycle.
fn apply(campaign: &Campaign, quest: &Quest, advance: &Advance, meeting: &mut Meeting<'_>) -> u32 {
    let ts = meeting.event_ts().micros();
    let period = match &quest.window {
        Some(QuestWindow::Calendar(period)) => Some(period.first_day(meeting.event_day())),
        _ => None,
    };
    let state = meeting.own_state_mut(campaign).quest.get_or_insert_with(QuestState::default);
    if state.cycle == 0 {
        state.cycle = 1;
    }
    if advance.fresh {
        state.steps.clear();
        state.started = None;
    }
    state.started.get_or_insert(ts);
    state.period = period;
    state.progress_version = quest.progress_version;
    for (place, value, done) in &advance.steps {
        let step = &quest.steps[*place];
        let reached = StepState { value: *value, kind: step.goal.kind(), done: *done };
        state.steps.insert(step.id.clone(), reached);
    }
    let cycle = state.cycle;
    for (place, _, done) in &advance.steps {
        if *done {
            let step = Some(quest.steps[*place].id.clone());
            complete(campaign, meeting, (step, cycle), (None, None));
        }
    }
    cycle
}

/// Closes the cycle and pays it, or remembers that a limit refused it.
fn complete_cycle(
    campaign: &Campaign,
    quest: &Quest,
    cycle: u32,
    grants: &mut [Grant<'_>],
    meeting: &mut Meeting<'_>,
) -> Found {
    meeting.note_repeat(campaign);
    let worked_out: Vec<(u32, Decimal)> = grants.iter().map(|g| (g.index, g.amount)).collect();
    let event = &meeting.event.record.event;
    let (event_id, event_ts) = (event.event_id.clone(), event.event_ts);
    let earned = Earned { cause: Cause::Cycle(cycle), event_id: &event_id };
    let paid = meeting.pay(campaign, earned, grants);
    let state = meeting.own_state_mut(campaign).quest.get_or_insert_with(QuestState::default);
    let mut unpaid = std::mem::take(&mut state.unpaid);
    if paid.is_err() && quest.on_limit == OnLimit::Retry && unpaid.len() < UNPAID_CYCLES_MAX {
        unpaid.push(Unpaid { cycle, event_id, rewards: worked_out, event_ts });
    }
    let progress_version = quest.progress_version;
    *state = QuestState { cycle: cycle + 1, progress_version, unpaid, ..QuestState::default() };
    match paid {
        Ok(paid) => {
            complete(campaign, meeting, (None, cycle), (paid.first, None));
            Found { reason: Reason::Granted, numbers: None, grants: paid.count }
        }
        Err(refusal) => {
            complete(campaign, meeting, (None, cycle), (None, Some(refusal.reason)));
            Found { reason: Reason::CompletedUnpaid, numbers: refusal.numbers, grants: 0 }
        }
    }
}

/// Pays what a limit refused before, in its order, up to the first for which there is no room.
pub(crate) fn pay_unpaid(campaign: &Campaign, meeting: &mut Meeting<'_>) -> Option<Found> {
    let waiting = meeting.own_state(campaign)?.quest.as_ref()?.unpaid.clone();
    let mut paid = 0;
    let mut grants = 0;
    for unpaid in &waiting {
        let Some(count) = pay_one(campaign, unpaid, meeting) else { break };
        paid += 1;
        grants += count;
    }
    let quest = meeting.state.campaigns.get_mut(&campaign.id)?.quest.as_mut()?;
    quest.unpaid.drain(..paid);
    (grants > 0).then_some(Found { reason: Reason::Granted, numbers: None, grants })
}

fn pay_one(campaign: &Campaign, unpaid: &Unpaid, meeting: &mut Meeting<'_>) -> Option<u32> {
    let offer = campaign.offers.first()?;
    let grants = unpaid.rewards.iter().map(|(index, amount)| {
        let spec = offer.rewards.get(*index as usize)?;
        Some(Grant { index: *index, reward: &spec.reward, amount: *amount })
    });
    // A reward that the campaign no longer has cannot be paid.
    let mut grants = grants.collect::<Option<Vec<_>>>()?;
    if campaign.budgets.iter().any(|b| b.key.is_none()) {
        meeting.room_for(campaign).ok()?;
    }
    let earned = Earned { cause: Cause::Cycle(unpaid.cycle), event_id: &unpaid.event_id };
    let paid = meeting.pay(campaign, earned, &mut grants).ok()?;
    complete(campaign, meeting, (None, unpaid.cycle), (paid.first, None));
    Some(paid.count)
}

/// Notes a completed step or quest.
fn complete(
    campaign: &Campaign,
    meeting: &mut Meeting<'_>,
    (step, cycle): (Option<String>, u32),
    (incentive, unpaid): (Option<IncentiveId>, Option<Reason>),
) {
    let record = meeting.event.record;
    let completion = Completion {
        user: meeting.event.user,
        campaign: campaign.id,
        step,
        cycle,
        event_id: record.event.event_id.clone(),
        action: record.event.action.clone(),
        incentive,
        unpaid_reason: unpaid.map(Reason::as_str),
        completed_at: record.append_time,
    };
    meeting.ledger.changes.completions.push((meeting.rules.tenant(), completion));
}

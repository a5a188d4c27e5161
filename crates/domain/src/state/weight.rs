//! How many bytes a state takes when it is stored, worked out without writing it, and how many a
//! part of it can grow by. A state that passes its bound cannot be committed, so whatever makes it
//! grow asks first, and what is told here is never too little.

use rust_decimal::Decimal;

use super::{CampaignState, QuestState, StepState, Unpaid, UserState};
use crate::id::{ActionCode, REF_BYTES_MAX};
use crate::limit::Meter;
use crate::rule::GoalKind;
use crate::time::Day;

/// A decimal of 28 digits with its sign and point, and the zero in front of it.
const DECIMAL_BYTES_MAX: usize = 31;
/// A day of the year 9999.
const DAY_BYTES_MAX: usize = 7;
/// Microseconds of the year 9999, and a comma.
pub(crate) const INSTANT_BYTES: usize = 19;
/// `[day,count],` with up to a million counted.
pub(crate) const BUCKET_BYTES_MAX: usize = DAY_BYTES_MAX + 7 + 4;
/// `"uuid":{"g":{"e":…,"d":[…]},"t":[…],"b":{…},…},`
pub(crate) const CAMPAIGN_BYTES: usize = 96;
/// `"p":{"n":…,"v":…,"a":…,"w":…,"s":{…},"u":[…]}`
pub(crate) const QUEST_BYTES: usize = 87;

impl UserState {
    /// The bytes of the stored form, or a few more.
    pub fn weight(&self) -> usize {
        // {"q":…,"l":{"e":…,"d":[…]},"s":{…},"c":{…}}
        const FRAME: usize = 80;
        let campaigns: usize = self.campaigns.values().map(CampaignState::weight).sum();
        FRAME + buckets(&self.limit, |n| digits(*n)) + self.seen_weight() + campaigns
    }

    /// The bytes of the actions seen.
    pub(crate) fn seen_weight(&self) -> usize {
        self.seen.keys().map(seen_weight).sum()
    }
}

/// `"action":count,` with up to ten digits.
pub(crate) fn seen_weight(action: &ActionCode) -> usize {
    action.as_str().len() + 14
}

impl CampaignState {
    fn weight(&self) -> usize {
        let budgets = self.budgets.iter();
        let budgets: usize = budgets
            .map(|(id, meter)| budget(id, meter) + buckets(meter, |n| decimal(*n) + 2))
            .sum();
        let quest = self.quest.as_ref().map_or(0, QuestState::weight);
        let repeats = buckets(&self.repeats, |n| digits(*n));
        CAMPAIGN_BYTES + repeats + INSTANT_BYTES * self.recent.len() + budgets + quest
    }
}

impl QuestState {
    fn weight(&self) -> usize {
        let steps: usize = self.steps.iter().map(|(id, state)| step(id, state)).sum();
        QUEST_BYTES + steps + self.unpaid.iter().map(Unpaid::weight).sum::<usize>()
    }
}

impl Unpaid {
    fn weight(&self) -> usize {
        let rewards: usize = self.rewards.iter().map(|(_, amount)| decimal(*amount) + 16).sum();
        UNPAID_FRAME + 2 * self.event_id.as_str().len() + rewards
    }
}

/// `{"n":…,"e":"","r":[],"t":"…"},`
const UNPAID_FRAME: usize = 65;

/// Most bytes of a cycle that waits for payment. An event id may double by its escapes.
pub(crate) fn unpaid_most(rewards: usize) -> usize {
    UNPAID_FRAME + 2 * REF_BYTES_MAX + rewards * (DECIMAL_BYTES_MAX + 16)
}

/// `"id":{"e":"…","d":[]},`
pub(crate) fn budget(id: &str, meter: &Meter<Decimal>) -> usize {
    escaped(id) + 19 + decimal(meter.ever)
}

/// Most bytes of a budget without its earlier days.
pub(crate) fn budget_most(id: &str) -> usize {
    escaped(id) + 19 + DECIMAL_BYTES_MAX + DAY_BYTES_MAX + DECIMAL_BYTES_MAX + 6
}

/// `"id":{"v":"…"},`, with `,"k":"s"` for a sum and `,"d":true` when it is done.
pub(crate) fn step(id: &str, state: &StepState) -> usize {
    let kind = if state.kind == GoalKind::Count { 0 } else { 8 };
    escaped(id) + 12 + decimal(state.value) + kind + if state.done { 9 } else { 0 }
}

/// Most bytes of a step.
pub(crate) fn step_most(id: &str) -> usize {
    escaped(id) + 12 + DECIMAL_BYTES_MAX + 8 + 9
}

/// `[day,n],` for each day.
fn buckets<N>(meter: &Meter<N>, bytes: impl Fn(&N) -> usize) -> usize {
    // Days ascend, so none has more digits than the last, or a sign in the place of one.
    let day = meter.days.last().map_or(0, |(Day(day), _)| digits(day.unsigned_abs().into()) + 1);
    meter.days.iter().map(|(_, n)| day + 4 + bytes(n)).sum()
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |more| more as usize + 1)
}

fn decimal(n: Decimal) -> usize {
    let scale = n.scale() as usize;
    let mantissa = n.mantissa().unsigned_abs();
    let digits = u64::try_from(mantissa).map_or(DECIMAL_BYTES_MAX - 2, digits);
    // With a zero in front of the point, the point and the sign.
    digits.max(scale + 1) + usize::from(scale > 0) + usize::from(n.is_sign_negative())
}

/// A text as JSON writes it, without its quotes. Ids hold no control characters.
fn escaped(text: &str) -> usize {
    text.len() + text.bytes().filter(|b| matches!(b, b'"' | b'\\')).count()
}

//! A SIMPLE campaign, and the rewards of either kind.

use domain::decide::Reason;
use domain::id::{CohortId, EventId};
use domain::incentive::RewardType;
use domain::rule::{
    AMOUNT_MAX, Amount, AmountRule, LadderLine, Reward, RoundingMode, Rule, SimpleRule,
};
use rust_decimal::{Decimal, RoundingStrategy};

use super::campaign::Campaign;
use super::caps::Cause;
use super::expression::Sight;
use super::past::Rewarded;
use super::{Happening, Reference, Refusal, Verdict};

/// A reward about to be granted: its place in the list that it stands in, and its amount.
pub(super) struct Planned<'c> {
    pub place: u32,
    pub reward: &'c Reward,
    pub amount: Decimal,
}

impl Reference {
    pub(super) fn consider_simple(
        &mut self,
        campaign: &Campaign,
        rule: &SimpleRule,
        happening: &Happening<'_>,
        sight: &Sight<'_>,
    ) -> Result<Verdict, Refusal> {
        if rule.first_ever && !happening.first {
            return Err(Reason::NotFirst.into());
        }
        require(rule.when.as_deref(), sight)?;
        let value = rule.once_per.as_deref().map(|text| sight.value(text)).transpose()?;
        if let (Some(value), Some(past)) = (&value, self.past.users.get(&happening.user)) {
            let own = |(campaign_id, known): &(_, super::Plain)| {
                *campaign_id == campaign.source.id && known.same(value)
            };
            if past.once.iter().any(own) {
                return Err(Reason::OncePerValue.into());
            }
        }
        self.check_repeat(campaign, rule.repeat.as_ref(), happening)?;
        let mut planned = work_out(campaign, sight)?;
        let event = &happening.record.event;
        let cause = Cause::Event(&event.event_id);
        let paid = self.pay(campaign, happening, &cause, &mut planned)?;
        let past = self.past.users.entry(happening.user).or_default();
        past.once.extend(value.map(|value| (campaign.source.id, value)));
        let (ts, day) = (event.event_ts, happening.event_day);
        past.rewarded.push(Rewarded { campaign: campaign.source.id, ts, day });
        Ok(Verdict { reason: Reason::Granted, numbers: None, grants: paid.count })
    }
}

/// A condition that is not there holds.
pub(super) fn require(condition: Option<&str>, sight: &Sight<'_>) -> Result<(), Refusal> {
    match condition.map(|text| sight.holds(text)) {
        None | Some(Ok(true)) => Ok(()),
        Some(Ok(false)) => Err(Reason::RuleFalse.into()),
        Some(Err(unknown)) => Err(unknown.into()),
    }
}

/// The rewards of the campaign, or of the first line of its ladder that matches.
pub(super) fn work_out<'c>(
    campaign: &'c Campaign,
    sight: &Sight<'_>,
) -> Result<Vec<Planned<'c>>, Refusal> {
    let rewards: &[Reward] = match &campaign.rule {
        Rule::Quest(quest) => &quest.rewards,
        Rule::Simple(simple) => match (&simple.rewards, &simple.ladder) {
            (Some(rewards), _) => rewards,
            (None, Some(lines)) => &choose(lines, sight)?.rewards,
            (None, None) => &[],
        },
    };
    let plan = |(place, reward)| Ok(Planned { place, reward, amount: amount_of(reward, sight)? });
    (0..).zip(rewards).map(plan).collect()
}

/// The first line that matches; without one the first that could not be told, if any.
fn choose<'c>(lines: &'c [LadderLine], sight: &Sight<'_>) -> Result<&'c LadderLine, Refusal> {
    let mut unknown = None;
    let joined = |cohort: CohortId| sight.cohorts.contains(&cohort);
    for line in lines.iter().filter(|line| line.cohort.is_none_or(joined)) {
        match line.when.as_deref().map_or(Ok(true), |text| sight.holds(text)) {
            Ok(true) => return Ok(line),
            Ok(false) => {}
            Err(why) => unknown = unknown.or(Some(why)),
        }
    }
    Err(unknown.unwrap_or(Reason::NoLadderLine).into())
}

fn amount_of(reward: &Reward, sight: &Sight<'_>) -> Result<Decimal, Refusal> {
    let error = || Refusal::from(Reason::RuleError);
    let raw = match &reward.amount {
        Amount::Constant(amount) => *amount,
        Amount::Rule(AmountRule::Percent(percent)) => {
            let share = sight.number(&percent.of)?.checked_mul(percent.rate).ok_or_else(error)?;
            share / Decimal::ONE_HUNDRED
        }
        Amount::Rule(AmountRule::PerStep(step)) => {
            let steps = sight.number(&step.of)?.checked_div(step.each).ok_or_else(error)?;
            steps.floor().checked_mul(step.give).ok_or_else(error)?
        }
        Amount::Rule(AmountRule::Formula(text)) => sight.number(text)?,
    };
    // The least reward is for those who earned something.
    if raw <= Decimal::ZERO {
        return Err(Reason::AmountZero.into());
    }
    // Rounded first, bounded last: rounding passes no bound.
    let rounded = in_places(reward, raw, None);
    let least = reward.min.map_or(rounded, |min| rounded.max(min));
    let amount = reward.max.map_or(least, |max| least.min(max));
    match amount {
        nothing if nothing <= Decimal::ZERO => Err(Reason::AmountZero.into()),
        absurd if absurd > Decimal::from(AMOUNT_MAX) => Err(error()),
        amount => Ok(amount),
    }
}

/// The amount in as many decimal places as the reward has; rounded as it says unless told otherwise.
pub(super) fn in_places(
    reward: &Reward,
    amount: Decimal,
    strategy: Option<RoundingStrategy>,
) -> Decimal {
    let money = reward.kind == RewardType::Cashback;
    let (places, mode) = match &reward.round {
        Some(round) => (round.places.as_u32(), round.mode),
        None if money => (2, RoundingMode::HalfUp),
        None => (4, RoundingMode::HalfUp),
    };
    let own = match mode {
        RoundingMode::HalfUp => RoundingStrategy::MidpointAwayFromZero,
        RoundingMode::HalfEven => RoundingStrategy::MidpointNearestEven,
        RoundingMode::Down => RoundingStrategy::ToZero,
        RoundingMode::Up => RoundingStrategy::AwayFromZero,
    };
    amount.round_dp_with_strategy(places, strategy.unwrap_or(own))
}

/// The event that an incentive names.
pub(super) fn event_of<'e>(cause: &'e Cause<'_>) -> &'e EventId {
    match cause {
        Cause::Event(event) => event,
        Cause::Cycle { completed_by, .. } => completed_by,
    }
}

//! A SIMPLE campaign: one event earns the rewards.

use super::caps::{Earned, Grant, MarkWrite};
use super::meeting::Meeting;
use super::{Found, Reason, Refusal};
use crate::compile::{AmountExpr, Campaign, Offer, RewardSpec, Simple};
use crate::expr::{Expr, Scope};
use crate::id::{CampaignId, Cause, hash_parts};
use crate::rule::AMOUNT_MAX;

pub(crate) fn consider(
    campaign: &Campaign,
    simple: &Simple,
    meeting: &mut Meeting<'_>,
) -> Result<Found, Refusal> {
    if simple.first_ever && !meeting.first {
        return Err(Reason::NotFirst.into());
    }
    meeting.require(simple.when.as_ref())?;
    let mark = match &simple.once_per {
        Some(expr) => Some(mark_key(campaign.id, expr, &meeting.scope)?),
        None => None,
    };
    if mark.is_some_and(|key| meeting.ledger.is_marked(meeting.event.user, key)) {
        return Err(Reason::OncePerValue.into());
    }
    meeting.may_repeat(campaign)?;
    meeting.room_for(campaign)?;
    let mut grants = work_out(campaign, meeting)?;
    let event = meeting.event;
    let event_id = &event.record.event.event_id;
    let earned = Earned { cause: Cause::Event(event_id), event_id };
    let paid = meeting.pay(campaign, earned, &mut grants)?;
    if let Some(key) = mark {
        let at = event.record.append_time;
        meeting.ledger.mark(MarkWrite { user: event.user, key, campaign: campaign.id, at });
    }
    meeting.note_repeat(campaign);
    Ok(Found { reason: Reason::Granted, numbers: None, grants: paid.count })
}

/// The key under which a value of a field is remembered.
pub(crate) fn mark_key(
    campaign: CampaignId,
    expr: &Expr,
    scope: &Scope<'_>,
) -> Result<[u8; 16], Refusal> {
    let mut value = String::new();
    expr.value(scope)?.write_canonical(&mut value);
    Ok(hash_parts(&[b"once", campaign.0.as_bytes(), value.as_bytes()]))
}

/// The rewards of the first offer that matches, with their amounts.
pub(crate) fn work_out<'c>(
    campaign: &'c Campaign,
    meeting: &Meeting<'_>,
) -> Result<Vec<Grant<'c>>, Refusal> {
    let offer = choose(campaign, meeting)?;
    let grants = (0_u32..).zip(&offer.rewards).map(|(index, spec)| {
        let amount = amount_of(spec, &meeting.scope)?;
        Ok(Grant { index, reward: &spec.reward, amount })
    });
    grants.collect()
}

fn choose<'c>(campaign: &'c Campaign, meeting: &Meeting<'_>) -> Result<&'c Offer, Refusal> {
    let mut unknown = None;
    for offer in &campaign.offers {
        if !offer.cohort.is_none_or(|c| meeting.in_cohort(c)) {
            continue;
        }
        match meeting.require(offer.when.as_ref()) {
            Ok(()) => return Ok(offer),
            Err(why) if why.reason != Reason::RuleFalse => unknown = unknown.or(Some(why)),
            Err(_) => {}
        }
    }
    Err(unknown.unwrap_or(Reason::NoLadderLine.into()))
}

fn amount_of(spec: &RewardSpec, scope: &Scope<'_>) -> Result<rust_decimal::Decimal, Refusal> {
    use rust_decimal::Decimal;
    let overflow = || Refusal::from(Reason::RuleError);
    let raw = match &spec.amount {
        AmountExpr::Constant(amount) => *amount,
        AmountExpr::Percent { rate, of } => {
            let share = of.number(scope)?.checked_mul(*rate).ok_or_else(overflow)?;
            share.checked_div(Decimal::ONE_HUNDRED).ok_or_else(overflow)?
        }
        AmountExpr::PerStep { give, each, of } => {
            let steps = of.number(scope)?.checked_div(*each).ok_or_else(overflow)?.floor();
            steps.checked_mul(*give).ok_or_else(overflow)?
        }
        AmountExpr::Formula(formula) => formula.number(scope)?,
    };
    // `min` lifts what was earned; what works out at nothing stays nothing.
    if raw <= Decimal::ZERO {
        return Err(Reason::AmountZero.into());
    }
    let amount = spec.reward.shape_amount(raw);
    if amount <= Decimal::ZERO {
        return Err(Reason::AmountZero.into());
    }
    if amount > Decimal::from(AMOUNT_MAX) {
        return Err(overflow());
    }
    Ok(amount)
}

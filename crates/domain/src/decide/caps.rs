//! Budgets and limits: all the rewards of a decision fit, or none is granted and no trace is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use sha2::{Digest as _, Sha256};

pub(crate) use super::MarkWrite;
use super::batch::WorkingMeter;
use super::meeting::Meeting;
use super::{Changes, Reason, Refusal};
use crate::compile::{BudgetSpec, Campaign};
use crate::id::{Cause, EventId, IncentiveId, TenantId, UserId, incentive_id};
use crate::incentive::Incentive;
use crate::limit::{BudgetUse, LimitUse, Use, WINDOW_DAYS_MAX, Window};
use crate::rule::{CouponCode, Reward};
use crate::time::{Day, Period};

/// What a decision writes beyond the user's state.
pub(crate) struct Ledger<'m> {
    pub marks: &'m mut BTreeSet<(UserId, [u8; 16])>,
    pub usage: &'m mut BTreeMap<(TenantId, String), WorkingMeter>,
    pub changes: &'m mut Changes,
}

impl Ledger<'_> {
    pub fn is_marked(&self, user: UserId, key: [u8; 16]) -> bool {
        self.marks.contains(&(user, key))
    }
    pub fn mark(&mut self, mark: MarkWrite) {
        self.marks.insert((mark.user, mark.key));
        self.changes.marks.push(mark);
    }
}

/// A reward that is about to be granted.
#[derive(Clone, Debug)]
pub(crate) struct Grant<'c> {
    /// Its place among the rewards of its offer.
    pub index: u32,
    pub reward: &'c Reward,
    pub amount: Decimal,
}

/// What a reward is for, and the event that the incentive names.
#[derive(Clone, Copy)]
pub(crate) struct Earned<'e> {
    pub cause: Cause<'e>,
    /// The event that earned it; for a quest the one that completed it, however late it is paid.
    pub event_id: &'e EventId,
}

/// What was granted.
pub(crate) struct Paid {
    pub count: u32,
    pub first: Option<IncentiveId>,
}

const DAY: Window = Window::Period(Period::Day);

impl Meeting<'_> {
    /// Grants the rewards if the campaign's budgets and the tenant's limits have room for all of
    /// them; a budget with CLAMP cuts amounts to what is left of it.
    pub fn pay(
        &mut self,
        campaign: &Campaign,
        earned: Earned<'_>,
        grants: &mut [Grant<'_>],
    ) -> Result<Paid, Refusal> {
        let budgets = self.fit_budgets(campaign, grants)?;
        let limits = self.fit_limits(grants.len() as u64)?;
        self.room_for_grant()?;
        let mut first = None;
        for (i, (grant, budgets)) in (0_u64..).zip(grants.iter().zip(budgets)) {
            let id = self.write(campaign, earned, grant, (limits.plus(i + 1), budgets));
            first = first.or(Some(id));
        }
        Ok(Paid { count: grants.len() as u32, first })
    }

    /// Cuts and checks the grants against the budgets; the uses after each of them.
    fn fit_budgets(
        &self,
        campaign: &Campaign,
        grants: &mut [Grant<'_>],
    ) -> Result<Vec<Vec<BudgetUse>>, Refusal> {
        let mut used: Vec<Decimal> =
            campaign.budgets.iter().map(|b| self.budget_used(campaign, b)).collect();
        let mut uses = Vec::with_capacity(grants.len());
        for grant in grants {
            for (budget, used) in campaign.budgets.iter().zip(&used) {
                grant.amount = fit(budget, *used, grant)?;
            }
            let mut after = Vec::new();
            for (budget, used) in campaign.budgets.iter().zip(&mut used) {
                let Some(taken) = takes(budget, grant) else { continue };
                *used += taken;
                let bucket = budget.window.bucket(self.event_day());
                after.push(BudgetUse {
                    id: budget.id.clone(),
                    used: *used,
                    cap: budget.max,
                    bucket,
                });
            }
            uses.push(after);
        }
        Ok(uses)
    }

    fn budget_used(&self, campaign: &Campaign, budget: &BudgetSpec) -> Decimal {
        let meter = match &budget.key {
            Some(key) => self.ledger.usage.get(key).map(|w| &w.meter),
            None => self.own_state(campaign).and_then(|s| s.budgets.get(&budget.id)),
        };
        meter.map_or(Decimal::ZERO, |m| m.used(budget.window, self.event_day()))
    }

    /// The uses before the grant, if there is room for `n` more.
    fn fit_limits(&self, n: u64) -> Result<LimitUse, Refusal> {
        let (tenant, user) = (&self.rules.tenant_limit, &self.rules.user_limit);
        let day = self.append_day();
        let key = &self.rules.limit_key;
        let meter = self.ledger.usage.get(key).map(|w| &w.meter);
        let tenant_used = |window| meter.and_then(|m| m.used(window, day).to_u64()).unwrap_or(0);
        let user_used = |window| self.state.limit.used(window, day);
        let check = |reason, used: u64, cap: Option<u64>| match cap {
            Some(max) if used.saturating_add(n) > max => {
                Err(Refusal { reason, numbers: Some((used.into(), max.into())) })
            }
            _ => Ok(Use { used, cap }),
        };
        Ok(LimitUse {
            day,
            user_day: check(Reason::LimitUserDay, user_used(DAY), user.max_per_day)?,
            user_total: check(
                Reason::LimitUserTotal,
                user_used(user.total_window()),
                user.max_total,
            )?,
            tenant_day: check(Reason::LimitTenantDay, tenant_used(DAY), tenant.max_per_day)?,
            tenant_total: check(
                Reason::LimitTenantTotal,
                tenant_used(tenant.total_window()),
                tenant.max_total,
            )?,
        })
    }

    /// Writes one incentive and its uses into the working copy.
    fn write(
        &mut self,
        campaign: &Campaign,
        earned: Earned<'_>,
        grant: &Grant<'_>,
        uses: (LimitUse, Vec<BudgetUse>),
    ) -> IncentiveId {
        let record = self.event.record;
        let (tenant, user) = (self.rules.tenant(), self.event.user);
        let id =
            incentive_id(record.append_time, tenant, campaign.id, user, earned.cause, grant.index);
        self.take_budgets(campaign, grant);
        let day = uses.0.day;
        let meter = self.ledger.usage.entry(self.rules.limit_key.clone()).or_default();
        meter.meter.add(Some(day), Decimal::ONE);
        meter.touched.extend([None, Some(day)]);
        self.state.limit.add(Some(day), 1);
        self.state.limit.prune(Day(day.0 - i32::from(WINDOW_DAYS_MAX) + 1));
        self.state.seq += 1;
        self.ledger.changes.incentives.push(Arc::new(Incentive {
            id,
            tenant,
            user,
            user_ref: record.event.user_id.clone(),
            campaign: campaign.id,
            campaign_version: campaign.version,
            event_id: earned.event_id.clone(),
            kind: grant.reward.kind,
            currency: grant.reward.currency().to_owned(),
            amount: grant.amount,
            coupon_code: grant
                .reward
                .code
                .as_ref()
                .map(|c| coupon_code(c, &self.rules.coupon_key, id)),
            issued_at: record.append_time,
            seq: self.state.seq,
            limits: uses.0,
            budgets: uses.1,
        }));
        id
    }

    fn take_budgets(&mut self, campaign: &Campaign, grant: &Grant<'_>) {
        for budget in &campaign.budgets {
            let Some(taken) = takes(budget, grant) else { continue };
            let bucket = budget.window.bucket(self.event_day());
            let oldest = self.oldest_bucket(budget.window);
            if let Some(key) = &budget.key {
                let working = self.ledger.usage.entry(key.clone()).or_default();
                working.meter.add(bucket, taken);
                working.touched.extend([None, bucket]);
            } else {
                let own = self.own_state_mut(campaign);
                let meter = own.budgets.entry(budget.id.clone()).or_default();
                meter.add(bucket, taken);
                meter.prune(oldest);
            }
        }
    }
}

/// What a grant takes from a budget; `None` when the budget does not count it.
fn takes(budget: &BudgetSpec, grant: &Grant<'_>) -> Option<Decimal> {
    match &budget.currency {
        None => Some(Decimal::ONE),
        Some(currency) => (currency == grant.reward.currency()).then_some(grant.amount),
    }
}

/// The amount that fits into a budget.
fn fit(budget: &BudgetSpec, used: Decimal, grant: &Grant<'_>) -> Result<Decimal, Refusal> {
    let Some(taken) = takes(budget, grant) else { return Ok(grant.amount) };
    let left = budget.max - used;
    if taken <= left {
        return Ok(grant.amount);
    }
    let cut = grant.reward.cut(left);
    if budget.clamp && cut > Decimal::ZERO {
        return Ok(cut);
    }
    Err(Refusal { reason: Reason::BudgetExhausted, numbers: Some((used, budget.max)) })
}

impl LimitUse {
    /// The uses after `n` more incentives.
    fn plus(self, n: u64) -> Self {
        let more = |u: Use| Use { used: u.used + n, ..u };
        Self {
            day: self.day,
            tenant_day: more(self.tenant_day),
            tenant_total: more(self.tenant_total),
            user_day: more(self.user_day),
            user_total: more(self.user_total),
        }
    }
}

/// Letters and digits that nobody mistakes for one another.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A code that follows from the incentive and a secret: the same after every replay, and nobody
/// without the secret can guess it.
fn coupon_code(code: &CouponCode, key: &[u8; 32], id: IncentiveId) -> String {
    let CouponCode::Generated(form) = code;
    let hash = Sha256::new()
        .chain_update(b"coupon")
        .chain_update(key)
        .chain_update(id.0.as_bytes())
        .finalize();
    let mut out = form.prefix.as_ref().map_or_else(String::new, |p| p.as_str().to_owned());
    let length = form.length.as_u32() as usize;
    out.extend(hash.iter().take(length).map(|b| char::from(CODE_ALPHABET[usize::from(b & 31)])));
    out
}

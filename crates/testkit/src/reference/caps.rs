//! Budgets and limits: all the rewards of a decision, or none.

use domain::decide::Reason;
use domain::id::{EventId, IncentiveId, incentive_id};
use domain::incentive::{Incentive, RewardType};
use domain::limit::{BudgetUse, LimitUse, Use};
use domain::rule::{Budget, BudgetScope, CouponCode, Measure, OnEdge, Reward};
use domain::time::{Day, Period};
use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use super::campaign::Campaign;
use super::past::{Counts, Grant, Uses};
use super::simple::{Planned, event_of, in_places};
use super::window::Over;
use super::{Happening, Reference, Refusal};

/// What a reward is for.
pub(super) enum Cause<'e> {
    Event(&'e EventId),
    Cycle { number: u32, completed_by: &'e EventId },
}

pub(super) struct Paid {
    pub count: u32,
    pub first: Option<IncentiveId>,
}

pub(super) fn counts(budget: &Budget) -> Counts {
    match (budget.measure, &budget.currency) {
        (Measure::Amount, Some(currency)) => Counts::AmountIn(currency.as_str().to_owned()),
        _ => Counts::Incentives,
    }
}

impl Reference {
    /// Grants all the rewards, cut by budgets that clamp, or refuses.
    pub(super) fn pay(
        &mut self,
        campaign: &Campaign,
        happening: &Happening<'_>,
        cause: &Cause<'_>,
        planned: &mut [Planned<'_>],
    ) -> Result<Paid, Refusal> {
        let budgets = self.fit_budgets(campaign, happening, planned)?;
        let limits = self.fit_limits(happening, planned.len() as u64)?;
        let mut paid = Paid { count: 0, first: None };
        for (planned, budgets) in planned.iter().zip(budgets) {
            paid.count += 1;
            let limits = plus(limits, paid.count.into());
            let id = self.grant(campaign, happening, cause, planned, (limits, budgets));
            paid.first = paid.first.or(Some(id));
        }
        Ok(paid)
    }

    /// Takes the rewards one after the other from the budgets: what each has then been used.
    fn fit_budgets(
        &self,
        campaign: &Campaign,
        happening: &Happening<'_>,
        planned: &mut [Planned<'_>],
    ) -> Result<Vec<Vec<BudgetUse>>, Refusal> {
        let day = happening.event_day;
        let before = |budget: &Budget| -> Decimal {
            let (id, counts) = (campaign.source.id, counts(budget));
            let uses = match budget.scope {
                BudgetScope::Campaign => self.past.of_campaign(id, &counts),
                BudgetScope::User => self.past.of_user_in(happening.user, id, &counts),
            };
            Over::budget(budget).used(&uses, day)
        };
        let mut used: Vec<Decimal> = campaign.budgets.iter().map(before).collect();
        let mut all = Vec::new();
        for planned in planned {
            let currency = planned.reward.currency();
            for (budget, used) in campaign.budgets.iter().zip(&used) {
                let Some(taken) = counts(budget).taken(currency, planned.amount) else { continue };
                let left = budget.max - *used;
                if taken <= left {
                    continue;
                }
                let cut = in_places(planned.reward, left, Some(RoundingStrategy::ToZero));
                if budget.on_edge == OnEdge::Reject || cut <= Decimal::ZERO {
                    let numbers = Some((*used, budget.max));
                    return Err(Refusal { reason: Reason::BudgetExhausted, numbers });
                }
                planned.amount = cut;
            }
            let mut uses = Vec::new();
            for (budget, used) in campaign.budgets.iter().zip(&mut used) {
                let Some(taken) = counts(budget).taken(currency, planned.amount) else { continue };
                *used += taken;
                let (id, bucket) =
                    (budget.id.as_str().to_owned(), Over::budget(budget).bucket(day));
                uses.push(BudgetUse { id, used: *used, cap: budget.max, bucket });
            }
            all.push(uses);
        }
        Ok(all)
    }

    /// The use of the limits before the rewards, when there is room for `more` of them.
    fn fit_limits(&self, happening: &Happening<'_>, more: u64) -> Result<LimitUse, Refusal> {
        let (tenant, user) = (self.config.tenant_limit, self.config.user_limit);
        let day = happening.append_day;
        let check = |reason, uses: &Uses, over: Over, cap: Option<u64>| {
            let used = over.used(uses, day).to_u64().unwrap_or(u64::MAX);
            match cap {
                Some(cap) if used + more > cap => {
                    Err(Refusal { reason, numbers: Some((used.into(), cap.into())) })
                }
                _ => Ok(Use { used, cap }),
            }
        };
        let today = Over::Period(Period::Day);
        let (user_total, tenant_total) =
            (Over::limit(user.window_days), Over::limit(tenant.window_days));
        let of_user = self.past.of_user(happening.user);
        let of_tenant = self.past.of_tenant();
        Ok(LimitUse {
            day,
            user_day: check(Reason::LimitUserDay, &of_user, today, user.max_per_day)?,
            user_total: check(Reason::LimitUserTotal, &of_user, user_total, user.max_total)?,
            tenant_day: check(Reason::LimitTenantDay, &of_tenant, today, tenant.max_per_day)?,
            tenant_total: check(
                Reason::LimitTenantTotal,
                &of_tenant,
                tenant_total,
                tenant.max_total,
            )?,
        })
    }

    fn grant(
        &mut self,
        campaign: &Campaign,
        happening: &Happening<'_>,
        cause: &Cause<'_>,
        planned: &Planned<'_>,
        (limits, budgets): (LimitUse, Vec<BudgetUse>),
    ) -> IncentiveId {
        let record = happening.record;
        let (tenant, user) = (self.config.tenant, happening.user);
        let hashed = match cause {
            Cause::Event(event) => domain::id::Cause::Event(event),
            Cause::Cycle { number, .. } => domain::id::Cause::Cycle(*number),
        };
        let at = record.append_time;
        let id = incentive_id(at, tenant, campaign.source.id, user, hashed, planned.place);
        let incentive = Incentive {
            id,
            tenant,
            user,
            user_ref: record.event.user_id.clone(),
            campaign: campaign.source.id,
            campaign_version: campaign.source.version,
            event_id: event_of(cause).clone(),
            kind: planned.reward.kind,
            currency: planned.reward.currency().to_owned(),
            amount: planned.amount,
            coupon_code: code_pattern(planned.reward),
            issued_at: at,
            seq: self.past.seq(user) + 1,
            limits,
            budgets,
        };
        let (event_day, append_day): (Day, Day) = (happening.event_day, happening.append_day);
        self.past.grant(Grant { incentive, event_day, append_day });
        id
    }
}

fn code_pattern(reward: &Reward) -> Option<String> {
    if reward.kind != RewardType::Coupon {
        return None;
    }
    let CouponCode::Generated(form) = reward.code.as_ref()?;
    let prefix = form.prefix.as_ref().map_or("", |p| p.as_str());
    Some(format!("{prefix}{}", "#".repeat(form.length.as_u32() as usize)))
}

fn plus(limits: LimitUse, n: u64) -> LimitUse {
    let after = |before: Use| Use { used: before.used + n, cap: before.cap };
    LimitUse {
        day: limits.day,
        tenant_day: after(limits.tenant_day),
        tenant_total: after(limits.tenant_total),
        user_day: after(limits.user_day),
        user_total: after(limits.user_total),
    }
}

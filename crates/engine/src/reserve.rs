//! What a batch uses of limits, read off the incentives that it grants: each carries the uses after
//! it, so those before the batch and after it follow.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use domain::id::{TenantId, UserId};
use domain::incentive::Incentive;
use domain::limit::Use;
use domain::time::{Day, Zone};

use crate::ports::{BatchCommit, DayUse, LimitMove, Reservation, UserUse};
use crate::rules_cache::RulesCache;

/// The reservation of a batch; `None` when it grants nothing.
pub(crate) fn reservation(batch: &BatchCommit, rules: &RulesCache) -> Option<Reservation> {
    let zone = |tenant| rules.get(tenant).map(|known| known.rules.zone());
    let days = days(batch, zone);
    let BatchCommit { partition, epoch, batch_seq, .. } = *batch;
    (!days.is_empty()).then_some(Reservation { partition, epoch, batch_seq, days })
}

fn days<'z>(batch: &BatchCommit, zone: impl Fn(TenantId) -> Option<&'z Zone>) -> Vec<DayUse> {
    let mut days: Vec<DayUse> = Vec::new();
    let mut place_of_day: HashMap<(TenantId, Day), usize> = HashMap::new();
    let mut place_of_user: HashMap<(usize, UserId), usize> = HashMap::new();
    for granted in &batch.incentives {
        let key = (granted.tenant, granted.limits.day);
        let place = match place_of_day.get(&key) {
            Some(place) => *place,
            None => {
                let Some(zone) = zone(granted.tenant) else { continue };
                place_of_day.insert(key, days.len());
                days.push(first_of_day(batch, zone, granted));
                days.len() - 1
            }
        };
        let day = &mut days[place];
        let user = *place_of_user.entry((place, granted.user)).or_insert_with(|| {
            day.users.push(first_of_user(granted));
            day.users.len() - 1
        });
        day.take(granted, user);
    }
    days
}

fn first_of_day(batch: &BatchCommit, zone: &Zone, granted: &Incentive) -> DayUse {
    let Incentive { tenant, limits, .. } = granted;
    DayUse {
        tenant: *tenant,
        day: limits.day,
        starts_at: zone.start_of(limits.day),
        ends_at: zone.start_of(Day(limits.day.0 + 1)),
        lane_version: batch.lanes.get(tenant).map_or(0, |lane| lane.from.version),
        tenant_day: before(limits.tenant_day),
        tenant_total: before(limits.tenant_total),
        users: Vec::new(),
        incentives: Vec::new(),
    }
}

fn first_of_user(granted: &Incentive) -> UserUse {
    let Incentive { user_ref, limits, .. } = granted;
    UserUse {
        user_ref: user_ref.clone(),
        day: before(limits.user_day),
        total: before(limits.user_total),
    }
}

/// The move to a use, from the one before the incentive that it was recorded with.
fn before(after: Use) -> LimitMove {
    LimitMove { from: after.used.saturating_sub(1), to: after.used, cap: after.cap }
}

impl DayUse {
    fn take(&mut self, granted: &Incentive, user: usize) {
        let limits = &granted.limits;
        self.tenant_day.to = limits.tenant_day.used;
        self.tenant_total.to = limits.tenant_total.used;
        self.users[user].day.to = limits.user_day.used;
        self.users[user].total.to = limits.user_total.used;
        self.incentives.push((granted.id, user));
    }
}

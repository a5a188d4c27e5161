//! What an event will need, worked out before the batch loads anything.

use super::simple::mark_key;
use super::{Needs, Parsed};
use crate::compile::{Campaign, Kind, TenantRules};
use crate::event::{RecordKind, USER_UPDATED};
use crate::expr::Scope;
use crate::limit::WINDOW_DAYS_MAX;
use crate::time::Day;

/// Adds what one event needs to what its batch needs.
pub fn plan(rules: &TenantRules, event: &Parsed<'_>, needs: &mut Needs) {
    needs.users.insert(event.user);
    needs.tenants.insert(rules.tenant());
    let record = event.record;
    if record.kind == RecordKind::History || record.event.action.as_str() == USER_UPDATED {
        return;
    }
    needs.attributes |= rules.uses_attributes();
    let day = rules.zone().day(record.append_time);
    ask(needs, &rules.limit_key, Day(day.0 - i32::from(WINDOW_DAYS_MAX)));
    let mut places = Vec::new();
    rules.listening(&record.event.action, &mut places);
    for place in places.iter().chain(&rules.retrying) {
        let campaign = &rules.campaigns[*place as usize];
        plan_campaign(rules, campaign, event, needs);
    }
}

fn plan_campaign(rules: &TenantRules, campaign: &Campaign, event: &Parsed<'_>, needs: &mut Needs) {
    for cohort in &campaign.asks {
        if let Some(version) = rules.membership(*cohort) {
            needs.cohorts.insert((*cohort, version));
        }
    }
    for budget in &campaign.budgets {
        if let Some(key) = &budget.key {
            let day = rules.zone().day(event.record.event.event_ts);
            ask(needs, key, Day(day.0 - budget.lookback_days()));
        }
    }
    if let Kind::Simple(simple) = &campaign.kind
        && let Some(expr) = &simple.once_per
    {
        // The expression looks at the event alone, so the user need not be known yet.
        let scope = Scope::new(&rules.fields, event.facts(rules, None, &[]));
        if let Ok(key) = mark_key(campaign.id, expr, &scope) {
            needs.marks.insert((event.user, key));
        }
    }
}

fn ask(needs: &mut Needs, key: &(crate::id::TenantId, String), from: Day) {
    match needs.usage.get_mut(key) {
        Some(day) => *day = from.min(*day),
        None => {
            needs.usage.insert(key.clone(), from);
        }
    }
}

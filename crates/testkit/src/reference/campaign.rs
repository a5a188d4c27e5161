//! Campaigns as read, and what every campaign asks of an event.

use domain::config::{CampaignSource, TenantConfig};
use domain::decide::Reason;
use domain::id::{ActionCode, CohortId};
use domain::rule::{ActionPattern, Budget, CohortRule, OnLimit, Per, Repeat, Rule, Schedule};
use rust_decimal::Decimal;

use super::expression::Sight;
use super::window::Over;
use super::{Happening, Reference, Refusal, Verdict, calendar};

/// Most grants of a user that a cooldown looks back on: the latest.
const LOOKED_BACK_ON: usize = 32;

pub(super) struct Campaign {
    pub source: CampaignSource,
    pub rule: Rule,
    pub budgets: Vec<Budget>,
}

/// The active campaigns in the order in which they compete.
#[expect(clippy::expect_used, reason = "rules were checked when they were saved")]
pub(super) fn in_order(config: &TenantConfig) -> Vec<Campaign> {
    let read = |source: &CampaignSource| {
        let document = domain::shape::parse(source.rule_json.as_bytes()).expect("a JSON text");
        let rule = Rule::read(&document, source.kind).expect("a rule");
        let budgets = match &rule {
            Rule::Simple(simple) => simple.budgets.to_vec(),
            Rule::Quest(quest) => quest.budgets.to_vec(),
        };
        Campaign { source: source.clone(), rule, budgets }
    };
    let mut campaigns: Vec<Campaign> = config.campaigns.iter().map(read).collect();
    campaigns.sort_by(|a, b| {
        let (a, b) = (&a.source, &b.source);
        b.priority.cmp(&a.priority).then(a.created_at.cmp(&b.created_at)).then(a.id.cmp(&b.id))
    });
    campaigns
}

impl Campaign {
    pub fn retries(&self) -> bool {
        matches!(&self.rule, Rule::Quest(quest) if quest.on_limit == OnLimit::Retry)
    }

    pub fn listens_to(&self, action: &ActionCode) -> bool {
        match &self.rule {
            Rule::Simple(simple) => simple.on.iter().any(|p| matches(p, action)),
            Rule::Quest(quest) => {
                quest.steps.iter().flat_map(|s| s.on.iter()).any(|p| matches(p, action))
            }
        }
    }

    fn schedule(&self) -> Option<&Schedule> {
        match &self.rule {
            Rule::Simple(simple) => simple.schedule.as_ref(),
            Rule::Quest(quest) => quest.schedule.as_ref(),
        }
    }

    fn cohorts(&self) -> Option<&CohortRule> {
        match &self.rule {
            Rule::Simple(simple) => simple.cohorts.as_ref(),
            Rule::Quest(quest) => quest.cohorts.as_ref(),
        }
    }
}

/// Whether a pattern names an action: `*` is any text. The platform's own actions match only
/// patterns that begin with `$`.
pub(super) fn matches(pattern: &ActionPattern, action: &ActionCode) -> bool {
    fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|taken| fits(rest, &text[taken..])),
            [first, rest @ ..] => text.first() == Some(first) && fits(rest, &text[1..]),
        }
    }
    let (pattern, action) = (pattern.as_str(), action.as_str());
    let foreign = action.starts_with('$') && !pattern.starts_with('$');
    !foreign && fits(pattern.as_bytes(), action.as_bytes())
}

impl Reference {
    pub(super) fn consider(
        &mut self,
        campaign: &Campaign,
        happening: &Happening<'_>,
        sight: &Sight<'_>,
    ) -> Result<Verdict, Refusal> {
        let ts = happening.record.event.event_ts;
        let source = &campaign.source;
        let early = source.start_at.is_some_and(|start| ts < start);
        if early || source.end_at.is_some_and(|end| ts >= end) {
            return Err(Reason::NotActive.into());
        }
        let outside = |s: &Schedule| !calendar::in_schedule(s, &self.config.zone, ts);
        if campaign.schedule().is_some_and(outside) {
            return Err(Reason::OutsideSchedule.into());
        }
        if !takes_part(campaign, &happening.cohorts) {
            return Err(Reason::CohortMiss.into());
        }
        match &campaign.rule {
            Rule::Simple(simple) => self.consider_simple(campaign, simple, happening, sight),
            Rule::Quest(quest) => self.consider_quest(campaign, quest, happening, sight),
        }
    }

    /// Refuses when the user was rewarded as often as allowed, or too near in time.
    pub(super) fn check_repeat(
        &self,
        campaign: &Campaign,
        repeat: Option<&Repeat>,
        happening: &Happening<'_>,
    ) -> Result<(), Refusal> {
        let (max, per, cooldown) = match (repeat, &campaign.rule) {
            (Some(repeat), _) => (repeat.max.map(|m| m.as_u64()), repeat.per, repeat.cooldown),
            (None, Rule::Simple(_)) => return Ok(()),
            (None, Rule::Quest(_)) => (Some(1), Per::Ever, None),
        };
        let rewarded = self.past.users.get(&happening.user).map(|p| p.rewarded.as_slice());
        let own = rewarded.unwrap_or_default().iter().filter(|r| r.campaign == campaign.source.id);
        let own: Vec<_> = own.collect();
        if let Some(max) = max {
            let uses: Vec<_> = own.iter().map(|r| (r.day, Decimal::ONE)).collect();
            let used = Over::per(per).used(&uses, happening.event_day);
            if used >= Decimal::from(max) {
                let numbers = Some((used, max.into()));
                return Err(Refusal { reason: Reason::RepeatLimit, numbers });
            }
        }
        let ts = happening.record.event.event_ts.micros();
        let mut granted: Vec<i64> = own.iter().map(|r| r.ts.micros()).collect();
        granted.sort_unstable();
        let looked_at = &granted[granted.len().saturating_sub(LOOKED_BACK_ON)..];
        let near = |cooldown: i64| looked_at.iter().any(|at| (at - ts).abs() < cooldown);
        if cooldown.is_some_and(|cooldown| near(cooldown.micros())) {
            return Err(Reason::Cooldown.into());
        }
        Ok(())
    }
}

fn takes_part(campaign: &Campaign, joined: &[CohortId]) -> bool {
    let own = campaign.source.cohort_id;
    if own.is_some_and(|cohort| !joined.contains(&cohort)) {
        return false;
    }
    let Some(rule) = campaign.cohorts() else { return true };
    let any_of = |cohorts: &[CohortId]| cohorts.iter().any(|c| joined.contains(c));
    (rule.include.is_empty() || any_of(&rule.include)) && !any_of(&rule.exclude)
}

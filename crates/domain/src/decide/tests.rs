//! Tables: campaigns and a log of events in, the reasons and amounts out.

mod edits;
mod retry;

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::compile::TenantRules;
use crate::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use crate::event::{ActionEvent, Record, RecordKind};
use crate::id::{CampaignId, CohortId, TenantId, UserRef, user_id};
use crate::limit::LimitSpec;
use crate::rule::CampaignType;
use crate::time::{Timestamp, Zone};

pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
pub(crate) const GOLD: CohortId = CohortId(Uuid::from_u128(77));

pub(crate) fn campaign_id(n: u32) -> CampaignId {
    CampaignId(Uuid::from_u128(100 + u128::from(n)))
}

pub(crate) fn source(number: u32, rule: &Value) -> CampaignSource {
    let kind = if rule.get("steps").is_some() { CampaignType::Quest } else { CampaignType::Simple };
    CampaignSource {
        id: campaign_id(number),
        number,
        kind,
        version: 1,
        progress_version: 0,
        priority: 0,
        created_at: Timestamp::from_stored(i64::from(number)),
        start_at: None,
        end_at: None,
        cohort_id: None,
        rule_json: rule.to_string(),
    }
}

pub(crate) fn config(rules: &[Value]) -> TenantConfig {
    TenantConfig {
        tenant: TENANT,
        config_version: 1,
        zone: Zone::named("Europe/Paris").expect("a zone"),
        lateness_us: 7 * crate::time::DAY_US,
        mode: TenantMode::Live,
        tenant_limit: LimitSpec::default(),
        user_limit: LimitSpec::default(),
        campaigns: (1..).zip(rules).map(|(n, rule)| source(n, rule)).collect(),
        cohorts: vec![CohortSource {
            id: GOLD,
            membership_version: 1,
            refresh: None,
            computed_at: None,
        }],
        dormant: Vec::new(),
        coupon_key: [7; 32],
    }
}

/// A small world: one tenant's rules and a working copy through which a log runs.
struct World {
    rules: TenantRules,
    working: Working,
    offset: i64,
}

impl World {
    fn new(config: &TenantConfig) -> Self {
        let (rules, faults) = TenantRules::compile(config);
        assert!(faults.is_empty(), "{faults:?}");
        Self { rules, working: Working::new(Loaded::default()), offset: 0 }
    }
    fn of(rules: &[Value]) -> Self {
        Self::new(&config(rules))
    }
    fn join(&mut self, user: &str, cohort: CohortId) {
        let id = user_id(TENANT, &UserRef::new(user).expect("a reference"));
        self.working.users.entry(id).or_default().stored.cohorts.push(cohort);
    }
    /// Sends an event; append time = event time unless another is given.
    fn send_at(
        &mut self,
        user: &str,
        action: &str,
        (ts, append): (&str, &str),
        payload: Value,
    ) -> EventOutcome {
        let record = Record {
            offset: self.offset,
            append_time: append.parse().expect("a time"),
            kind: RecordKind::Live,
            event: ActionEvent {
                tenant_id: TENANT,
                event_id: format!("e{}", self.offset).parse().expect("an id"),
                user_id: user.parse().expect("a reference"),
                action: action.parse().expect("an action"),
                event_ts: ts.parse().expect("a time"),
                payload: payload.to_string().into(),
            },
        };
        self.offset += 1;
        let parsed = Parsed::new(&record).expect("a payload");
        decide(&self.rules, &parsed, &mut self.working)
    }
    fn send(&mut self, user: &str, action: &str, ts: &str, payload: Value) -> EventOutcome {
        self.send_at(user, action, (ts, ts), payload)
    }
    /// What the log granted so far: `campaign type amount currency`.
    fn granted(&self) -> Vec<String> {
        let line = |i: &Arc<crate::incentive::Incentive>| {
            let number = i.campaign.0.as_u128() - 100;
            format!("{number} {} {} {}", i.kind.as_str(), i.amount, i.currency)
        };
        self.working.changes.incentives.iter().map(line).collect()
    }
}

fn reasons(outcome: &EventOutcome) -> Vec<&'static str> {
    outcome.considered.iter().map(|c| c.reason.as_str()).collect()
}

fn points(n: u32) -> Value {
    json!([{"type": "POINTS", "amount": n.to_string()}])
}

const T1: &str = "2026-03-02T10:00:00Z";

/// A rule, the events (action, time, payload) of one user, the reasons they must give.
type Case<'a> = (&'a str, Value, Vec<(&'a str, &'a str, Value)>, Vec<&'a str>);

fn check(cases: Vec<Case<'_>>) {
    for (name, rule, events, expected) in cases {
        let mut world = World::of(&[rule]);
        let mut found = Vec::new();
        for (action, ts, payload) in events {
            let outcome = world.send("ada", action, ts, payload);
            found.push(outcome.considered.first().map_or("-", |c| c.reason.as_str()));
        }
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn actions_and_conditions() {
    let rule = |on: Value, when: Value| json!({"on": on, "when": when, "rewards": points(1)});
    let buy = |amount: Value| ("purchase", T1, json!({"amount": amount}));
    check(vec![
        (
            "any of several",
            rule(json!(["a", "purchase"]), Value::Null),
            vec![buy(json!(1)), ("b", T1, json!({}))],
            vec!["GRANTED", "-"],
        ),
        (
            "a pattern",
            rule(json!(["order.*"]), Value::Null),
            vec![("order.paid", T1, json!({})), ("orders", T1, json!({}))],
            vec!["GRANTED", "-"],
        ),
        (
            "a condition",
            rule(json!(["purchase"]), json!("event.amount >= 42.10")),
            vec![
                buy(json!(42.10)),
                buy(json!(42.09)),
                buy(json!("x")),
                ("purchase", T1, json!({})),
            ],
            vec!["GRANTED", "RULE_FALSE", "TYPE_MISMATCH", "FIELD_MISSING"],
        ),
        (
            "division by zero",
            rule(json!(["purchase"]), json!("10 / event.amount > 1")),
            vec![buy(json!(0)), buy(json!(5))],
            vec!["RULE_ERROR", "GRANTED"],
        ),
    ]);
}

#[test]
fn amounts() {
    let amount = |reward: Value, payload: Value| {
        let mut world = World::of(&[json!({"on": ["p"], "rewards": [reward]})]);
        let outcome = world.send("ada", "p", T1, payload);
        world.granted().first().cloned().unwrap_or_else(|| reasons(&outcome)[0].to_owned())
    };
    let per_step = json!({"perStep": {"give": "2", "each": "10", "of": "event.x"}});
    let percent = json!({"percent": {"rate": "2.5", "of": "event.x"}});
    let cases = [
        (json!({"type": "POINTS", "amount": "15"}), json!({}), "1 POINTS 15 POINTS"),
        (json!({"type": "POINTS", "amount": per_step}), json!({"x": 39.99}), "1 POINTS 6 POINTS"),
        (json!({"type": "POINTS", "amount": per_step}), json!({"x": 9.99}), "AMOUNT_ZERO"),
        (
            json!({"type": "CASHBACK", "currency": "EUR", "amount": percent}),
            json!({"x": 33.3}),
            "1 CASHBACK 0.83 EUR",
        ),
        (
            json!({"type": "CASHBACK", "currency": "EUR", "amount": percent, "max": "0.5"}),
            json!({"x": 33.3}),
            "1 CASHBACK 0.5 EUR",
        ),
        (
            json!({"type": "CASHBACK", "currency": "EUR", "amount": percent, "min": "3"}),
            json!({"x": 33.3}),
            "1 CASHBACK 3 EUR",
        ),
        (
            json!({"type": "POINTS", "amount": {"formula": "event.x * 1.5"}, "round": {"places": 0, "mode": "DOWN"}}),
            json!({"x": 3}),
            "1 POINTS 4 POINTS",
        ),
        (json!({"type": "POINTS", "amount": {"formula": "event.x"}}), json!({}), "FIELD_MISSING"),
        (
            json!({"type": "POINTS", "amount": {"formula": "0 - event.x"}}),
            json!({"x": 3}),
            "AMOUNT_ZERO",
        ),
    ];
    for (reward, payload, expected) in cases {
        assert_eq!(amount(reward.clone(), payload), expected, "{reward}");
    }
}

#[test]
fn coupon_codes_are_stable_and_unguessable() {
    let rule = json!({"on": ["p"], "rewards": [
        {"type": "COUPON", "amount": "10", "currency": "EUR", "code": {"generated": {"prefix": "MAY-", "length": 10}}}]});
    let code = |config: &TenantConfig| {
        let mut world = World::new(config);
        world.send("ada", "p", T1, json!({}));
        world.working.changes.incentives[0].coupon_code.clone().expect("a code")
    };
    let config = config(&[rule]);
    let first = code(&config);
    assert_eq!(first.len(), 14);
    assert!(first.starts_with("MAY-"));
    assert_eq!(first, code(&config), "the same after a replay");
    assert_ne!(first, code(&TenantConfig { coupon_key: [8; 32], ..config }), "another secret");
}

#[test]
fn ladder_takes_the_first_line_that_matches() {
    let rule = json!({"on": ["p"], "ladder": [
        {"cohort": GOLD, "rewards": points(3)},
        {"when": "event.amount > 100", "rewards": points(2)},
        {"rewards": points(1)}]});
    let mut world = World::of(&[rule]);
    world.join("gil", GOLD);
    world.send("gil", "p", T1, json!({"amount": 500}));
    world.send("bob", "p", T1, json!({"amount": 500}));
    world.send("bob", "p", T1, json!({"amount": 5}));
    assert_eq!(world.granted(), ["1 POINTS 3 POINTS", "1 POINTS 2 POINTS", "1 POINTS 1 POINTS"]);
}

#[test]
fn repetition_goes_by_event_time_in_the_tenants_zone() {
    let rule = |repeat: Value| json!({"on": ["p"], "repeat": repeat, "rewards": points(1)});
    let at = |ts: &'static str| ("p", ts, json!({}));
    check(vec![
        (
            "once",
            rule(json!({"max": 1})),
            vec![at(T1), at("2027-03-02T10:00:00Z")],
            vec!["GRANTED", "REPEAT_LIMIT"],
        ),
        // Midnight in Paris is 23:00Z in winter.
        (
            "per day",
            rule(json!({"max": 1, "per": "DAY"})),
            vec![
                at("2026-03-02T22:59:59Z"),
                at("2026-03-02T23:00:00Z"),
                at("2026-03-03T22:00:00Z"),
            ],
            vec!["GRANTED", "GRANTED", "REPEAT_LIMIT"],
        ),
        (
            "per week",
            rule(json!({"max": 2, "per": "WEEK"})),
            vec![at(T1), at(T1), at(T1), at("2026-03-09T10:00:00Z")],
            vec!["GRANTED", "GRANTED", "REPEAT_LIMIT", "GRANTED"],
        ),
        (
            "cooldown",
            rule(json!({"cooldown": "PT3H"})),
            vec![
                at("2026-03-02T10:00:00Z"),
                at("2026-03-02T12:59:59Z"),
                at("2026-03-02T13:00:00Z"),
            ],
            vec!["GRANTED", "COOLDOWN", "GRANTED"],
        ),
    ]);
}

#[test]
fn late_events_count_in_their_own_period() {
    let mut world = World::of(&[
        json!({"on": ["p"], "repeat": {"max": 1, "per": "DAY"}, "rewards": points(1)}),
    ]);
    let now = "2026-03-05T10:00:00Z";
    let sent = [
        ("2026-03-05T09:00:00Z", "GRANTED"),
        ("2026-03-03T09:00:00Z", "GRANTED"),
        ("2026-03-03T12:00:00Z", "REPEAT_LIMIT"),
        ("2026-03-05T09:30:00Z", "REPEAT_LIMIT"),
    ];
    for (ts, reason) in sent {
        assert_eq!(reasons(&world.send_at("ada", "p", (ts, now), json!({}))), [reason], "{ts}");
    }
    let late = world.send_at("ada", "p", ("2026-02-26T09:59:59Z", now), json!({}));
    assert_eq!((late.status, late.considered.len()), (Status::TooLate, 0));
}

#[test]
fn once_per_value_and_first_ever() {
    let lesson = |id: &str| ("lesson", T1, json!({"id": id}));
    check(vec![
        (
            "once per value",
            json!({"on": ["lesson"], "oncePer": "event.id", "rewards": points(1)}),
            vec![lesson("a"), lesson("b"), lesson("a"), ("lesson", T1, json!({}))],
            vec!["GRANTED", "GRANTED", "ONCE_PER_VALUE", "FIELD_MISSING"],
        ),
        (
            "first ever",
            json!({"on": ["p", "q"], "firstEver": true, "rewards": points(1)}),
            vec![("p", T1, json!({})), ("p", T1, json!({})), ("q", T1, json!({}))],
            vec!["GRANTED", "NOT_FIRST", "GRANTED"],
        ),
    ]);
}

#[test]
fn schedules() {
    let rule = |schedule: Value| json!({"on": ["p"], "schedule": schedule, "rewards": points(1)});
    let at = |ts: &'static str| ("p", ts, json!({}));
    let night = json!({"weekdays": ["FRI"], "timeOfDay": {"from": "22:00", "to": "02:00"}});
    check(vec![
        // Friday 2026-03-06 22:30 in Paris; Saturday 01:30 belongs to Friday; Friday 01:30 to Thursday.
        (
            "over midnight",
            rule(night),
            vec![
                at("2026-03-06T21:30:00Z"),
                at("2026-03-07T00:30:00Z"),
                at("2026-03-06T00:30:00Z"),
                at("2026-03-07T01:00:00Z"),
            ],
            vec!["GRANTED", "GRANTED", "OUTSIDE_SCHEDULE", "OUTSIDE_SCHEDULE"],
        ),
        (
            "over new year",
            rule(json!({"season": {"from": "12-15", "to": "01-06"}})),
            vec![
                at("2026-12-15T12:00:00Z"),
                at("2027-01-06T12:00:00Z"),
                at("2027-01-07T12:00:00Z"),
            ],
            vec!["GRANTED", "GRANTED", "OUTSIDE_SCHEDULE"],
        ),
        (
            "another zone",
            rule(
                json!({"zone": "America/New_York", "timeOfDay": {"from": "09:00", "to": "17:00"}}),
            ),
            vec![at("2026-03-02T14:00:00Z"), at("2026-03-02T13:59:00Z")],
            vec!["GRANTED", "OUTSIDE_SCHEDULE"],
        ),
    ]);
}

#[test]
fn budgets_reject_or_clamp() {
    let rule = |budget: Value| json!({"on": ["p"], "rewards": [{"type": "CASHBACK", "currency": "EUR", "amount": {"formula": "event.x"}}], "budgets": [budget]});
    let total = |edge: &str| json!({"id": "b", "measure": "AMOUNT", "currency": "EUR", "max": "10", "onEdge": edge});
    let mut world = World::of(&[rule(total("REJECT")), rule(total("CLAMP"))]);
    let first = world.send("ada", "p", T1, json!({"x": 7}));
    let second = world.send("bob", "p", T1, json!({"x": 7}));
    let third = world.send("cy", "p", T1, json!({"x": 3}));
    assert_eq!(reasons(&first), ["GRANTED", "GRANTED"]);
    assert_eq!(reasons(&second), ["BUDGET_EXHAUSTED", "GRANTED"], "what is left is 3");
    assert_eq!(reasons(&third), ["GRANTED", "BUDGET_EXHAUSTED"]);
    assert_eq!(second.considered[0].numbers, Some((Decimal::from(7), Decimal::from(10))));
    let amounts: Vec<_> = world
        .granted()
        .iter()
        .map(|g| g.split(' ').nth(2).map(str::to_owned))
        .map(Option::unwrap)
        .collect();
    assert_eq!(amounts, ["7", "7", "3", "3"]);

    let per_user = json!({"id": "u", "measure": "COUNT", "scope": "USER", "per": "ROLLING", "days": 3, "max": "2"});
    let mut world = World::of(&[rule(per_user)]);
    let mut day = |ts: &str| reasons(&world.send("ada", "p", ts, json!({"x": 1})))[0];
    let found = [
        "2026-03-02T10:00:00Z",
        "2026-03-03T10:00:00Z",
        "2026-03-04T10:00:00Z",
        "2026-03-05T10:00:00Z",
        "2026-03-05T11:00:00Z",
    ]
    .map(&mut day);
    assert_eq!(found, ["GRANTED", "GRANTED", "BUDGET_EXHAUSTED", "GRANTED", "BUDGET_EXHAUSTED"]);
}

#[test]
fn limits_hold_and_a_refusal_leaves_no_trace() {
    let rule = json!({"on": ["p"], "repeat": {"max": 1, "per": "DAY"}, "rewards": points(1)});
    let mut config = config(&[rule.clone(), rule]);
    config.user_limit =
        LimitSpec { max_per_day: Some(1), max_total: Some(2), window_days: Some(2) };
    config.tenant_limit = LimitSpec { max_per_day: None, max_total: Some(4), window_days: None };
    let mut world = World::new(&config);
    let mut send = |user: &str, ts: &str| reasons(&world.send(user, "p", ts, json!({})));
    assert_eq!(send("ada", "2026-03-02T10:00:00Z"), ["GRANTED", "LIMIT_USER_DAY"]);
    assert_eq!(send("ada", "2026-03-03T10:00:00Z"), ["GRANTED", "LIMIT_USER_DAY"]);
    assert_eq!(
        send("ada", "2026-03-04T10:00:00Z"),
        ["GRANTED", "LIMIT_USER_DAY"],
        "the window moves on"
    );
    assert_eq!(send("bob", "2026-03-04T10:00:00Z"), ["GRANTED", "LIMIT_USER_DAY"]);
    assert_eq!(send("cy", "2026-03-04T10:00:00Z"), ["LIMIT_TENANT_TOTAL", "LIMIT_TENANT_TOTAL"]);
    let uses: Vec<_> =
        world.working.changes.incentives.iter().map(|i| i.limits.tenant_total.used).collect();
    assert_eq!(uses, [1, 2, 3, 4]);
    let cy = user_id(TENANT, &"cy".parse().expect("a reference"));
    assert!(world.working.users[&cy].stored.state.campaigns.is_empty(), "no slot was used up");
    let seqs: Vec<_> = world.working.changes.incentives.iter().map(|i| i.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 1], "dense per user");
}

#[test]
fn rewards_are_granted_all_or_none() {
    let rule = json!({"on": ["p"], "rewards": [{"type": "POINTS", "amount": "1"}, {"type": "POINTS", "amount": "2"}]});
    let mut config = config(&[rule]);
    config.user_limit.max_total = Some(3);
    let mut world = World::new(&config);
    assert_eq!(reasons(&world.send("ada", "p", T1, json!({}))), ["GRANTED"]);
    assert_eq!(reasons(&world.send("ada", "p", T1, json!({}))), ["LIMIT_USER_TOTAL"]);
    assert_eq!(world.granted().len(), 2);
}

#[test]
fn quests() {
    let count = |n: u32| json!({"count": n});
    let p = |ts: &'static str| ("p", ts, json!({"x": 60}));
    let q = |ts: &'static str| ("q", ts, json!({}));
    let two = json!([{"id": "a", "on": ["p"]}, {"id": "b", "on": ["q"]}]);
    let quest = |steps: Value, more: Value| {
        let mut rule = json!({"steps": steps, "rewards": points(5)});
        for (key, value) in more.as_object().expect("an object") {
            rule[key] = value.clone();
        }
        rule
    };
    let three = json!([{"id": "a", "on": ["p"], "goal": count(3)}]);
    let sum =
        json!([{"id": "a", "on": ["p"], "goal": {"sum": {"of": "event.x", "target": "100"}}}]);
    let (d1, d2, d3, d9) = (
        "2026-03-02T10:00:00Z",
        "2026-03-03T10:00:00Z",
        "2026-03-04T10:00:00Z",
        "2026-04-09T10:00:00Z",
    );
    check(vec![
        (
            "count, once",
            quest(three.clone(), json!({})),
            vec![p(d1), p(d2), p(d3), p(d9)],
            vec!["PROGRESS", "PROGRESS", "GRANTED", "REPEAT_LIMIT"],
        ),
        ("sum", quest(sum, json!({})), vec![p(d1), p(d2)], vec!["PROGRESS", "GRANTED"]),
        (
            "any order",
            quest(two.clone(), json!({})),
            vec![q(d1), q(d2), p(d3)],
            vec!["PROGRESS", "STEP_NOT_OPEN", "GRANTED"],
        ),
        (
            "sequence",
            quest(two.clone(), json!({"order": "SEQUENCE"})),
            vec![q(d1), p(d2), q(d3)],
            vec!["STEP_NOT_OPEN", "PROGRESS", "GRANTED"],
        ),
        ("one of two", quest(two, json!({"atLeast": 1})), vec![q(d1)], vec!["GRANTED"]),
        (
            "rolling window",
            quest(three.clone(), json!({"window": {"rolling": "P2D"}})),
            vec![p(d1), p(d2), p(d3), p(d3), p(d3)],
            vec!["PROGRESS", "PROGRESS", "PROGRESS", "PROGRESS", "GRANTED"],
        ),
        (
            "calendar window",
            quest(three.clone(), json!({"window": {"calendar": "MONTH"}})),
            vec![p(d1), p(d2), p(d9), p(d9), p(d9)],
            vec!["PROGRESS", "PROGRESS", "PROGRESS", "PROGRESS", "GRANTED"],
        ),
        (
            "fixed window",
            quest(three.clone(), json!({"window": {"fixed": {"from": d2, "to": d9}}})),
            vec![p(d1), p(d2), p(d9)],
            vec!["OUTSIDE_WINDOW", "PROGRESS", "OUTSIDE_WINDOW"],
        ),
        (
            "repeat with cooldown",
            quest(json!([{"id": "a", "on": ["p"]}]), json!({"repeat": {"cooldown": "P2D"}})),
            vec![p(d1), p(d2), p(d3)],
            vec!["GRANTED", "COOLDOWN", "GRANTED"],
        ),
    ]);
}

#[test]
fn a_quest_refused_by_a_limit_closes_or_is_paid_later() {
    let quest = |on_limit: &str| json!({"steps": [{"id": "a", "on": ["p"]}], "repeat": {"max": 9}, "onLimit": on_limit, "rewards": points(5)});
    for (on_limit, next_day) in
        [("CLOSE", vec!["GRANTED"]), ("RETRY", vec!["GRANTED", "COMPLETED_UNPAID"])]
    {
        let mut config = config(&[quest(on_limit)]);
        config.user_limit.max_per_day = Some(1);
        let mut world = World::new(&config);
        assert_eq!(
            reasons(&world.send("ada", "p", "2026-03-02T10:00:00Z", json!({}))),
            ["GRANTED"]
        );
        let refused = world.send("ada", "p", "2026-03-02T11:00:00Z", json!({}));
        assert_eq!(reasons(&refused), ["COMPLETED_UNPAID"]);
        assert_eq!(refused.considered[0].numbers, Some((Decimal::ONE, Decimal::ONE)));
        let next = world.send("ada", "p", "2026-03-03T11:00:00Z", json!({}));
        assert_eq!(reasons(&next), next_day, "{on_limit}");
        let cycles: Vec<_> = world
            .working
            .changes
            .completions
            .iter()
            .filter(|(_, c)| c.step.is_none())
            .map(|(_, c)| (c.cycle, c.unpaid_reason))
            .collect();
        assert_eq!(cycles[1], (2, Some("LIMIT_USER_DAY")));
    }
}

#[test]
fn campaigns_compete_by_priority_then_age() {
    let rule = json!({"on": ["p"], "rewards": points(1)});
    let mut config = config(&[rule.clone(), rule.clone(), rule]);
    config.campaigns[2].priority = 9;
    config.user_limit.max_per_day = Some(2);
    let mut world = World::new(&config);
    let outcome = world.send("ada", "p", T1, json!({}));
    let order: Vec<_> = outcome.considered.iter().map(|c| (c.number, c.reason.as_str())).collect();
    assert_eq!(order, [(3, "GRANTED"), (1, "GRANTED"), (2, "LIMIT_USER_DAY")]);
}

#[test]
fn progress_in_ended_campaigns_is_forgotten_and_in_paused_ones_kept() {
    let rule = json!({"on": ["p"], "repeat": {"max": 1}, "rewards": points(1)});
    let mut config = config(&[rule.clone(), rule.clone(), rule]);
    let mut world = World::new(&config);
    world.send("ada", "p", T1, json!({}));
    config.dormant = vec![campaign_id(2)];
    config.campaigns.retain(|c| c.number == 1);
    world.rules = TenantRules::compile(&config).0;
    world.send("ada", "p", T1, json!({}));
    let ada = user_id(TENANT, &"ada".parse().expect("a reference"));
    let kept: Vec<_> = world.working.users[&ada].stored.state.campaigns.keys().copied().collect();
    assert_eq!(kept, [campaign_id(1), campaign_id(2)]);
}

#[test]
fn outcomes_survive_storage() {
    let outcome = EventOutcome {
        status: Status::Decided,
        grants: 1,
        considered: vec![
            Considered {
                campaign: campaign_id(3),
                number: 3,
                version: 2,
                reason: Reason::Granted,
                numbers: None,
            },
            Considered {
                campaign: campaign_id(5),
                number: 5,
                version: 1,
                reason: Reason::LimitUserDay,
                numbers: Some((10.into(), 10.into())),
            },
        ],
    };
    let stored = outcome.to_stored();
    assert_eq!(
        stored,
        r#"{"s":"DECIDED","g":1,"c":[[3,2,"GRANTED"],[5,1,"LIMIT_USER_DAY","10","10"]]}"#
    );
    let read = StoredOutcome::parse(&stored).expect("it reads back");
    assert_eq!((read.status, read.grants, read.lines.len()), (Status::Decided, 1, 2));
    assert_eq!(read.lines[1].numbers, Some((10.into(), 10.into())));
}

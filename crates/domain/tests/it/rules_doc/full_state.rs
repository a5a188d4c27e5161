//! Users with more in progress than their row may hold are refused with `USER_STATE_FULL`, and the
//! row keeps to its bound: one that passed it could not be committed, and would stop the log.

use std::collections::BTreeMap;

use domain::decide::Reason;
use domain::event::RecordKind;
use domain::rule::CampaignType;
use domain::time::{DAY_US, Timestamp};
use serde_json::{Value, json};

use super::world::{CampaignDoc, Decided, Sent, Setting, run};

fn campaign(name: &str, rule: &Value) -> CampaignDoc {
    let kind = if rule.get("steps").is_some() { CampaignType::Quest } else { CampaignType::Simple };
    CampaignDoc {
        name: name.to_owned(),
        rule: rule.to_string(),
        kind,
        priority: 0,
        start_at: None,
        end_at: None,
        cohort: None,
    }
}

fn points() -> Value {
    json!([{"type": "POINTS", "amount": {"formula": "event.x / 3"}}])
}

/// A quest in which one event moves on many steps at once.
fn wide_quest(n: usize, steps: usize) -> Value {
    let steps: Vec<Value> = (0..steps)
        .map(|i| {
            let id = format!("\"{n}-{i}-{}", "é".repeat(30));
            json!({"id": id, "on": ["p"], "goal": {"sum": {"of": "event.x / 7", "target": 1000}}})
        })
        .collect();
    json!({"steps": steps, "rewards": points()})
}

/// A quest that is completed by each event and waits for payment.
fn patient_quest() -> Value {
    json!({
        "steps": [{"id": "s", "on": ["p"]}],
        "repeat": {"max": 1_000_000, "cooldown": "PT1S"},
        "onLimit": "RETRY",
        "rewards": points(),
    })
}

/// A campaign that keeps a number for each day of a year.
fn daily() -> Value {
    let budget = |id: &str, days: u32| {
        json!({
            "id": id, "measure": "AMOUNT", "currency": "POINTS", "scope": "USER",
            "per": "ROLLING", "days": days, "max": 1_000_000,
        })
    };
    json!({
        "on": ["p", "action.*"],
        "repeat": {"max": 5, "per": "DAY", "cooldown": "PT1S"},
        "rewards": points(),
        "budgets": [budget("a", 366), budget("b", 90)],
    })
}

fn plain() -> Value {
    json!({"on": ["p", "action.*"], "rewards": points()})
}

/// Two users through a year and more: one does everything, the other a little now and then.
fn events() -> Vec<Sent> {
    let start: Timestamp = "2026-01-01T10:00:00Z".parse().expect("a time");
    let event = |action: String, user: &str, at: Timestamp| Sent {
        action,
        ts: at,
        arrived: at,
        user: user.to_owned(),
        payload: r#"{"x": 1.1}"#.to_owned(),
        kind: RecordKind::Live,
    };
    let mut events = Vec::new();
    for day in 0..400 {
        let at = start.plus_micros(day * DAY_US);
        events.push(event("p".to_owned(), "busy", at));
        events.push(event("p".to_owned(), "busy", at.plus_micros(2_000_000)));
        events.push(event(
            format!("action.{day}.{}", "x".repeat(50)),
            "busy",
            at.plus_micros(5_000_000),
        ));
        if day % 100 == 0 {
            events.push(event("action.calm".to_owned(), "calm", at.plus_micros(6_000_000)));
        }
    }
    events
}

fn reasons(decided: &[Decided]) -> BTreeMap<Reason, u32> {
    let mut reasons = BTreeMap::new();
    for considered in decided.iter().flat_map(|d| &d.outcome.considered) {
        *reasons.entry(considered.reason).or_default() += 1;
    }
    reasons
}

/// How often the busy and the calm user met each reason. The store asserts the bound.
fn met(campaigns: &[(&str, Value)], setting: &Setting) -> [BTreeMap<Reason, u32>; 2] {
    let campaigns: Vec<CampaignDoc> =
        campaigns.iter().map(|(name, rule)| campaign(name, rule)).collect();
    let events = events();
    let decided = run(&campaigns, setting, &events, 50);
    ["busy", "calm"].map(|user| {
        let own = events.iter().zip(&decided).filter(|(event, _)| event.user == user);
        let own: Vec<&Decided> = own.map(|(_, decided)| decided).collect();
        let mut reasons_of = BTreeMap::new();
        for decided in own {
            for (reason, n) in reasons(std::slice::from_ref(decided)) {
                *reasons_of.entry(reason).or_default() += n;
            }
        }
        reasons_of
    })
}

#[test]
fn a_row_keeps_to_its_bound_whatever_is_in_progress() {
    let wide = |n: usize, steps: usize| (0..n).map(move |i| wide_quest(i, steps));
    let tables: Vec<(&str, Vec<Value>)> = vec![
        ("wide quests", wide(6, 20).collect()),
        ("narrower quests", wide(8, 17).collect()),
        ("narrow quests", wide(12, 9).collect()),
        ("daily budgets", vec![daily(), daily()]),
        ("patient quests", vec![patient_quest(), patient_quest(), daily()]),
        (
            "a little of everything",
            wide(3, 20).chain([daily(), patient_quest(), plain()]).collect(),
        ),
    ];
    let setting = Setting { lateness_us: 30 * DAY_US, ..Setting::default() };
    for (name, rules) in tables {
        let campaigns: Vec<(&str, Value)> = rules.into_iter().map(|rule| (name, rule)).collect();
        let [busy, calm] = met(&campaigns, &setting);
        assert!(busy.contains_key(&Reason::UserStateFull), "{name}: {busy:?}");
        assert!(
            busy.contains_key(&Reason::Granted) || name.ends_with("quests"),
            "{name}: {busy:?}"
        );
        assert!(!calm.contains_key(&Reason::UserStateFull), "{name}: {calm:?}");
    }
    // Limits alone never fill it: a user who earns on each day of a year stays within the bound.
    let [busy, _] = met(&[("plain", plain())], &setting);
    assert!(!busy.contains_key(&Reason::UserStateFull), "{busy:?}");
}

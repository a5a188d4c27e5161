//! The examples of dynamic cohorts.

use std::collections::{BTreeMap, BTreeSet};

use domain::cohort::{Criteria, CriteriaProgram, PastEvent};
use domain::payload::Payload;
use domain::time::{Timestamp, Zone};
use serde_json::json;

use super::blocks::blocks;
use super::case::{event_of, instant};
use super::world::Sent;
use super::{MANUAL, assert_none, parsed};

#[test]
fn cohorts_hold_whom_the_manual_says() {
    let mut program: Option<CriteriaProgram> = None;
    let mut failures = Vec::new();
    let mut compared = 0;
    for block in blocks(MANUAL) {
        let place = format!("docs/rules.md:{}", block.line);
        if block.after("json criteria").is_some() {
            let criteria: Criteria = domain::shape::read(&parsed(&block.text, &place))
                .unwrap_or_else(|faults| panic!("{place}: {faults}"));
            let compiled = CriteriaProgram::compile(&criteria);
            program = Some(compiled.unwrap_or_else(|faults| panic!("{place}: {faults}")));
        } else if block.after("text members").is_some() {
            let program = program.as_ref().expect("criteria before their members");
            for (n, why) in compare(program, &block.text) {
                failures.push(format!("docs/rules.md:{}: {why}", block.line + n));
            }
            compared += 1;
        }
    }
    assert_none(&failures);
    assert!(compared > 0);
}

/// Lines are `user NAME {…}`, events, and `members TIME -> NAMES`.
fn compare(program: &CriteriaProgram, case: &str) -> Vec<(usize, String)> {
    let zone = Zone::named("Europe/Paris").expect("a zone");
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    let mut events: Vec<Sent> = Vec::new();
    let mut failures = Vec::new();
    for (number, text) in (1..).zip(case.lines()) {
        let text = text.split(" # ").next().unwrap_or_default().trim();
        if let Some((time, expected)) =
            text.strip_prefix("members ").and_then(|rest| rest.split_once(" -> "))
        {
            let as_of = instant(time, &zone);
            let members = members(program, &attributes, &events, as_of).join(", ");
            let members = if members.is_empty() { "nobody".to_owned() } else { members };
            if members != expected.trim() {
                failures.push((number, format!("expected {expected}, got {members}")));
            }
        } else if let Some(rest) = text.strip_prefix("user ") {
            let (user, json) = rest.split_once(' ').expect("user NAME {…}");
            attributes.insert(user.to_owned(), json.to_owned());
        } else if !text.is_empty() {
            events.push(event_of(text, &zone, None));
        }
    }
    failures
}

fn members(
    program: &CriteriaProgram,
    attributes: &BTreeMap<String, String>,
    events: &[Sent],
    as_of: Timestamp,
) -> Vec<String> {
    let zone = Zone::named("Europe/Paris").expect("a zone");
    let users: BTreeSet<&String> =
        attributes.keys().chain(events.iter().map(|e| &e.user)).collect();
    let earliest = program.earliest(as_of);
    let is_member = |user: &&String| {
        let mut tallies = program.tallies();
        // As the store reads them: the log so far, and nothing that cannot count.
        let own =
            events.iter().filter(|e| e.user == **user && e.ts >= earliest && e.arrived < as_of);
        for event in own {
            let payload = Payload::parse(&event.payload).expect("a payload");
            let action = event.action.parse().expect("an action");
            let past = PastEvent { action: &action, ts: event.ts, payload: &payload };
            program.add(&mut tallies, past, &zone, as_of);
        }
        let known = attributes.get(*user).map(|json| Payload::parse(json).expect("attributes"));
        program.holds(&tallies, known.as_ref(), &zone, as_of)
    };
    users.into_iter().filter(is_member).cloned().collect()
}

#[test]
fn criteria_that_can_hold_for_nobody_are_refused() {
    let table = [
        (json!({}), "the document says nothing (give user, activity or both)"),
        (json!({"activity": [{}]}), "/activity/0/on is required"),
        (
            json!({"user": "event.amount > 5"}),
            "/user may only look at the user, not at an event (ask for events in activity)",
        ),
        (
            json!({"user": "user.age > 5 &&"}),
            "/user the text ends where a value or the rest of one should follow, at character 16",
        ),
        (
            json!({"user": "inCohort(\"0199f3a8-0000-7000-8000-00000000000a\")"}),
            "/user cannot ask for another cohort (ask for events in activity)",
        ),
        (
            json!({"activity": [{"on": ["p"], "when": "user.tier == \"gold\""}]}),
            "/activity/0/when may only look at the event, not at the user (ask for attributes in user)",
        ),
        (
            json!({"activity": [{"on": ["p"], "sum": {"of": "user.age", "min": 1}}]}),
            "/activity/0/sum/of may only look at the event, not at the user (ask for attributes in user)",
        ),
        (
            json!({"activity": [{"on": ["p"], "sum": {"of": "event.x"}}]}),
            "/activity/0/sum says nothing (give min, max or both)",
        ),
        (
            json!({"activity": [{"on": ["p"], "count": {"min": 5, "max": 2}}]}),
            "/activity/0/count/min is above max",
        ),
        (
            json!({"activity": [{"on": ["p"], "last": {}}]}),
            "/activity/0/last says nothing (give within, before or both)",
        ),
        (
            json!({"activity": [{"on": ["p"], "first": {"within": "P30D", "before": "P60D"}}]}),
            "/activity/0/first/within must be longer than before, or nothing lies between them",
        ),
        (
            json!({"activity": [{"on": ["p"], "from": "2026-02-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}]}),
            "/activity/0/to must be after from",
        ),
    ];
    for (document, expected) in table {
        let read = domain::shape::read::<Criteria>(&document);
        let faults = read.and_then(|criteria| CriteriaProgram::compile(&criteria).map(drop));
        assert_eq!(faults.expect_err("refused").to_string(), expected, "{document}");
    }
}

//! Rule documents: what is refused, and that the rest survives storage.

use serde_json::{Value, json};

use super::*;
use crate::compile::check_rule;

/// All that is wrong with a document: `pointer CODE detail (hint)`.
fn faults(document: &Value) -> Vec<String> {
    let kind = match document.get("steps") {
        Some(_) => CampaignType::Quest,
        None => CampaignType::Simple,
    };
    let Err(faults) = check_rule(document, kind) else { return Vec::new() };
    let line = |fault: &crate::shape::Fault| {
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{} {} {}{hint}", fault.pointer, fault.code, fault.detail)
    };
    faults.list().iter().map(line).collect()
}

/// Puts a value at a pointer; `"-"` takes the field out.
fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = document.pointer_mut(parent).expect("the parent is there");
    match parent {
        Value::Object(object) if value == "-" => _ = object.remove(name),
        Value::Object(object) => _ = object.insert(name.to_owned(), value),
        Value::Array(items) => items[name.parse::<usize>().expect("an index")] = value,
        other => panic!("{pointer} leads into {other}"),
    }
}

fn simple() -> Value {
    json!({
        "on": ["purchase"],
        "when": "event.amount > 10",
        "rewards": [{"type": "CASHBACK", "currency": "EUR", "amount": {"percent": {"rate": 5, "of": "event.amount"}}}],
        "budgets": [{"id": "all", "measure": "AMOUNT", "currency": "EUR", "max": 1000}],
        "repeat": {"max": 3, "per": "DAY"},
        "schedule": {"weekdays": ["MON"], "timeOfDay": {"from": "10:00", "to": "12:00"}, "season": {"from": "12-01", "to": "01-06"}},
    })
}

fn quest() -> Value {
    json!({
        "steps": [
            {"id": "buy", "on": ["purchase"], "goal": {"sum": {"of": "event.amount", "target": 100}}},
            {"id": "review", "on": ["review"], "goal": {"count": 2}},
        ],
        "window": {"rolling": "P30D"},
        "rewards": [{"type": "POINTS", "amount": 100}],
    })
}

/// What spoils a good document, and the faults it must give; none where it does not spoil it.
const REFUSED: &str = include_str!("../../tests/rules/refused.json");

#[test]
fn mistakes_are_told_with_their_place_and_a_hint() {
    let table = crate::shape::parse(REFUSED.as_bytes()).expect("JSON");
    for (group, table) in table.as_object().expect("groups") {
        let good = match table["base"].as_str() {
            Some("simple") => simple(),
            _ => quest(),
        };
        assert_eq!(faults(&good), [""; 0], "the unspoilt document");
        for row in table["rows"].as_array().expect("rows") {
            let mut document = good.clone();
            for (pointer, value) in row["put"].as_object().expect("pointers and values") {
                put(&mut document, pointer, value.clone());
            }
            let expected: Vec<&str> = row["faults"]
                .as_array()
                .expect("a list of faults")
                .iter()
                .map(|fault| fault.as_str().expect("a text"))
                .collect();
            assert_eq!(faults(&document), expected, "{group}: {row}");
        }
    }
}

#[test]
fn what_is_no_document_at_all() {
    for (document, expected) in [
        (json!(null), " WRONG_TYPE must be an object, not null"),
        (json!([]), " WRONG_TYPE must be an object, not a list"),
        (json!("on: [purchase]"), " WRONG_TYPE must be an object, not text"),
        (json!(5), " WRONG_TYPE must be an object, not a number"),
    ] {
        assert_eq!(faults(&document), [expected], "{document}");
    }
    // A quest's rule for a SIMPLE campaign, and the other way round.
    let fault =
        |document: &Value, kind| check_rule(document, kind).expect_err("refused").to_string();
    assert!(fault(&quest(), CampaignType::Simple).contains("/steps is not a known field"));
    assert!(fault(&simple(), CampaignType::Quest).contains("/steps is required"));
}

/// Every field of both shapes, most with what is not the default.
fn full() -> [Value; 2] {
    let reward = json!({
        "type": "COUPON", "currency": "EUR", "amount": {"perStep": {"give": "2", "each": "10", "of": "event.x"}},
        "min": "1", "max": "9.5", "round": {"places": 1, "mode": "DOWN"},
        "code": {"generated": {"prefix": "A-", "length": 12}},
    });
    let shared = json!({
        "schedule": {
            "zone": "America/New_York", "weekdays": ["MON", "SUN"],
            "timeOfDay": {"from": "22:00", "to": "02:00"}, "season": {"from": "02-29", "to": "03-01"},
        },
        "cohorts": {
            "include": ["0199f3a8-0000-7000-8000-00000000000a"],
            "exclude": ["0199f3a8-0000-7000-8000-00000000000b"],
        },
        "repeat": {"max": 3, "per": "QUARTER", "cooldown": "P1DT2H3M4S"},
        "budgets": [
            {"id": "b", "measure": "AMOUNT", "currency": "EUR", "scope": "USER", "per": "ROLLING", "days": 7, "max": "10.5", "onEdge": "CLAMP"},
            {"id": "c", "measure": "COUNT", "max": 3},
        ],
    });
    let mut simple = json!({
        "version": 1, "on": ["a", "b.*"], "when": "event.x > 1\n&& event.y", "firstEver": true,
        "oncePer": "event.id",
        "ladder": [
            {"when": "event.x > 5", "cohort": "0199f3a8-0000-7000-8000-00000000000a", "rewards": [reward]},
            {"rewards": [{"type": "POINTS", "amount": 12.5}]},
        ],
    });
    let mut quest = json!({
        "version": 1, "atLeast": 1, "order": "ANY", "onLimit": "RETRY",
        "steps": [
            {"id": "s", "name": "Sum", "on": ["c"], "when": "event.x > 1", "goal": {"sum": {"of": "event.x", "target": "100.5"}}},
            {"id": "t", "on": ["a"]},
        ],
        "window": {"fixed": {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}},
        "rewards": [reward],
    });
    for document in [&mut simple, &mut quest] {
        let fields = shared.as_object().expect("an object").clone();
        document.as_object_mut().expect("an object").extend(fields);
    }
    [simple, quest]
}

#[test]
fn a_stored_document_reads_as_the_same_rule() {
    let [simple, quest] = full();
    let small = json!({"on": ["a"], "rewards": [{"type": "POINTS", "amount": 1}]});
    for document in [simple, quest, small, self::simple(), self::quest()] {
        let kind = match document.get("steps") {
            Some(_) => CampaignType::Quest,
            None => CampaignType::Simple,
        };
        let rule = check_rule(&document, kind).expect("a good document");
        let stored = rule.to_stored();
        assert!(!stored.to_string().contains("null"), "{stored}");
        // What was written stands in it as it was, but for the form of numbers.
        assert_holds(&stored, &document, "");
        let text = stored.to_string();
        let again = crate::shape::parse(text.as_bytes()).expect("JSON");
        let mut read = check_rule(&again, kind).expect("a stored document is a good one");
        assert_eq!(read.to_stored(), stored);
        match &mut read {
            Rule::Simple(rule) => rule.actions = None,
            Rule::Quest(rule) => rule.actions = None,
        }
        assert_eq!(read, rule);
    }
}

/// Asserts that all of `part` stands in `whole`.
fn assert_holds(whole: &Value, part: &Value, at: &str) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, inner) in part {
                let at = format!("{at}/{name}");
                assert_holds(whole.get(name).unwrap_or_else(|| panic!("{at} is gone")), inner, &at);
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            assert_eq!(whole.len(), part.len(), "{at}");
            whole.iter().zip(part).for_each(|(w, p)| assert_holds(w, p, at));
        }
        // Decimals are stored as texts.
        (Value::String(text), Value::Number(number)) => {
            assert_eq!(text, &number.to_string(), "{at}")
        }
        _ => assert_eq!(whole, part, "{at}"),
    }
}

#[test]
fn the_actions_it_listens_to_are_written_into_it() {
    let [simple, quest] = full();
    let actions = |document: &Value, kind| {
        check_rule(document, kind).expect("a good document").to_stored()["actions"].clone()
    };
    assert_eq!(actions(&simple, CampaignType::Simple), json!(["*", "a"]));
    assert_eq!(actions(&quest, CampaignType::Quest), json!(["a", "c"]));
    let twice = json!({"on": ["b", "a", "b"], "actions": ["lies"], "rewards": [{"type": "POINTS", "amount": 1}]});
    assert_eq!(actions(&twice, CampaignType::Simple), json!(["a", "b"]));
}

#[test]
fn patterns() {
    let table = [
        ("order.paid", "order.paid", true),
        ("order.paid", "order.paid2", false),
        ("order.*", "order.", true),
        ("order.*", "order", false),
        ("order.*", "my.order.paid", false),
        ("*.paid", "order.paid", true),
        ("*.paid", "order.paid.late", false),
        ("a*b*c", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
        ("a*a", "a", false),
        ("*", "anything", true),
        ("*", "$user.updated", false),
        ("$user.*", "$user.updated", true),
        ("$user.updated", "$user.updated", true),
        ("Order.*", "order.paid", false),
    ];
    for (pattern, action, expected) in table {
        let pattern: ActionPattern = pattern.parse().expect("a pattern");
        let action = action.parse().expect("an action");
        assert_eq!(pattern.matches(&action), expected, "{pattern} {action}");
    }
}

#[test]
fn amounts_are_rounded_and_then_bounded() {
    let cases = [
        (json!({}), "1.00005", "1.0001"),
        (json!({"round": {"places": 0}}), "2.5", "3"),
        (json!({"round": {"places": 0, "mode": "HALF_EVEN"}}), "2.5", "2"),
        (json!({"round": {"places": 0, "mode": "DOWN"}}), "2.9", "2"),
        (json!({"round": {"places": 0, "mode": "UP"}}), "2.1", "3"),
        // Rounding never passes a bound.
        (json!({"round": {"places": 0, "mode": "UP"}, "max": 2}), "2.1", "2"),
        (json!({"round": {"places": 0, "mode": "DOWN"}, "min": 3}), "2.9", "3"),
        (json!({"min": 3}), "0.00001", "3"),
        (json!({"type": "CASHBACK", "currency": "EUR"}), "0.125", "0.13"),
        (json!({"type": "CASHBACK", "currency": "EUR"}), "0.004", "0"),
    ];
    for (patch, raw, expected) in cases {
        let mut document = json!({"type": "POINTS", "amount": {"formula": "event.x"}});
        for (name, value) in patch.as_object().expect("an object") {
            document[name] = value.clone();
        }
        let reward: Reward = crate::shape::read(&document).expect("a reward");
        let raw = raw.parse().expect("a number");
        assert_eq!(reward.shape_amount(raw).to_string(), expected, "{document} {raw}");
    }
}

//! The tables of the manual, compared with the code.

use std::collections::BTreeSet;

use domain::decide::{COOLDOWN_GRANTS_MAX, Reason, UNPAID_CYCLES_MAX};
use domain::rule::{AMOUNT_MAX, BUDGET_MAX, QuestRule, SimpleRule};
use domain::shape::schema::document;
use domain::time::Length;
use domain::{cohort, expr, id, limit, payload, shape, state};
use serde_json::Value;

use super::blocks::blocks;
use super::{MANUAL, parsed};

/// The rows of the table under a heading, as cells.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let after = MANUAL.split(&format!("\n{heading}\n")).nth(1).expect("the heading");
    let section = after.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_reason_is_explained() {
    let mut explained = Vec::new();
    for row in table("## Reasons") {
        let [code, meaning, mend] = row.as_slice() else { panic!("three cells, not {row:?}") };
        assert!(meaning.len() > 10 && mend.len() > 10, "{row:?}");
        explained.push(code.trim_matches('`').to_owned());
    }
    let given: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(explained, given);
}

#[test]
fn every_reason_has_an_example() {
    let cases: Vec<String> = blocks(MANUAL)
        .into_iter()
        .filter(|block| block.after("text case").is_some())
        .map(|block| block.text)
        .collect();
    let shown = |reason: &&Reason| cases.iter().any(|case| case.contains(reason.as_str()));
    let missing: Vec<&str> = Reason::ALL.iter().filter(|r| !shown(r)).map(|r| r.as_str()).collect();
    // To fill a user's state takes hundreds of events: see the module `full_state`.
    assert_eq!(missing, ["USER_STATE_FULL"]);
}

/// The bound of a list or text in a schema.
fn bound(schema: &Value, definition: &str, field: &str, bound: &str) -> String {
    let place = format!("/$defs/{definition}/properties/{field}");
    let property = schema.pointer(&place).unwrap_or_else(|| panic!("no {place}"));
    find(property, bound).unwrap_or_else(|| panic!("no {bound} in {property}")).to_string()
}

fn find<'v>(schema: &'v Value, name: &str) -> Option<&'v Value> {
    match schema {
        Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|inner| find(inner, name)))
        }
        Value::Array(items) => items.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

#[test]
fn every_bound_is_the_one_in_force() {
    let simple = document::<SimpleRule>("simple");
    let quest = document::<QuestRule>("quest");
    let criteria = document::<cohort::Criteria>("criteria");
    let days = |seconds: i64| (seconds / 86_400).to_string();
    let expected: Vec<(&str, String)> = vec![
        ("actions and patterns of one `on`", bound(&simple, "SimpleRule", "on", "maxItems")),
        ("bytes of an action code", id::ACTION_BYTES_MAX.to_string()),
        ("bytes of a user id or event id", id::REF_BYTES_MAX.to_string()),
        ("rewards of one grant", bound(&simple, "SimpleRule", "rewards", "maxItems")),
        ("lines of a ladder", bound(&simple, "SimpleRule", "ladder", "maxItems")),
        ("steps of a quest", bound(&quest, "QuestRule", "steps", "maxItems")),
        ("budgets of a campaign", bound(&simple, "SimpleRule", "budgets", "maxItems")),
        ("cohorts to include, and to exclude", bound(&simple, "CohortRule", "include", "maxItems")),
        ("activities of a dynamic cohort", bound(&criteria, "Criteria", "activity", "maxItems")),
        ("characters of the id of a step or budget", bound(&quest, "Step", "id", "maxLength")),
        ("largest amount of one reward", AMOUNT_MAX.to_string()),
        ("largest cap of a budget", BUDGET_MAX.to_string()),
        ("days of a ROLLING budget", limit::WINDOW_DAYS_MAX.to_string()),
        ("days of a cooldown or rolling window", days(Length::MAX_SECONDS)),
        ("bytes of a condition or formula", expr::TEXT_BYTES_MAX.to_string()),
        (
            "parts of a condition or formula: fields, literals, operators, calls",
            expr::NODES_MAX.to_string(),
        ),
        ("levels of nesting of a condition or formula", expr::DEPTH_MAX.to_string()),
        ("steps of a path such as `event.basket.total`", expr::STEPS_MAX.to_string()),
        ("different fields that all rules of a tenant read", expr::FIELDS_MAX.to_string()),
        ("list items that one evaluation goes through", expr::WORK_MAX.to_string()),
        ("significant digits of a number", payload::DIGITS_MAX.to_string()),
        ("bytes of a payload", payload::TEXT_BYTES_MAX.to_string()),
        ("levels of nesting of a payload", payload::DEPTH_MAX.to_string()),
        ("levels of nesting of a rule document", shape::DEPTH_MAX.to_string()),
        ("faults reported at once", shape::FAULTS_MAX.to_string()),
        ("bytes of what is in progress for one user", state::STATE_BYTES_MAX.to_string()),
        (
            "kinds of action remembered per user for `firstEver`",
            state::SEEN_ACTIONS_MAX.to_string(),
        ),
        ("bytes of their codes", state::SEEN_BYTES_MAX.to_string()),
        ("grants that a cooldown looks back on", COOLDOWN_GRANTS_MAX.to_string()),
        (
            "completed cycles per user and quest that wait for payment",
            UNPAID_CYCLES_MAX.to_string(),
        ),
    ];
    let table = table("## Bounds");
    let listed: Vec<(&str, String)> = table
        .iter()
        .map(|row| match row.as_slice() {
            // Thousands are set apart by commas for people.
            [what, bound] => (*what, bound.replace(',', "")),
            _ => panic!("two cells, not {row:?}"),
        })
        .collect();
    assert_eq!(listed, expected);
}

/// The names of all fields and words of a schema.
fn names(schema: &Value, fields: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                fields.extend(properties.keys().cloned());
            }
            for word in object.get("enum").and_then(Value::as_array).into_iter().flatten() {
                words.extend(word.as_str().map(str::to_owned));
            }
            words.extend(object.get("const").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|inner| names(inner, fields, words));
        }
        Value::Array(items) => items.iter().for_each(|inner| names(inner, fields, words)),
        _ => {}
    }
}

/// The names of all fields, and all texts, of a document.
fn used(document: &Value, fields: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    match document {
        Value::Object(object) => {
            fields.extend(object.keys().cloned());
            object.values().for_each(|inner| used(inner, fields, words));
        }
        Value::Array(items) => items.iter().for_each(|inner| used(inner, fields, words)),
        Value::String(text) => _ = words.insert(text.clone()),
        _ => {}
    }
}

#[test]
fn every_field_and_word_of_the_language_stands_in_an_example() {
    let (mut fields, mut words) = (BTreeSet::new(), BTreeSet::new());
    for schema in [
        document::<SimpleRule>("simple"),
        document::<QuestRule>("quest"),
        document::<cohort::Criteria>("criteria"),
    ] {
        names(&schema, &mut fields, &mut words);
    }
    let (mut used_fields, mut used_words) = (BTreeSet::new(), BTreeSet::new());
    for block in blocks(MANUAL) {
        if block.after("json rule").is_some() || block.after("json criteria").is_some() {
            used(&parsed(&block.text, "an example"), &mut used_fields, &mut used_words);
        }
    }
    // The server writes this one.
    fields.remove("actions");
    let missing: Vec<&String> = fields.difference(&used_fields).collect();
    assert!(missing.is_empty(), "fields without an example: {missing:?}");
    let missing: Vec<&String> = words.difference(&used_words).collect();
    assert!(missing.is_empty(), "words without an example: {missing:?}");
}

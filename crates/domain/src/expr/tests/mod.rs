//! Tests of the expression language.

mod constructs;
mod errors;
mod explained;
mod naive;

use super::*;
use crate::payload::Payload;
use crate::time::{Timestamp, Zone};

/// A cohort that the user of the tests belongs to.
const GOLD: &str = "0192f0c1-0000-7000-8000-000000000001";
/// And one that the user does not.
const SILVER: &str = "0192f0c1-0000-7000-8000-000000000002";

const EVENT: &str = r#"{
    "amount": 120.50, "quantity": 3, "zero": 0, "negative": -2.5, "tiny": 0.01,
    "country": "FR", "category": "books", "empty": "", "city": "Besançon",
    "gift": true, "returned": false, "nothing": null,
    "at": "2026-11-21T23:30:00Z", "big": 9999999999999999999999999999,
    "basket": {"total": 99.99, "my key": {"x": 7}, "action": "inner"},
    "tags": ["new", "sale"], "numbers": [1, 2.5, 3], "mixed": [1, "a", null], "none": [],
    "items": [
        {"sku": "B-1", "price": 10.00, "quantity": 2, "tags": ["new"]},
        {"sku": "T-7", "price": 5.5, "quantity": 1, "tags": []},
        {"sku": "B-2", "price": 30, "quantity": 1, "gift": true, "tags": ["sale", "new"]}
    ],
    "holes": [{"price": 1}, {}, {"price": "x"}]
}"#;
const USER: &str = r#"{"tier": "gold", "age": 34, "address": {"country": "DE"}}"#;

/// Evaluates a text for the event of the tests, a Saturday in UTC and already Sunday in Paris.
fn run(text: &str) -> Result<String, String> {
    run_with(text, EVENT, Some(USER))
}

fn run_with(text: &str, event: &str, user: Option<&str>) -> Result<String, String> {
    let mut fields = Fields::new();
    let expr = compile(text, &mut fields, Want::Any)
        .map_err(|errors| format!("does not compile: {}", errors[0]))?;
    let payload = Payload::parse(event).unwrap();
    let user = user.map(|user| Payload::parse(user).unwrap());
    let zone = Zone::named("Europe/Paris").unwrap();
    let cohorts = [GOLD.parse().unwrap()];
    let facts = Facts {
        payload: &payload,
        user: user.as_ref(),
        action: "purchase",
        ts: "2026-11-21T23:30:15.5Z".parse::<Timestamp>().unwrap(),
        zone: &zone,
        cohorts: &cohorts,
    };
    let scope = Scope::new(&fields, facts);
    let value = expr.value(&scope);
    let verdict = expr.holds(&scope);
    match &value {
        Ok(Value::Bool(holds)) => assert_eq!(verdict, (*holds).into(), "{text}"),
        Ok(_) => assert_eq!(verdict.as_code(), "TYPE_MISMATCH", "{text}"),
        Err(why) => assert_eq!(verdict, Verdict::Unknown(*why), "{text}"),
    }
    match value {
        Ok(value) => Ok(crate::payload::show(&value, 500)),
        Err(why) => Err(format!("{}: {}", why.code(), why.describe(&fields))),
    }
}

impl Verdict {
    fn as_code(self) -> &'static str {
        match self {
            Self::True => "TRUE",
            Self::False => "FALSE",
            Self::Unknown(why) => why.code(),
        }
    }
}

/// Checks a table of texts and the JSON of their values.
fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(run(text).as_deref(), Ok(*expected), "{text}");
    }
}

/// Checks a table of texts that have no value, and why.
fn check_unknown(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(run(text).as_ref().map_err(String::as_str), Err(*expected), "{text}");
    }
}

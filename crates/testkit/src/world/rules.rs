//! Random rules, every construct of them.

use domain::config::CampaignSource;
use domain::id::CohortId;
use domain::time::Timestamp;
use serde_json::{Map, Value, json};

use super::COHORTS;
use super::events::Span;
use crate::random::Random;

pub(super) fn simple(dice: &mut Random) -> Value {
    let mut rule = Map::new();
    rule.insert("on".into(), on(dice));
    let optional = |dice: &mut Random, one_in: u64, make: fn(&mut Random) -> Value| {
        dice.one_in(one_in).then(|| make(dice))
    };
    let parts: [(&str, Option<Value>); 6] = [
        ("when", optional(dice, 2, |d| condition(d, 2).into())),
        ("schedule", optional(dice, 8, schedule)),
        ("cohorts", optional(dice, 8, cohorts)),
        ("firstEver", optional(dice, 10, |_| true.into())),
        ("oncePer", optional(dice, 5, once_per)),
        ("repeat", optional(dice, 3, repeat)),
    ];
    rule.extend(parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
    if dice.one_in(3) {
        let lines: Vec<Value> = (0..1 + dice.below(3)).map(|_| ladder_line(dice)).collect();
        rule.insert("ladder".into(), lines.into());
    } else {
        rule.insert("rewards".into(), rewards(dice));
    }
    let mut rule = Value::from(rule);
    rule["budgets"] = budgets(dice, &rule);
    rule
}

pub(super) fn quest(dice: &mut Random, span: &Span) -> Value {
    let count = 1 + dice.below(3);
    let steps: Vec<Value> = (0..count).map(|n| step(dice, n)).collect();
    let mut rule = json!({ "steps": steps, "rewards": rewards(dice) });
    rule["budgets"] = budgets(dice, &rule);
    let sequence = dice.one_in(3);
    let mut put = |name: &str, value: Value| rule[name] = value;
    if sequence {
        put("order", "SEQUENCE".into());
    } else if dice.one_in(2) {
        put("atLeast", (1 + dice.below(count)).into());
    }
    if dice.one_in(2) {
        put("window", window(dice, span));
    }
    if dice.one_in(8) {
        put("schedule", schedule(dice));
    }
    if dice.one_in(8) {
        put("cohorts", cohorts(dice));
    }
    if !dice.one_in(4) {
        put("repeat", repeat(dice));
    }
    if dice.one_in(2) {
        put("onLimit", "RETRY".into());
    }
    rule
}

fn step(dice: &mut Random, number: u64) -> Value {
    let mut step = json!({ "id": format!("s{number}"), "on": on(dice) });
    if dice.one_in(3) {
        step["when"] = condition(dice, 1).into();
    }
    if !dice.one_in(3) {
        goal(dice, &mut step);
    }
    step
}

fn goal(dice: &mut Random, step: &mut Value) {
    step["goal"] = match dice.below(2) {
        0 => json!({ "count": 1 + dice.below(4) }),
        _ => json!({ "sum": { "of": number_text(dice), "target": 1 + dice.below(150) } }),
    };
}

/// Gives some steps of a quest another goal, as an edit of a running quest may.
#[expect(clippy::expect_used, reason = "the rule was written here")]
pub(super) fn change_goals(dice: &mut Random, quest: &mut CampaignSource) {
    let mut rule: Value = serde_json::from_str(&quest.rule_json).expect("a rule");
    for step in rule["steps"].as_array_mut().into_iter().flatten() {
        if dice.one_in(2) {
            goal(dice, step);
        }
    }
    quest.rule_json = rule.to_string();
    quest.version += 1;
}

fn window(dice: &mut Random, span: &Span) -> Value {
    match dice.below(3) {
        0 => json!({ "rolling": dice.pick(&["PT2H", "P1D", "P3D", "P30D"]) }),
        1 => json!({ "calendar": dice.pick(&["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"]) }),
        _ => {
            let (a, b) = (span.moment(dice), span.moment(dice));
            let (from, to) = (a.min(b), a.max(b).plus_micros(1));
            json!({ "fixed": { "from": text(from), "to": text(to) } })
        }
    }
}

fn text(at: Timestamp) -> String {
    at.to_string()
}

fn on(dice: &mut Random) -> Value {
    match dice.below(6) {
        0 => json!(["*"]),
        1 => json!(["order.*"]),
        2 => json!(["order.paid", "purchase"]),
        3 => json!(["*p*d*", "login"]),
        _ => json!(["purchase"]),
    }
}

fn schedule(dice: &mut Random) -> Value {
    let mut schedule = Map::new();
    if dice.one_in(3) {
        schedule
            .insert("zone".into(), (*dice.pick(&["UTC", "Asia/Tokyo", "America/New_York"])).into());
    }
    if dice.one_in(2) {
        let days = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
        let from = usize::try_from(dice.below(7)).unwrap_or(0);
        let days: Vec<&str> = days.into_iter().cycle().skip(from).step_by(2).take(4).collect();
        schedule.insert("weekdays".into(), json!(days));
    }
    if dice.one_in(2) {
        let hours = ["00:00", "02:30", "06:00", "12:00", "22:00"];
        schedule.insert(
            "timeOfDay".into(),
            json!({ "from": dice.pick(&hours), "to": dice.pick(&hours) }),
        );
    }
    if dice.one_in(3) {
        let days = ["01-01", "02-29", "03-31", "11-04", "12-31"];
        schedule
            .insert("season".into(), json!({ "from": dice.pick(&days), "to": dice.pick(&days) }));
    }
    schedule.into()
}

fn cohorts(dice: &mut Random) -> Value {
    let some = |dice: &mut Random| -> Vec<String> {
        let chosen: Vec<&CohortId> = COHORTS.iter().filter(|_| dice.one_in(3)).collect();
        chosen.into_iter().map(ToString::to_string).collect()
    };
    json!({ "include": some(dice), "exclude": some(dice) })
}

fn once_per(dice: &mut Random) -> Value {
    let texts = ["event.sku", "event.category", "date(event.ts)", "event.amount", "event.items"];
    (*dice.pick(&texts)).into()
}

fn repeat(dice: &mut Random) -> Value {
    let mut repeat = Map::new();
    let cooldown = dice.one_in(3);
    if !cooldown || dice.one_in(2) {
        repeat.insert("max".into(), (1 + dice.below(4)).into());
        let per = dice.pick(&["DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "EVER"]);
        repeat.insert("per".into(), (*per).into());
    }
    if cooldown {
        repeat.insert("cooldown".into(), (*dice.pick(&["PT30M", "PT6H", "P1D", "P9D"])).into());
    }
    repeat.into()
}

fn ladder_line(dice: &mut Random) -> Value {
    let mut line = json!({ "rewards": rewards(dice), "when": condition(dice, 1) });
    if dice.one_in(4) {
        line["cohort"] = dice.pick(&COHORTS).to_string().into();
    }
    line
}

fn rewards(dice: &mut Random) -> Value {
    let count = if dice.one_in(3) { 2 + dice.below(2) } else { 1 };
    (0..count).map(|_| reward(dice)).collect::<Vec<_>>().into()
}

fn reward(dice: &mut Random) -> Value {
    let amount = match dice.below(5) {
        0 | 1 => json!(format!("{}.{}", 1 + dice.below(20), dice.below(100))),
        2 => {
            json!({ "percent": { "rate": dice.pick(&["2.5", "10", "33.333"]), "of": number_text(dice) } })
        }
        3 => {
            json!({ "perStep": { "give": "2", "each": dice.pick(&["10", "7.5"]), "of": number_text(dice) } })
        }
        _ => json!({ "formula": number_text(dice) }),
    };
    let amount_is_constant = amount.is_string();
    let mut reward = match dice.below(5) {
        0 => {
            json!({ "type": "CASHBACK", "currency": dice.pick(&["EUR", "USD"]), "amount": amount })
        }
        1 => {
            let code = json!({ "generated": { "prefix": "S#-", "length": 8 + dice.below(13) } });
            json!({ "type": "COUPON", "currency": "EUR", "amount": amount, "code": code })
        }
        _ => json!({ "type": "POINTS", "amount": amount }),
    };
    // Bounds and constants have no more places than the rounding keeps.
    let whole = dice.one_in(3);
    if whole {
        let mode = dice.pick(&["HALF_UP", "HALF_EVEN", "DOWN", "UP"]);
        let places = if amount_is_constant { 2 + dice.below(2) } else { dice.below(4) };
        reward["round"] = json!({ "places": places, "mode": mode });
    }
    if dice.one_in(4) {
        reward["min"] = (*dice.pick(if whole { &["1", "3"] } else { &["0.5", "2.75"] })).into();
    }
    if dice.one_in(4) {
        reward["max"] = (*dice.pick(if whole { &["3", "25"] } else { &["3", "7.25"] })).into();
    }
    reward
}

fn budgets(dice: &mut Random, rule: &Value) -> Value {
    let mut currencies = Vec::new();
    granted(rule, &mut currencies);
    let count = if dice.one_in(2) { 0 } else { 1 + dice.below(2) };
    (0..count).map(|n| budget(dice, n, &currencies)).collect::<Vec<_>>().into()
}

/// The currencies of all rewards in a rule.
fn granted(rule: &Value, currencies: &mut Vec<String>) {
    match rule {
        Value::Object(object) if object.contains_key("type") => {
            let currency = object.get("currency").and_then(Value::as_str).unwrap_or("POINTS");
            currencies.push(currency.to_owned());
        }
        Value::Object(object) => object.values().for_each(|value| granted(value, currencies)),
        Value::Array(items) => items.iter().for_each(|item| granted(item, currencies)),
        _ => {}
    }
}

fn budget(dice: &mut Random, number: u64, currencies: &[String]) -> Value {
    let per =
        *dice.pick(&["DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "TOTAL", "ROLLING", "ROLLING"]);
    let scope = dice.pick(&["CAMPAIGN", "USER"]);
    let mut budget = json!({ "id": format!("b{number}"), "scope": scope, "per": per });
    if per == "ROLLING" {
        budget["days"] = (*dice.pick(&[1, 2, 3, 7, 90, 366])).into();
    }
    if dice.one_in(3) {
        budget["measure"] = "COUNT".into();
        budget["max"] = (1 + dice.below(9)).into();
    } else {
        budget["measure"] = "AMOUNT".into();
        budget["currency"] = dice.pick(currencies).as_str().into();
        budget["max"] = format!("{}.{}", 3 + dice.below(60), dice.below(10)).into();
        budget["onEdge"] = (*dice.pick(&["REJECT", "CLAMP"])).into();
    }
    budget
}

/// An expression that gives a number, or would, were the event as the rule expects.
fn number_text(dice: &mut Random) -> String {
    let texts = [
        "event.amount",
        "event.amount",
        "event.amount * 2 - 3",
        "event.amount / event.quantity",
        "default(event.amount, 5)",
        "min(event.amount, 40)",
        "sum(event.items.map(i, i.price))",
        "size(event.items) + 1",
        "floor(event.amount) % 7",
        "hour(event.ts)",
        "has(user.age) ? user.age : 3",
        "round(event.amount * 0.015, 2)",
    ];
    (*dice.pick(&texts)).to_owned()
}

/// An expression that holds or not, or cannot be told.
fn condition(dice: &mut Random, depth: u64) -> String {
    if depth > 0 && dice.one_in(2) {
        let (a, b) = (condition(dice, depth - 1), condition(dice, depth - 1));
        return match dice.below(4) {
            0 => format!("({a}) && ({b})"),
            1 => format!("({a}) || ({b})"),
            2 => format!("!({a})"),
            _ => format!("({a}) ? ({b}) : true"),
        };
    }
    let texts = [
        "event.amount >= 20",
        "event.amount < 75.5",
        "event.amount > event.quantity",
        "event.category == \"books\"",
        "event.category in [\"books\", \"music\"]",
        "event.category.lower().startsWith(\"b\")",
        "event.sku != 1",
        "has(event.items) && event.items.exists(i, i.price > 10)",
        "event.items.all(i, i.price < 25)",
        "user.tier == \"gold\"",
        "default(user.age, 18) >= 18",
        "weekday(event.ts) in [\"SAT\", \"SUN\"]",
        "hour(event.ts, \"America/New_York\") < 12",
        "dayOfMonth(event.ts) == daysInMonth(event.ts)",
        "event.action == \"purchase\"",
        "event.ts < timestamp(\"2024-06-01T00:00:00Z\")",
        "event.amount / event.quantity > 10",
        "true",
    ];
    match dice.below(12) {
        0 => format!("inCohort(\"{}\")", dice.pick(&COHORTS)),
        _ => (*dice.pick(&texts)).to_owned(),
    }
}

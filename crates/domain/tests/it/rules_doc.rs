//! The manual of the rule language, run: every example of `docs/rules.md` is compiled and decided,
//! and its tables are compared with the code. The catalogue of campaigns goes the same way.

mod blocks;
mod case;
mod catalogue;
mod criteria;
mod full_state;
mod tables;
mod world;

use blocks::{Block, blocks};
use domain::compile::check_rule;
use domain::expr::{Facts, Fields, Scope, Want, compile};
use domain::payload::{Payload, show};
use domain::rule::CampaignType;
use domain::shape::Faults;
use domain::time::{Timestamp, Zone};
use serde_json::Value;
use world::CampaignDoc;

const MANUAL: &str = include_str!("../../../../docs/rules.md");

/// The kind of a rule document, told by its form.
fn kind_of(document: &Value) -> CampaignType {
    match document.get("steps") {
        Some(_) => CampaignType::Quest,
        None => CampaignType::Simple,
    }
}

fn parsed(text: &str, place: &str) -> Value {
    domain::shape::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{place}: {e}"))
}

/// A campaign from a block `json rule NAME priority=9 startAt=… endAt=… cohort=…`.
fn campaign(block: &Block, words: &str) -> CampaignDoc {
    let place = format!("docs/rules.md:{}", block.line);
    let document = parsed(&block.text, &place);
    let kind = kind_of(&document);
    if let Err(faults) = check_rule(&document, kind) {
        panic!("{place}: {faults}");
    }
    let mut doc = CampaignDoc {
        name: String::new(),
        rule: block.text.clone(),
        kind,
        priority: 0,
        start_at: None,
        end_at: None,
        cohort: None,
    };
    for word in words.split_whitespace() {
        match word.split_once('=') {
            None => doc.name = word.to_owned(),
            Some(("priority", n)) => doc.priority = n.parse().expect("a number"),
            Some(("startAt", at)) => doc.start_at = Some(at.parse().expect("a time")),
            Some(("endAt", at)) => doc.end_at = Some(at.parse().expect("a time")),
            Some(("cohort", id)) => doc.cohort = Some(id.parse().expect("an id")),
            Some(_) => panic!("{place}: {word} means nothing"),
        }
    }
    doc
}

fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn examples_decide_as_the_manual_says() {
    let mut campaigns: Vec<CampaignDoc> = Vec::new();
    let mut cases_since = 0;
    let mut failures = Vec::new();
    for block in blocks(MANUAL) {
        if let Some(words) = block.after("json rule") {
            if cases_since > 0 {
                campaigns.clear();
                cases_since = 0;
            }
            campaigns.push(campaign(&block, words));
        } else if block.after("text case").is_some() {
            cases_since += 1;
            assert!(!campaigns.is_empty(), "docs/rules.md:{}: a case without a rule", block.line);
            let found = case::failures(&campaigns, &block.text);
            let placed =
                found.iter().map(|(n, why)| format!("docs/rules.md:{}: {why}", block.line + n));
            failures.extend(placed);
        }
    }
    assert!(cases_since > 0, "the last rule of the manual has no case");
    assert_none(&failures);
}

#[test]
fn refusals_read_as_the_manual_says() {
    let mut refused: Option<Faults> = None;
    let mut compared = 0;
    for block in blocks(MANUAL) {
        let place = format!("docs/rules.md:{}", block.line);
        if block.after("json refused").is_some() {
            let document = parsed(&block.text, &place);
            refused = check_rule(&document, kind_of(&document)).err();
            assert!(refused.is_some(), "{place}: is not refused");
        } else if block.after("text faults").is_some() {
            let faults = refused.take().unwrap_or_else(|| panic!("{place}: faults of nothing"));
            assert_eq!(block.text.trim_end(), faults.to_string(), "{place}");
            compared += 1;
        }
    }
    assert!(compared > 0);
}

/// What the expressions of the manual look at: a block `json event`.
struct Sample {
    action: String,
    ts: Timestamp,
    payload: String,
    user: String,
}

impl Sample {
    fn read(block: &Block) -> Self {
        let value = parsed(&block.text, "json event");
        let text = |name: &str| value[name].as_str().expect("a text").to_owned();
        Self {
            action: text("action"),
            ts: text("eventTs").parse().expect("a time"),
            payload: value["payload"].to_string(),
            user: value["user"].to_string(),
        }
    }

    /// The value of an expression as JSON, or the reason why there is none.
    fn value(&self, text: &str) -> String {
        let mut fields = Fields::new();
        let expr = match compile(text, &mut fields, Want::Any) {
            Ok(expr) => expr,
            Err(errors) => return format!("refused: {}", errors[0]),
        };
        let payload = Payload::parse(&self.payload).expect("a payload");
        let user = Payload::parse(&self.user).expect("attributes");
        let zone = Zone::named("Europe/Paris").expect("a zone");
        let facts = Facts {
            payload: &payload,
            user: Some(&user),
            action: &self.action,
            ts: self.ts,
            zone: &zone,
            cohorts: &[],
        };
        let scope = Scope::new(&fields, facts);
        match expr.value(&scope) {
            Ok(value) => show(&value, 200),
            Err(why) => format!("unknown, {}", why.describe(&fields)),
        }
    }
}

#[test]
fn expressions_give_what_the_manual_says() {
    let mut sample: Option<Sample> = None;
    let mut failures = Vec::new();
    let mut shown = String::new();
    for block in blocks(MANUAL) {
        if block.after("json event").is_some() {
            sample = Some(Sample::read(&block));
        } else if block.after("text expressions").is_some() {
            let sample = sample.as_ref().expect("an event before the expressions");
            for (n, line) in (1..).zip(block.text.lines()) {
                let Some((text, expected)) = line.split_once(" -> ") else {
                    panic!("docs/rules.md:{}: no ->: {line}", block.line + n)
                };
                let (text, expected) = (text.trim(), expected.trim());
                let given = sample.value(text);
                if given != expected {
                    let line = block.line + n;
                    failures.push(format!(
                        "docs/rules.md:{line}: {text} gives {given}, not {expected}"
                    ));
                }
                shown.push_str(text);
                shown.push('\n');
            }
        }
    }
    assert_none(&failures);
    let functions = domain::expr::function_names().chain([
        "has",
        "exists",
        "all",
        "exists_one",
        "filter",
        "map",
    ]);
    let missing: Vec<&str> =
        functions.filter(|name| !shown.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "functions without an example: {missing:?}");
    let operators = [
        "&&", "||", "!", "==", "!=", " < ", "<=", " > ", ">=", " in ", " + ", " - ", " * ", " / ",
        " % ", " ? ",
    ];
    let missing: Vec<&str> = operators.into_iter().filter(|o| !shown.contains(o)).collect();
    assert!(missing.is_empty(), "operators without an example: {missing:?}");
}

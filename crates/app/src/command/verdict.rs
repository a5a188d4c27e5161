//! A decision for people: each campaign considered, why, and what its conditions saw.

use serde_json::Value;

use crate::output::{Ink, Output};

/// Shows an event's decision. `evidence` is what the expressions of the campaigns saw, as a
/// simulation gives it.
pub fn text(decision: &Value, evidence: Option<&Value>, out: &Output) -> String {
    let mut lines = Vec::new();
    if let Some(event) = decision.get("eventId") {
        lines.push(format!(
            "{} {} by {} at {}  {}",
            out.ink(Ink::Bold, &plain(event)),
            at(decision, "/action"),
            at(decision, "/userId"),
            at(decision, "/eventTs"),
            at(decision, "/payload"),
        ));
    }
    if decision.get("decided") == Some(&Value::Bool(false)) {
        lines.push(out.ink(Ink::Yellow, "not decided yet"));
        return lines.join("\n");
    }
    lines.push(summary(decision, out));
    let campaigns = list(decision, "decisions");
    let width = campaigns.iter().map(|c| name(c).chars().count()).max().unwrap_or(0);
    for campaign in campaigns {
        lines.push(campaign_line(campaign, width, list(decision, "incentives"), out));
        let id = campaign.get("campaignId");
        let theirs = evidence
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|seen| id.is_some() && seen.get("campaignId") == id);
        for seen in theirs {
            expression(seen, 1, &mut lines, out);
        }
    }
    lines.join("\n")
}

/// What the event earned, in one line.
pub fn summary(decision: &Value, out: &Output) -> String {
    let incentives = list(decision, "incentives");
    if incentives.is_empty() {
        let status = at(decision, "/status");
        let why = if status == "DECIDED" { String::new() } else { format!(" ({status})") };
        return out.ink(Ink::Dim, &format!("earned nothing{why}"));
    }
    let earned: Vec<String> = incentives.iter().map(reward).collect();
    out.ink(Ink::Green, &format!("earned {}", earned.join(", ")))
}

/// A reward: `50 POINTS`, with the code of a coupon.
fn reward(incentive: &Value) -> String {
    let code = at(incentive, "/couponCode");
    let code = if code.is_empty() { code } else { format!(" (code {code})") };
    format!("{} {}{code}", at(incentive, "/reward/amount"), at(incentive, "/reward/currency"))
}

fn campaign_line(campaign: &Value, width: usize, incentives: &[Value], out: &Output) -> String {
    let reason = at(campaign, "/reason");
    let (sign, ink) = match reason.as_str() {
        "GRANTED" => ("✓", Ink::Green),
        "PROGRESS" => ("…", Ink::Yellow),
        _ => ("✗", Ink::Dim),
    };
    let earned: Vec<String> = incentives
        .iter()
        .filter(|i| i.get("campaignId") == campaign.get("campaignId") && reason == "GRANTED")
        .map(reward)
        .collect();
    let numbers = match (at(campaign, "/numbers/value"), at(campaign, "/numbers/bound")) {
        (value, bound) if !value.is_empty() => format!("  {value} of {bound}"),
        _ => String::new(),
    };
    let name = format!("{:<width$}", name(campaign));
    let earned = if earned.is_empty() { String::new() } else { format!("  {}", earned.join(", ")) };
    format!("{} {name}  {}{numbers}{earned}", out.ink(ink, sign), out.ink(ink, &reason))
}

/// An expression and its parts, with the values of the fields that it read.
fn expression(seen: &Value, depth: usize, lines: &mut Vec<String>, out: &Output) {
    let (sign, ink) = match at(seen, "/outcome").as_str() {
        "TRUE" => ("✓", Ink::Green),
        "FALSE" => ("✗", Ink::Red),
        "UNKNOWN" => ("?", Ink::Yellow),
        _ => ("=", Ink::Dim),
    };
    let place = at(seen, "/pointer");
    let place = if place.is_empty() { place } else { format!("{}  ", out.ink(Ink::Dim, &place)) };
    let value = at(seen, "/value");
    let value = if value.is_empty() { value } else { format!("  = {value}") };
    let reason = at(seen, "/reason");
    let reason = if reason.is_empty() { reason } else { format!("  ({reason})") };
    // A field alone shows its value already.
    let text = at(seen, "/text");
    let fields: Vec<String> = list(seen, "fields")
        .iter()
        .filter(|field| value.is_empty() || at(field, "/path") != text)
        .map(|field| match field.get("value") {
            Some(Value::String(value)) => format!("{} is {value}", at(field, "/path")),
            _ => format!("{} is missing", at(field, "/path")),
        })
        .collect();
    let fields = match fields.is_empty() {
        true => String::new(),
        false => out.ink(Ink::Dim, &format!("    {}", fields.join(", "))),
    };
    lines.push(format!(
        "{}{} {place}{}{value}{reason}{fields}",
        "    ".repeat(depth),
        out.ink(ink, sign),
        text,
    ));
    for part in list(seen, "parts") {
        expression(part, depth + 1, lines, out);
    }
}

fn name(campaign: &Value) -> String {
    match campaign.get("campaignName").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => at(campaign, "/campaignId"),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text at a place; empty when there is nothing.
fn at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

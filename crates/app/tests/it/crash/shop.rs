//! The shop of the crash test: a tenant with limits, a cohort and campaigns of every kind, and the
//! purchases that it replays.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Caller, Process};

/// The shop as set up.
pub struct Shop {
    pub caller: Caller,
    /// A campaign that is paused and activated again while events flow.
    on_and_off: String,
}

impl Shop {
    /// Pauses that campaign or activates it again.
    pub fn switch(&self, url: &str, verb: &str) {
        let campaign = &self.on_and_off;
        self.caller.expect("POST", &format!("{url}/api/v1/campaigns/{campaign}:{verb}"), None);
    }
}

/// Sets it up in an empty data directory and stops the process in order.
pub fn set_up(data_dir: &Path) -> Shop {
    let process = Process::start(data_dir, None).expect("a process");
    let api = format!("{}/api/v1", process.url());
    let mut caller = Caller::new();
    let tenant = json!({
        "name": "Records",
        "timeZone": "America/New_York",
        "limits": {
            "tenant": { "maxPerDay": 330, "maxTotal": null, "windowDays": null },
            "perUser": { "maxPerDay": 4, "maxTotal": 9, "windowDays": 30 },
        },
    });
    let made = caller.expect("POST", &format!("{api}/tenants"), Some(&tenant));
    let tenant = text(&made, "tenantId");
    caller.tenant = Some(tenant.clone());
    let members: Vec<String> = (1..900).step_by(7).map(|n| format!("{n:05}")).collect();
    let cohort = json!({ "name": "Sevens", "type": "STATIC", "userIds": members });
    let made = caller.expect("POST", &format!("{api}/cohorts"), Some(&cohort));
    let mut ids = Vec::new();
    for campaign in campaigns(&text(&made, "cohortId")) {
        let made = caller.expect("POST", &format!("{api}/campaigns"), Some(&campaign));
        let id = text(&made, "campaignId");
        caller.expect("POST", &format!("{api}/campaigns/{id}:activate"), None);
        ids.push(id);
    }
    caller.expect("POST", &format!("{api}/tenants/{tenant}:startReplay"), None);
    assert!(process.stop().success(), "the process stops in order");
    Shop { caller, on_and_off: ids.pop().expect("a campaign") }
}

fn text(answer: &Value, field: &str) -> String {
    let text = answer.get(field).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{field} in {answer:#}")).to_owned()
}

/// Highest priority first; the last one is paused and activated again.
fn campaigns(cohort: &str) -> Vec<Value> {
    let text = include_str!("campaigns.json").replace("COHORT", cohort);
    serde_json::from_str(&text).expect("campaigns")
}

/// So many of the CDNOW purchases, the earliest first, as events of the API.
pub fn purchases(count: usize) -> Vec<Value> {
    let text = include_str!("../../../../../demo/cdnow_purchases.csv");
    let mut rows: Vec<(&str, usize, Value)> = Vec::new();
    for (line, row) in text.lines().enumerate().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let [user, date, units, amount] = cells[..] else { panic!("line {line}: {row}") };
        // Numbers as they stand, so that decimals stay exact.
        let payload = format!("{{\"amount\":{amount},\"units\":{units}}}");
        let event = json!({
            "eventId": format!("cdnow-{line}"),
            "userId": user,
            "action": "purchase",
            "eventTs": format!("{date}T17:00:00Z"),
            "payload": serde_json::from_str::<Value>(&payload).expect("a payload"),
        });
        rows.push((date, line, event));
    }
    rows.sort_by_key(|(date, line, _)| (*date, *line));
    rows.into_iter().take(count).map(|(.., event)| event).collect()
}

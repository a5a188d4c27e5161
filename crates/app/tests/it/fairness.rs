//! A tenant that sends more than its share: it is told so, and nobody else notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use testkit::dir::TempDir;
use ureq::Agent;

use crate::support::Platform;

/// Connections of the tenant that floods, each with a key of its own.
const FLOODING: usize = 4;
const BATCH: usize = 50;
const BURST: usize = 200;
/// Events of the tenant that does not.
const MODEST: usize = 60;

/// A tenant that grants a point for each purchase.
fn shop(platform: &Platform, name: &str) -> String {
    let tenant = platform.send("POST", "/api/v1/tenants", &json!({ "name": name }));
    let tenant = tenant["tenantId"].as_str().unwrap().to_owned();
    let rule = json!({ "on": ["purchase"], "rewards": [{ "type": "POINTS", "amount": 1 }] });
    let new = json!({ "tenantId": tenant, "name": "Each", "type": "SIMPLE", "rule": rule,
                      "startAt": "2020-01-01T00:00:00Z" });
    let made = platform.send("POST", "/api/v1/campaigns", &new);
    let path = format!("/api/v1/campaigns/{}:activate", made["campaignId"].as_str().unwrap());
    platform.send("POST", &path, &json!({}));
    tenant
}

fn purchase(id: &str) -> Value {
    json!({ "eventId": id, "userId": "ada", "action": "purchase" })
}

/// Somebody of a tenant, with a key and a connection of their own.
struct Caller {
    agent: Agent,
    url: String,
    key: String,
}

impl Caller {
    fn new(platform: &Platform, tenant: &str) -> Self {
        let wanted = json!({ "name": "test", "scopes": ["events:write"] });
        let path = format!("/api/v1/tenants/{tenant}/api-keys");
        let made = platform.send("POST", &path, &wanted);
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        let key = made["key"].as_str().unwrap().to_owned();
        Self { agent: config.build().new_agent(), url: platform.url.clone(), key }
    }

    fn post(&self, path: &str, prefer: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}/api/v1/{path}", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.key));
        let mut answer = request.header("prefer", prefer).send_json(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }

    /// Sends batches as fast as it can, until told to stop and refused at least once. Returns how
    /// many events were accepted.
    fn flood(&self, stop: &AtomicBool, name: usize) -> usize {
        let (mut accepted, mut refused) = (0, 0);
        for batch in 0.. {
            let events: Vec<Value> =
                (0..BATCH).map(|n| purchase(&format!("{name}-{batch}-{n}"))).collect();
            let (status, body) = self.post("events:batch", "", &json!({ "events": events }));
            match status {
                200 => {
                    let results = body["results"].as_array().unwrap();
                    assert!(results.iter().all(|r| r["status"] == "ACCEPTED"), "{body}");
                    accepted += results.len();
                }
                429 => refused += usize::from(body["code"] == "TENANT_RATE_LIMITED"),
                _ => panic!("{status} {body}"),
            }
            if refused > 0 && stop.load(Ordering::Relaxed) {
                break;
            }
        }
        accepted
    }
}

fn incentives(platform: &Platform, tenant: &str) -> usize {
    // The first line names the columns.
    platform.run(Some(tenant), &["export", "incentives"]).well().out.lines().count() - 1
}

#[test]
fn a_flooding_tenant_is_held_back_and_another_one_is_not() {
    let dir = TempDir::new();
    let burst = BURST.to_string();
    let flags = ["--tenant-events-per-second", "1", "--tenant-events-burst", &burst];
    let platform = Platform::start_with(dir.path(), &flags);
    let (flooding, modest) = (shop(&platform, "Flooding"), shop(&platform, "Modest"));
    let floods: Vec<Caller> = (0..FLOODING).map(|_| Caller::new(&platform, &flooding)).collect();
    let one = Caller::new(&platform, &modest);

    let stop = AtomicBool::new(false);
    let accepted: usize = thread::scope(|scope| {
        let floods: Vec<_> = floods
            .iter()
            .enumerate()
            .map(|(name, caller)| {
                let stop = &stop;
                scope.spawn(move || caller.flood(stop, name))
            })
            .collect();
        for n in 0..MODEST {
            let (status, body) = one.post("events", "", &purchase(&format!("m-{n}")));
            assert_eq!((status, &body["status"]), (202, &json!("ACCEPTED")), "{body}");
        }
        stop.store(true, Ordering::Relaxed);
        floods.into_iter().map(|flood| flood.join().unwrap()).sum()
    });
    assert!(accepted >= BURST && accepted.is_multiple_of(BATCH), "{accepted}");

    // The log is decided in its order, so all that came before is decided with the last one.
    let (status, last) = one.post("events", "wait=30", &purchase("last"));
    assert_eq!((status, &last["decision"]["grants"]), (200, &json!(1)), "{last}");
    assert_eq!(incentives(&platform, &modest), MODEST + 1);
    assert_eq!(incentives(&platform, &flooding), accepted, "what was refused left nothing");
}

#[test]
fn an_import_beyond_the_rate_waits_and_takes_each_row_once() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("incent.yaml"), "tenantEventsPerSecond: 100\n").unwrap();
    // A batch is twice the bucket.
    let flags = ["--config", "incent.yaml", "--tenant-events-burst", "50"];
    let platform = Platform::start_with(dir.path(), &flags);
    let tenant = shop(&platform, "Acme");
    let rows: String = (0..450).map(|n| format!("o-{n},ada,2026-01-01\n")).collect();
    platform.file("orders.csv", &format!("order,customer,date\n{rows}"));
    platform.send(
        "PUT",
        &format!("/api/v1/tenants/{tenant}"),
        &json!({ "name": "Acme", "timeZone": "UTC", "allowedLateness": "P3650D" }),
    );
    let columns = ["--user", "customer", "--time", "date", "--action", "purchase"];
    let import = ["import", "orders.csv", "--event-id", "order", "--batch", "100"];
    let args = [&import[..], &columns, &["--senders", "3"]].concat();
    let said = platform.run(Some(&tenant), &args).well();
    assert!(
        said.err.contains("Too many events of this tenant; trying again in 1.0s"),
        "{}",
        said.err
    );
    let summary = &said.lines()[0];
    let counts = ["accepted", "duplicates", "rejected"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [450, 0, 0], "{summary}");
    let caller = Caller::new(&platform, &tenant);
    let last = || Some(caller.post("events", "wait=30", &purchase("last")));
    let last = (0..).find_map(|_| last().filter(|(status, _)| *status != 429));
    assert_eq!(last.map(|(status, _)| status), Some(200));
    assert_eq!(incentives(&platform, &tenant), 450 + 1);
}

//! Cohorts and the jobs that compute them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Caller, Server, faults};

/// Asks for a job until it has ended.
async fn ended(caller: &Caller<'_>, address: &str) -> Value {
    let ended = async {
        loop {
            let job = caller.get(address).await.expect(200);
            if job["status"] != "RUNNING" {
                return job;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the job ends")
}

async fn members(caller: &Caller<'_>, cohort: &str) -> Vec<String> {
    let list = caller.get(&format!("/api/v1/cohorts/{cohort}/members")).await.expect(200);
    let items = list["items"].as_array().expect("a list");
    let mut ids: Vec<_> =
        items.iter().map(|m| m["userId"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_static_cohort_is_its_list() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let gold = json!({ "tenantId": tenant, "name": "Gold", "type": "STATIC", "userIds": ["u2", "u1", "u1"] });
    let made = admin.post("/api/v1/cohorts", gold).await.expect(201);
    assert_eq!((&made["size"], &made["status"]), (&json!(2), &json!("READY")));
    let id = made["cohortId"].as_str().expect("an id");
    assert_eq!(members(&admin, id).await, ["u1", "u2"]);
    let path = format!("/api/v1/cohorts/{id}");
    let put = admin.put(&path, json!({ "name": "Golden", "userIds": ["u3"] })).await.expect(200);
    assert_eq!((&put["name"], &put["size"]), (&json!("Golden"), &json!(1)));
    assert_eq!(members(&admin, id).await, ["u3"]);
    admin.put(&path, json!({ "name": "Gold" })).await.expect(200);
    assert_eq!(members(&admin, id).await, ["u3"]);
    admin.post(&format!("{path}:recompute"), json!({})).await.refused(409, "INVALID_STATE");
    let many: Vec<String> = (0..25_000).map(|n| format!("user-{n}")).collect();
    let many = json!({ "name": "Many", "type": "STATIC", "userIds": many });
    assert_eq!(admin.post("/api/v1/cohorts", many).await.expect(201)["size"], 25_000);
}

#[tokio::test]
async fn a_dynamic_cohort_is_computed_by_a_job() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let waiting = admin.clone().header("prefer", "wait=30");
    let send = async |id: &str, user: &str, amount: u32| {
        let event = json!({ "eventId": id, "userId": user, "action": "purchase", "payload": { "amount": amount } });
        waiting.post("/api/v1/events", event).await.expect(200);
    };
    send("e1", "small", 10).await;
    send("e2", "big", 200).await;
    let criteria = json!({ "activity": [{ "on": ["purchase"], "sum": { "of": "event.amount", "min": 100 } }] });
    let big = json!({ "name": "Big", "type": "DYNAMIC", "criteria": criteria, "refresh": "DAILY" });
    let made = admin.post("/api/v1/cohorts", big).await.expect(201);
    let path = format!("/api/v1/cohorts/{}", made["cohortId"].as_str().expect("an id"));
    send("e3", "small", 95).await;
    // Membership is as of a moment, and what happened at that moment does not count yet.
    server.clock.set("2026-06-01T12:00:01Z".parse().expect("a time"));
    let started = admin.post(&format!("{path}:recompute"), json!({})).await;
    let address = started.header("location").to_owned();
    assert_eq!(started.expect(202)["kind"], "COHORT_RECOMPUTE");
    let job = ended(&admin, &address).await;
    assert_eq!((&job["status"], &job["error"]), (&json!("DONE"), &Value::Null), "{job}");
    let cohort = admin.get(&path).await.expect(200);
    assert_eq!((&cohort["size"], &cohort["status"]), (&json!(2), &json!("READY")));
    let id = cohort["cohortId"].as_str().expect("an id");
    assert_eq!(members(&admin, id).await, ["big", "small"]);
}

#[tokio::test]
async fn criteria_are_checked_with_places() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let with = |criteria: Value| json!({ "name": "x", "type": "DYNAMIC", "criteria": criteria });
    let cases = [
        (with(json!({})), "/criteria"),
        (with(json!({ "activity": [{ "on": [] }] })), "/criteria/activity/0/on"),
        (with(json!({ "user": "user.tier ==" })), "/criteria/user"),
        (json!({ "name": "x", "type": "DYNAMIC" }), "/criteria"),
        (
            json!({ "name": "x", "type": "DYNAMIC", "criteria": { "user": "user.a == 1" }, "userIds": [] }),
            "/userIds",
        ),
        (
            json!({ "name": "x", "type": "STATIC", "criteria": { "user": "user.a == 1" } }),
            "/criteria",
        ),
    ];
    for (body, pointer) in cases {
        let problem =
            admin.post("/api/v1/cohorts", body.clone()).await.refused(422, "INVALID_DOCUMENT");
        assert_eq!(faults(&problem)[0].0, pointer, "{body} {problem}");
    }
}

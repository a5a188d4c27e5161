//! Events in, decisions and incentives out.

use domain::id::TenantId;
use serde_json::{Value, json};

use crate::support::{Caller, Server, faults, points_rule};

/// A tenant with an active campaign that gives 10 points for a purchase.
async fn shop(server: &Server) -> (TenantId, Caller<'_>, String) {
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let campaign = json!({ "name": "Ten", "type": "SIMPLE", "rule": points_rule() });
    let made = admin.post("/api/v1/campaigns", campaign).await.expect(201);
    let id = made["campaignId"].as_str().expect("an id").to_owned();
    admin.post(&format!("/api/v1/campaigns/{id}:activate"), json!({})).await.expect(200);
    (tenant, admin, id)
}

fn purchase(id: &str) -> Value {
    json!({ "eventId": id, "userId": "u1", "action": "purchase",
            "eventTs": "2026-06-01T11:59:00Z", "payload": { "amount": 42.10, "country": "FR" } })
}

#[tokio::test]
async fn an_event_earns_and_is_explained() {
    let server = Server::start().await;
    let (tenant, admin, campaign) = shop(&server).await;
    let waiting = admin.clone().header("prefer", "wait=30");
    let answer = waiting.post("/api/v1/events", purchase("o-1")).await;
    assert_eq!(answer.header("preference-applied"), "wait");
    let body = answer.expect(200);
    assert_eq!(body["status"], "ACCEPTED");
    let decision = &body["decision"];
    assert_eq!(decision["status"], "DECIDED");
    assert_eq!(decision["grants"], 1);
    let first = &decision["decisions"][0];
    assert_eq!(first["campaignId"], campaign);
    assert_eq!((&first["campaignName"], &first["reason"]), (&json!("Ten"), &json!("GRANTED")));
    assert_eq!(decision["payload"], json!({ "amount": 42.10, "country": "FR" }));
    let incentive = &decision["incentives"][0];
    assert_eq!(incentive["reward"], json!({ "currency": "POINTS", "amount": "10" }));
    assert_eq!((&incentive["userId"], &incentive["eventId"]), (&json!("u1"), &json!("o-1")));

    let again = admin.post("/api/v1/events", purchase("o-1")).await.expect(202);
    assert_eq!((&again["status"], &again["decision"]), (&json!("DUPLICATE"), &Value::Null));
    let mut other = purchase("o-1");
    other["payload"]["amount"] = json!(43);
    admin.post("/api/v1/events", other).await.refused(409, "ID_REUSED");

    let explained = admin.get("/api/v1/decisions?eventId=o-1").await.expect(200);
    assert_eq!(&explained, decision);
    admin.get("/api/v1/decisions?eventId=o-2").await.refused(404, "NOT_FOUND");
    for path in
        ["/api/v1/users/u1/incentives", "/api/v1/incentives", "/api/v1/incentives?userId=u1"]
    {
        let list = admin.get(path).await.expect(200);
        assert_eq!(list["items"], json!([incentive]), "{path}");
    }
    let limits = admin.get(&format!("/api/v1/tenants/{tenant}/limits?userId=u1")).await.expect(200);
    for limit in ["tenant", "perUser"] {
        assert_eq!(
            (&limits[limit]["usedToday"], &limits[limit]["usedTotal"]),
            (&json!(1), &json!(1))
        );
    }
    let none = admin.get("/api/v1/incentives?to=2026-06-01T12:00:00Z").await.expect(200);
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_paused_campaign_grants_nothing() {
    let server = Server::start().await;
    let (_, admin, campaign) = shop(&server).await;
    admin.post(&format!("/api/v1/campaigns/{campaign}:pause"), json!({})).await.expect(200);
    let waiting = admin.header("prefer", "wait=30");
    let body = waiting.post("/api/v1/events", purchase("o-1")).await.expect(200);
    assert_eq!(body["decision"]["grants"], 0);
}

#[tokio::test]
async fn bad_events_are_refused_with_a_place() {
    let server = Server::start().await;
    let (_, admin, _) = shop(&server).await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let change = |name: &str, text: &str| {
        let mut event = r#"{"eventId":"e","userId":"u","action":"a"}"#.to_owned();
        event.truncate(event.len() - 1);
        format!("{event},\"{name}\":{text}}}")
    };
    let long = format!("\"{}\"", "x".repeat(129));
    let cases = [
        (r#"{"userId":"u","action":"a"}"#.to_owned(), "/eventId", "REQUIRED"),
        (r#"{"eventId":"","userId":"u","action":"a"}"#.to_owned(), "/eventId", "TOO_SHORT"),
        (r#"{"eventId":7,"userId":"u","action":"a"}"#.to_owned(), "/eventId", "WRONG_TYPE"),
        (format!(r#"{{"eventId":{long},"userId":"u","action":"a"}}"#), "/eventId", "TOO_LONG"),
        (r#"{"eventId":"a\u0000b","userId":"u","action":"a"}"#.to_owned(), "/eventId", "SYNTAX"),
        (r#"{"eventId":"e","userId":"u","action":"a b"}"#.to_owned(), "/action", "SYNTAX"),
        (
            r#"{"eventId":"e","userId":"u","action":"$user.updated"}"#.to_owned(),
            "/action",
            "NOT_ALLOWED",
        ),
        (change("eventId", "\"again\""), "/eventId", "DUPLICATE"),
        (change("tenantId", "\"x\""), "/tenantId", "UNKNOWN_FIELD"),
        (change("eventTs", "\"yesterday\""), "/eventTs", "SYNTAX"),
        (change("eventTs", "\"1969-12-31T23:59:59Z\""), "/eventTs", "OUT_OF_RANGE"),
        (change("eventTs", "\"2026-06-01T12:05:01Z\""), "/eventTs", "OUT_OF_RANGE"),
        (change("payload", "[]"), "/payload", "WRONG_TYPE"),
        (change("payload", "7"), "/payload", "WRONG_TYPE"),
        (change("payload", &format!(r#"{{"a":{deep}}}"#)), "/payload", "TOO_DEEP"),
        (change("payload", r#"{"a":1e400}"#), "/payload", "INEXACT"),
        (change("payload", r#"{"a":1,"a":2}"#), "/payload", "DUPLICATE"),
        ("[]".to_owned(), "", "WRONG_TYPE"),
        ("null".to_owned(), "", "WRONG_TYPE"),
        ("7".to_owned(), "", "WRONG_TYPE"),
    ];
    for (text, pointer, code) in &cases {
        let answer = admin.send(axum::http::Method::POST, "/api/v1/events", text.clone()).await;
        let problem = answer.refused(422, "INVALID_DOCUMENT");
        let found = faults(&problem);
        assert!(
            found.iter().any(|(p, c)| p.starts_with(pointer) && c == code),
            "{text}: {found:?} instead of {pointer} {code}"
        );
    }
    for text in ["", "{", "{\"a\":\"\\ud800\"", &"[".repeat(100_000)] {
        let answer = admin.send(axum::http::Method::POST, "/api/v1/events", text.to_owned()).await;
        answer.refused(400, "MALFORMED_JSON");
    }
    // None of them is in the log.
    admin.get("/api/v1/decisions?eventId=e").await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn each_event_of_a_batch_has_its_own_result() {
    let server = Server::start().await;
    let (_, admin, _) = shop(&server).await;
    let mut reused = purchase("b1");
    reused["payload"] = json!({ "amount": 1 });
    let events = json!({ "events": [
        purchase("b1"), purchase("b1"), reused, { "eventId": "b2", "userId": 7 }, 7, null,
        { "userId": "u1", "action": "purchase" }, purchase("b3"),
    ] });
    let results = admin.post("/api/v1/events:batch", events).await.expect(200);
    let results = results["results"].as_array().expect("a list").clone();
    let status: Vec<&str> = results.iter().filter_map(|r| r["status"].as_str()).collect();
    let expected = [
        "ACCEPTED",
        "DUPLICATE",
        "REJECTED",
        "REJECTED",
        "REJECTED",
        "REJECTED",
        "REJECTED",
        "ACCEPTED",
    ];
    assert_eq!(status, expected, "{results:?}");
    assert_eq!(results[2]["problem"]["code"], "ID_REUSED");
    assert_eq!(results[3]["eventId"], "b2");
    assert_eq!(faults(&results[3]["problem"])[0].0, "/userId");
    assert_eq!(faults(&results[6]["problem"])[0].0, "/eventId");
    assert!(results[0].get("problem").is_none());

    for (bad, code) in [
        (json!({ "events": [] }), "TOO_SHORT"),
        (json!({ "events": vec![json!({}); 1001] }), "TOO_LONG"),
        (json!({ "events": {} }), "WRONG_TYPE"),
        (json!({ "event": [] }), "UNKNOWN_FIELD"),
        (json!([]), "WRONG_TYPE"),
    ] {
        let problem =
            admin.post("/api/v1/events:batch", bad).await.refused(422, "INVALID_DOCUMENT");
        assert_eq!(faults(&problem)[0].1, code, "{problem}");
    }
    let large = json!({ "events": vec![json!({ "eventId": "x".repeat(1100) }); 1000] });
    admin.post("/api/v1/events:batch", large).await.refused(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_dead_letter_can_be_sent_again() {
    let server = Server::start().await;
    let (_, admin, _) = shop(&server).await;
    admin.post("/api/v1/events", purchase("o-1")).await.expect(202);
    let mut other = purchase("o-1");
    other["payload"]["amount"] = json!(7);
    admin.post("/api/v1/events", other).await.refused(409, "ID_REUSED");
    let list = admin.get("/api/v1/dead-letters").await.expect(200);
    let letter = &list["items"][0];
    assert_eq!(letter["reason"], "ID_REUSED");
    let path = format!("/api/v1/dead-letters/{}", letter["deadLetterId"].as_str().expect("an id"));
    let raw = admin.get(&format!("{path}/raw")).await;
    assert_eq!(raw.header("content-type"), "application/octet-stream");
    assert_eq!(raw.body["payload"]["amount"], 7);

    admin.post(&format!("{path}:replay"), json!({})).await.refused(409, "ID_REUSED");
    let sent = json!({ "eventId": "o-2" });
    let sent = admin.post(&format!("{path}:replay"), sent).await.expect(200);
    assert_eq!((&sent["eventId"], &sent["status"]), (&json!("o-2"), &json!("ACCEPTED")));
    let list = admin.get("/api/v1/dead-letters").await.expect(200);
    let replayed = list["items"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|l| l["deadLetterId"] == letter["deadLetterId"]);
    assert_eq!(replayed.expect("the letter")["replayedAt"], "2026-06-01T12:00:00Z");
}

#[tokio::test]
async fn a_replayed_tenant_takes_no_live_events() {
    let server = Server::start().await;
    let (tenant, admin, _) = shop(&server).await;
    let as_replay = "/api/v1/events?as=replay";
    admin.post(as_replay, purchase("r-1")).await.refused(409, "WRONG_MODE");
    let path = format!("/api/v1/tenants/{tenant}");
    let mode = admin.post(&format!("{path}:startReplay"), json!({})).await.expect(200);
    assert_eq!(mode["mode"], "REPLAY");
    admin.post("/api/v1/events", purchase("r-1")).await.refused(409, "WRONG_MODE");
    let waiting = admin.clone().header("prefer", "wait=30");
    let mut past = purchase("r-1");
    past["eventTs"] = json!("2025-01-01T00:00:00Z");
    let answer = waiting.post(as_replay, past).await.expect(200);
    assert_eq!(answer["decision"]["appendTime"], "2025-01-01T00:00:00Z");
    assert_eq!(answer["decision"]["kind"], "REPLAY");
    let limits = admin.get(&format!("{path}/limits")).await.expect(200);
    assert_eq!(limits["tenant"]["usedToday"], 1);
    assert_eq!(limits["tenant"]["resetsAt"], "2025-01-02T00:00:00Z");
    admin.post(&format!("{path}:endReplay"), json!({})).await.expect(200);
    admin.post("/api/v1/events", purchase("r-2")).await.expect(202);
    admin
        .post("/api/v1/events?as=sometimes", purchase("r-3"))
        .await
        .refused(400, "INVALID_PARAMETER");
}

#[tokio::test]
async fn attributes_and_quest_progress_of_a_user() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let quest = json!({ "name": "Two steps", "type": "QUEST", "rule": {
        "steps": [
            { "id": "visit", "name": "Visit twice", "on": ["visit"], "goal": { "count": 2 } },
            { "id": "spend", "on": ["purchase"], "goal": { "sum": { "of": "event.amount", "target": 100 } } },
        ],
        "rewards": [{ "type": "POINTS", "amount": 5 }] } });
    let made = admin.post("/api/v1/campaigns", quest).await.expect(201);
    let id = made["campaignId"].as_str().expect("an id");
    admin.post(&format!("/api/v1/campaigns/{id}:activate"), json!({})).await.expect(200);
    let user = "/api/v1/users/a%2Fb%3Ac";
    admin.get(user).await.refused(404, "NOT_FOUND");
    let waiting = admin.clone().header("prefer", "respond-async, wait=30");
    let attributes = json!({ "attributes": { "tier": "gold", "score": 1.50 } });
    waiting.put(user, attributes).await.expect(200);
    let read = admin.get(user).await.expect(200);
    assert_eq!(read["userId"], "a/b:c");
    assert_eq!(read["attributes"], json!({ "tier": "gold", "score": 1.5 }));
    let mut visit = json!({ "eventId": "v1", "userId": "a/b:c", "action": "visit" });
    waiting.post("/api/v1/events", visit.clone()).await.expect(200);
    let progress = admin.get(&format!("{user}/progress")).await.expect(200);
    let steps = &progress["quests"][0]["steps"];
    assert_eq!(
        steps[0],
        json!({ "stepId": "visit", "name": "Visit twice", "value": "1", "target": "2", "done": false })
    );
    assert_eq!(steps[1]["target"], "100");
    visit["eventId"] = json!("v2");
    waiting.post("/api/v1/events", visit).await.expect(200);
    let mut spend = purchase("p1");
    (spend["userId"], spend["payload"]) = (json!("a/b:c"), json!({ "amount": 100.01 }));
    let paid = waiting.post("/api/v1/events", spend).await.expect(200);
    assert_eq!(paid["decision"]["grants"], 1, "{paid}");
    let progress = admin.get(&format!("{user}/progress")).await.expect(200);
    let completed = progress["completed"].as_array().expect("a list");
    assert!(completed.iter().any(|c| c["stepId"] == Value::Null), "{progress}");

    // A step of a quest in force is not lost by mistake.
    let mut less = json!({ "name": "One step", "rule": {
        "steps": [{ "id": "visit", "on": ["visit"] }], "rewards": [{ "type": "POINTS", "amount": 5 }] } });
    let path = format!("/api/v1/campaigns/{id}");
    let problem = admin.put(&path, less.clone()).await.refused(422, "INVALID_DOCUMENT");
    assert_eq!(faults(&problem), [("/progress".to_owned(), "REQUIRED".to_owned())]);
    less["progress"] = json!("KEEP");
    let kept = admin.put(&path, less).await.expect(200);
    assert_eq!(kept["progressVersion"], 0);
}

#[tokio::test]
async fn a_running_quest_is_begun_anew_on_request() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let quest = |count: u32| {
        json!({ "name": "Visits", "type": "QUEST", "rule": {
            "steps": [{ "id": "visit", "on": ["visit"], "goal": { "count": count } }],
            "rewards": [{ "type": "POINTS", "amount": 5 }] } })
    };
    let made = admin.post("/api/v1/campaigns", quest(2)).await.expect(201);
    let path = format!("/api/v1/campaigns/{}", made["campaignId"].as_str().expect("an id"));
    admin.post(&format!("{path}:activate"), json!({})).await.expect(200);
    let waiting = admin.clone().header("prefer", "wait=30");
    let visit = async |id: &str| {
        let event = json!({ "eventId": id, "userId": "ada", "action": "visit" });
        let sent = waiting.post("/api/v1/events", event).await.expect(200);
        sent["decision"]["decisions"][0]["reason"].clone()
    };
    let reached = async || {
        let progress = admin.get("/api/v1/users/ada/progress").await.expect(200);
        let quest = &progress["quests"][0];
        (quest["steps"][0]["value"].clone(), quest["startedAt"].is_null())
    };
    assert_eq!(visit("v1").await, "PROGRESS");
    assert_eq!(reached().await, (json!("1"), false));
    // The content is the same: what is asked for is the reset.
    let mut reset = quest(2);
    reset["progress"] = json!("RESET");
    let changed = admin.put(&path, reset).await.expect(200);
    assert_eq!((&changed["version"], &changed["progressVersion"]), (&json!(2), &json!(2)));
    assert_eq!(reached().await, (json!("0"), true));
    assert_eq!(visit("v2").await, "PROGRESS");
    assert_eq!(visit("v3").await, "GRANTED");

    let simple = json!({ "name": "Simple", "progress": "RESET", "rule": {
        "on": ["visit"], "rewards": [{ "type": "POINTS", "amount": 1 }] } });
    let mut new = simple.clone();
    new["type"] = json!("SIMPLE");
    new.as_object_mut().expect("an object").remove("progress");
    let made = admin.post("/api/v1/campaigns", new).await.expect(201);
    let path = format!("/api/v1/campaigns/{}", made["campaignId"].as_str().expect("an id"));
    let problem = admin.put(&path, simple).await.refused(422, "INVALID_DOCUMENT");
    assert_eq!(faults(&problem), [("/progress".to_owned(), "NOT_ALLOWED".to_owned())]);
}

#[tokio::test]
async fn a_budget_keeps_its_way_of_counting_under_its_id() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let with = |budgets: Value| {
        json!({ "name": "Visits", "type": "SIMPLE", "rule": {
            "on": ["visit"], "rewards": [{ "type": "POINTS", "amount": 5 }], "budgets": budgets } })
    };
    let budget = |id: &str, per: &str, max: u32| json!([{ "id": id, "measure": "COUNT", "per": per, "max": max }]);
    let made = admin.post("/api/v1/campaigns", with(budget("b", "DAY", 5))).await.expect(201);
    let path = format!("/api/v1/campaigns/{}", made["campaignId"].as_str().expect("an id"));
    // A draft has counted nothing yet.
    admin.put(&path, with(budget("b", "WEEK", 5))).await.expect(200);
    admin.post(&format!("{path}:activate"), json!({})).await.expect(200);
    let refused = async || {
        let answer = admin.put(&path, with(budget("b", "MONTH", 5))).await;
        let problem = answer.refused(422, "INVALID_DOCUMENT");
        let at = ("/rule/budgets/0/per".to_owned(), "NOT_ALLOWED".to_owned());
        assert_eq!(faults(&problem), [at]);
        assert!(problem.to_string().contains("another id"), "{problem}");
    };
    refused().await;
    admin.put(&path, with(budget("b", "WEEK", 9))).await.expect(200);
    admin.put(&path, with(budget("c", "MONTH", 5))).await.expect(200);
    // It was removed; what it counted is still there.
    refused().await;
    admin.put(&path, with(budget("b", "WEEK", 7))).await.expect(200);
}

#[tokio::test]
async fn a_dry_run_decides_as_live_and_writes_nothing() {
    let server = Server::start().await;
    let (_, admin, campaign) = shop(&server).await;
    let path = format!("/api/v1/campaigns/{campaign}:simulate");
    let event = json!({ "userId": "u1", "action": "purchase", "payload": { "amount": 42.10 } });
    let run = admin.post(&path, json!({ "event": event })).await.expect(200);
    assert_eq!((&run["grants"], &run["decisions"][0]["reason"]), (&json!(1), &json!("GRANTED")));
    assert_eq!(run["incentives"][0]["reward"]["amount"], "10");
    let rule = json!({ "on": ["purchase"], "when": "event.amount > 50",
                       "rewards": [{ "type": "POINTS", "amount": 1 }] });
    let run = admin.post(&path, json!({ "event": event, "rule": rule })).await.expect(200);
    assert_eq!(run["decisions"][0]["reason"], "RULE_FALSE");
    assert!(run["evidence"].to_string().contains("event.amount"), "{run}");
    let problem = admin.post(&path, json!({ "event": event, "version": 9 })).await;
    assert_eq!(faults(&problem.refused(422, "INVALID_DOCUMENT"))[0].0, "/version");
    assert_eq!(admin.get("/api/v1/incentives").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_user_reads_their_own_things_only() {
    let server = Server::start().await;
    let (tenant, admin, _) = shop(&server).await;
    let secret = "a shared secret of more than 32 bytes";
    let settings = json!({ "secret": secret, "algorithms": ["HS256"] });
    let put = admin.put(&format!("/api/v1/tenants/{tenant}/push-auth"), settings).await;
    assert!(!put.text.contains(secret));
    put.expect(200);
    for bad in [
        json!({ "secret": "short", "algorithms": ["HS256"] }),
        json!({ "secret": secret, "algorithms": ["RS256"] }),
        json!({ "secret": secret, "jwksUrl": "https://issuer.example/keys", "algorithms": ["HS256"] }),
        json!({ "jwksUrl": "https://issuer.example/keys", "algorithms": ["HS256"] }),
        json!({ "jwksUrl": "http://10.0.0.1/keys", "algorithms": ["RS256"] }),
        json!({ "secret": secret, "algorithms": ["none"] }),
        json!({ "secret": secret, "algorithms": [] }),
    ] {
        let path = format!("/api/v1/tenants/{tenant}/push-auth");
        admin.put(&path, bad).await.refused(422, "INVALID_DOCUMENT");
    }
    let token = |sub: &str| {
        let claims = json!({ "sub": sub, "tenant": tenant, "aud": "incent-push",
                             "exp": 1_780_315_200 + 3600 });
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        jsonwebtoken::encode(&header, &claims, &key).expect("a token")
    };
    let user = server.bearer(&token("u1"));
    user.get("/api/v1/users/u1/incentives").await.expect(200);
    user.get("/api/v1/users/u1/progress").await.expect(200);
    user.get("/api/v1/users/u2/incentives").await.refused(404, "NOT_FOUND");
    user.get("/api/v1/users/u1").await.refused(403, "FORBIDDEN");
    user.get("/api/v1/incentives").await.refused(403, "FORBIDDEN");
    user.post("/api/v1/events", purchase("o-9")).await.refused(403, "FORBIDDEN");
}

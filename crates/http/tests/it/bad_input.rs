//! What nobody should send and somebody does, over the API: refused with a place or taken as it is,
//! and never a stall.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Caller, Server, faults};

/// A campaign of a point for each `tick` under a rule's condition, active at once.
async fn campaign(admin: &Caller<'_>, when: Option<&str>, amount: Value) {
    let mut rule = json!({ "on": ["tick"], "rewards": [{ "type": "POINTS", "amount": amount }] });
    if let Some(when) = when {
        rule["when"] = json!(when);
    }
    let made = json!({ "name": "Tick", "type": "SIMPLE", "rule": rule });
    let made = admin.post("/api/v1/campaigns", made).await.expect(201);
    let id = made["campaignId"].as_str().expect("an id");
    admin.post(&format!("/api/v1/campaigns/{id}:activate"), json!({})).await.expect(200);
}

/// Sends an event and gives its decision.
async fn decided(admin: &Caller<'_>, id: &str, user: &str, payload: Value) -> Value {
    let event = json!({ "eventId": id, "userId": user, "action": "tick", "payload": payload });
    let waiting = admin.clone().header("prefer", "wait=30");
    let mut answer = waiting.post("/api/v1/events", event).await.expect(200);
    answer["decision"].take()
}

#[tokio::test]
async fn what_is_no_json_and_what_is_too_much() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let with = |payload: &str| {
        format!(r#"{{"eventId":"e","userId":"u","action":"tick","payload":{payload}}}"#)
    };
    let send = async |text: String| admin.send(Method::POST, "/api/v1/events", text).await;
    for text in ["NaN", "Infinity", "-Infinity", "+1", "01", "1.", ".5", "0x10", "'a'", "undefined"]
    {
        let problem = send(with(&format!(r#"{{"a":{text}}}"#))).await;
        let problem = problem.refused(400, "MALFORMED_JSON");
        assert!(problem["detail"].to_string().contains("column"), "{text}: {problem}");
    }
    let string = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
    send(with(&string(1 << 20))).await.refused(413, "BODY_TOO_LARGE");
    let problem = send(with(&string(70_000))).await.refused(422, "INVALID_DOCUMENT");
    assert_eq!(faults(&problem)[0], ("/payload/a".to_owned(), "TOO_LONG".to_owned()));
    for number in ["1e400", "-1e400", "1e-400", "0.00000000000000000000000000000000001"] {
        let problem = send(with(&format!(r#"{{"a":[{number}]}}"#))).await;
        let problem = problem.refused(422, "INVALID_DOCUMENT");
        assert_eq!(faults(&problem)[0].0, "/payload/a/0", "{number}");
    }
    send(with(r#"{"":"","a":0,"b":-0.0,"c":[],"d":{}}"#)).await.expect(202);
}

#[tokio::test]
async fn odd_ids_are_told_apart() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let one = json!({ "maxPerDay": 1 });
    let limit = format!("/api/v1/tenants/{tenant}/user-limits");
    admin.post(&limit, one).await.expect(200);
    campaign(&admin, None, json!(1)).await;
    let users = [
        "a:b{c}",
        "a%3Ab{c}",
        "a:b",
        "{a}:b",
        "limit:{a}:daily",
        "%",
        "%25",
        "a/b",
        "a?b#c",
        "..",
        "é",
        "e\u{301}",
        "\u{202e}abc",
        "a\u{200d}b",
        "ab",
        "\u{1f468}\u{200d}\u{1f469}",
        "O'Brien",
        "0",
        "00",
        "null",
        " a ",
    ];
    for (n, user) in users.iter().enumerate() {
        let first = decided(&admin, &format!("e:{{{n}}}"), user, json!({})).await;
        assert_eq!(first["grants"], 1, "{user} is somebody else than those before: {first}");
        let second = decided(&admin, &format!("e:{{{n}}}/2"), user, json!({})).await;
        assert_eq!(second["decisions"][0]["reason"], "LIMIT_USER_DAY", "{user}");
        let path = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
        let theirs = admin.get(&format!("/api/v1/users/{path}/incentives")).await.expect(200);
        assert_eq!(theirs["items"].as_array().map(Vec::len), Some(1), "{user}");
        assert_eq!(theirs["items"][0]["userId"], *user);
    }
}

#[tokio::test]
async fn an_unknown_action_is_taken_and_earns_nothing() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    campaign(&admin, None, json!(1)).await;
    let event = json!({ "eventId": "e", "userId": "u", "action": "never.heard:of-it" });
    let waiting = admin.clone().header("prefer", "wait=30");
    let answer = waiting.post("/api/v1/events", event).await.expect(200);
    let decision = &answer["decision"];
    assert_eq!((&decision["status"], &decision["grants"]), (&json!("DECIDED"), &json!(0)));
    assert_eq!(decision["decisions"], json!([]));
}

#[tokio::test]
async fn a_rule_that_breaks_on_an_event_stalls_nothing() {
    let server = Server::start().await;
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    for when in ["1 / 0 > 1", "event.a % 0 == 1", "9999999999999999999999999999 * 10 > 1"] {
        let rule = json!({ "on": ["tick"], "when": when,
                           "rewards": [{ "type": "POINTS", "amount": 1 }] });
        let made = json!({ "name": "Broken", "type": "SIMPLE", "rule": rule });
        let problem = admin.post("/api/v1/campaigns", made).await.refused(422, "INVALID_DOCUMENT");
        assert_eq!(faults(&problem)[0].0, "/rule/when", "{when}");
    }
    campaign(&admin, Some("event.a / event.b > 1"), json!(1)).await;
    campaign(&admin, None, json!({ "formula": "event.a * event.a" })).await;
    let most = 10_i64.pow(18);
    for (n, (a, b, reasons)) in [
        (4, 0, ["RULE_ERROR", "GRANTED"]),
        (most, most, ["RULE_FALSE", "RULE_ERROR"]),
        (4, 2, ["GRANTED", "GRANTED"]),
    ]
    .into_iter()
    .enumerate()
    {
        let decision = decided(&admin, &format!("e{n}"), "u", json!({ "a": a, "b": b })).await;
        let found: Vec<&Value> = decision["decisions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|d| &d["reason"])
            .collect();
        assert_eq!(found, reasons, "{a} {b}: {decision:#}");
    }
}

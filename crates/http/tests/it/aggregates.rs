//! What was granted, added up.

use domain::id::TenantId;
use engine::ports::Clock as _;
use serde_json::{Value, json};

use crate::support::{Caller, Server, points_rule};

/// A tenant whose campaigns give 10 points for a purchase and 10 per cent back.
async fn shop(server: &Server) -> (TenantId, Caller<'_>, String) {
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let back = json!({ "on": ["purchase"], "rewards": [{ "type": "CASHBACK", "currency": "EUR",
        "amount": { "percent": { "rate": 10, "of": "event.amount" } } }] });
    let mut ids = Vec::new();
    for (name, rule) in [("Ten", points_rule()), ("Back", back)] {
        let campaign = json!({ "name": name, "type": "SIMPLE", "rule": rule });
        let made = admin.post("/api/v1/campaigns", campaign).await.expect(201);
        let id = made["campaignId"].as_str().expect("an id").to_owned();
        admin.post(&format!("/api/v1/campaigns/{id}:activate"), json!({})).await.expect(200);
        ids.push(id);
    }
    (tenant, admin, ids.remove(1))
}

/// A purchase that is decided when this returns.
async fn purchase(admin: &Caller<'_>, id: &str, user: &str, amount: &str) {
    let payload: Value = serde_json::from_str(&format!(r#"{{"amount": {amount}}}"#)).expect("JSON");
    let event = json!({ "eventId": id, "userId": user, "action": "purchase", "payload": payload });
    let waiting = admin.clone().header("prefer", "wait=30");
    assert_eq!(waiting.post("/api/v1/events", event).await.expect(200)["decision"]["grants"], 2);
}

/// So many seconds later.
fn later(server: &Server, seconds: i64) {
    server.clock.set(server.clock.now().plus_micros(seconds * 1_000_000));
}

#[tokio::test]
async fn sums_are_exact_by_day_and_currency() {
    let server = Server::start().await;
    let (tenant, admin, back) = shop(&server).await;
    purchase(&admin, "1", "ada", "0.10").await;
    purchase(&admin, "2", "bob", "1234567890123.40").await;
    later(&server, 86_400);
    purchase(&admin, "3", "ada", "42.10").await;

    let path = format!("/api/v1/tenants/{tenant}/aggregates");
    let all = admin.get(&path).await.expect(200);
    let of = |currency: &str, incentives: u64, amount: &str| json!({ "currency": currency, "incentives": incentives, "amount": amount });
    assert_eq!(all["totals"], json!([of("EUR", 3, "123456789016.56"), of("POINTS", 3, "30")]));
    assert_eq!((&all["to"], &all["source"]), (&json!("2026-06-02"), &json!("LEDGER")));
    let on = |day: &str, mut of: Value| {
        of["day"] = json!(day);
        of
    };
    let days = json!([
        on("2026-06-01", of("EUR", 2, "123456789012.35")),
        on("2026-06-01", of("POINTS", 2, "20")),
        on("2026-06-02", of("EUR", 1, "4.21")),
        on("2026-06-02", of("POINTS", 1, "10")),
    ]);
    assert_eq!(all["days"], days);

    for (query, expected) in [
        ("?userId=ada", json!([of("EUR", 2, "4.22"), of("POINTS", 2, "20")])),
        ("?userId=nobody", json!([])),
        (&format!("?campaignId={back}"), json!([of("EUR", 3, "123456789016.56")])),
        ("?currency=POINTS", json!([of("POINTS", 3, "30")])),
        ("?from=2026-06-02", json!([of("EUR", 1, "4.21"), of("POINTS", 1, "10")])),
        ("?from=2026-05-01&to=2026-05-31", json!([])),
        (
            &format!("?userId=ada&campaignId={back}&currency=EUR&from=2026-06-01&to=2026-06-01"),
            json!([of("EUR", 1, "0.01")]),
        ),
    ] {
        let told = admin.get(&format!("{path}{query}")).await.expect(200);
        assert_eq!(told["totals"], expected, "{query}");
    }
    for query in [
        "?from=2026-06-03",
        "?from=2025-01-01&to=2026-06-01",
        "?from=yesterday",
        "?currency=",
        "?day=2026-06-01",
    ] {
        admin.get(&format!("{path}{query}")).await.refused(400, "INVALID_PARAMETER");
    }
}

#[tokio::test]
async fn leaders_stand_in_their_order() {
    let server = Server::start().await;
    let (tenant, admin, back) = shop(&server).await;
    let buyers =
        [("bob", "42.10"), ("ada", "42.10"), ("eve", "100"), ("zoe", "42.1"), ("bob", "1")];
    for (n, (user, amount)) in buyers.into_iter().enumerate() {
        later(&server, 1);
        purchase(&admin, &n.to_string(), user, amount).await;
    }
    let path = format!("/api/v1/tenants/{tenant}/leaderboards");
    let names = |told: &Value| -> Vec<String> {
        let items = told["items"].as_array().expect("items");
        let name = |item: &Value| {
            format!("{} {} {}", item["rank"], item["userId"].as_str().unwrap(), item["amount"])
        };
        items.iter().map(name).collect()
    };
    // Ada was there before Zoe.
    let expected = [r#"1 eve "10""#, r#"2 bob "4.31""#, r#"3 ada "4.21""#, r#"4 zoe "4.21""#];
    for query in [
        "?currency=EUR",
        &format!("?currency=EUR&campaignId={back}"),
        "?currency=EUR&day=2026-06-01",
    ] {
        let told = admin.get(&format!("{path}{query}")).await.expect(200);
        assert_eq!(names(&told), expected, "{query}");
    }
    let first = admin.get(&format!("{path}?currency=EUR&top=1")).await.expect(200);
    assert_eq!(names(&first), expected[..1]);
    assert_eq!(first["items"][0]["reachedAt"], "2026-06-01T12:00:03Z");
    for query in ["?currency=USD", "?currency=EUR&day=2026-06-02"] {
        let told = admin.get(&format!("{path}{query}")).await.expect(200);
        assert_eq!(told["items"], json!([]), "{query}");
    }
    admin.get(&path).await.refused(400, "INVALID_PARAMETER");
    admin.get(&format!("{path}?currency=EUR&top=0")).await.refused(400, "INVALID_PARAMETER");
    let nobody = "/api/v1/tenants/0199a1b2-0000-7000-8000-000000000001";
    for what in ["aggregates", "leaderboards?currency=EUR"] {
        server.admin().get(&format!("{nobody}/{what}")).await.refused(404, "NOT_FOUND");
    }
}

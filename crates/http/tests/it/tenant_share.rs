//! What one tenant may take of a server: events by the second, requests at a time.

use std::future::pending;
use std::pin::pin;

use axum::http::Method;
use http::call::{Call, Okay};
use http::problem::Problem;
use http::route::{Access, Doc, Route, Scope};
use http::{Config, Rate};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::Server;

/// One that takes an event a second of each tenant, and five after a pause.
async fn slow() -> Server {
    let rate = Rate { per_second: 1, burst: 5 };
    Server::with(|config| Config { tenant_events: rate, ..config }, http::router).await
}

fn visit(id: &str) -> Value {
    json!({ "eventId": id, "userId": "ada", "action": "visit" })
}

fn visits(prefix: &str, count: usize) -> Value {
    let events: Vec<Value> = (0..count).map(|n| visit(&format!("{prefix}-{n}"))).collect();
    json!({ "events": events })
}

fn set(server: &Server, second: u32) {
    let now = format!("2026-06-01T12:00:{second:02}Z");
    server.clock.set(now.parse().expect("a time"));
}

const EVENTS: &str = "/api/v1/events";
const BATCH: &str = "/api/v1/events:batch";

#[tokio::test]
async fn all_credentials_of_a_tenant_share_its_rate() {
    let server = slow().await;
    let (acme, other) = (server.tenant("Acme").await, server.tenant("Other").await);
    let key = async |tenant| server.key(tenant, &["events:write"]).await;
    let (first, second, third) = (key(acme).await, key(acme).await, key(other).await);
    let admin = server.admin().acting_for(acme);

    let answer = server.bearer(&first).post(EVENTS, visit("1")).await;
    let standing = "\"credential\";r=9999;t=1, \"tenant-events\";r=4;t=1";
    assert_eq!(answer.header("ratelimit"), standing);
    assert_eq!(answer.header("ratelimit-policy"), "\"credential\";q=10000, \"tenant-events\";q=5");
    answer.expect(202);
    let left = |answer: &str, left: u32| {
        assert!(answer.contains(&format!("\"tenant-events\";r={left};")), "{answer}");
    };
    let answer = server.bearer(&second).post(BATCH, visits("2", 2)).await;
    left(answer.header("ratelimit"), 2);
    answer.expect(200);
    let answer = admin.put("/api/v1/users/ada", json!({ "attributes": {} })).await;
    left(answer.header("ratelimit"), 1);
    answer.expect(202);
    admin.post(EVENTS, visit("3")).await.expect(202);

    for (path, body) in [(EVENTS, visit("4")), (BATCH, visits("4", 1))] {
        let answer = server.bearer(&first).post(path, body).await;
        assert_eq!(answer.header("retry-after"), "1");
        left(answer.header("ratelimit"), 0);
        let problem = answer.refused(429, "TENANT_RATE_LIMITED");
        assert_eq!(problem["retryable"], true);
        let detail = problem["detail"].as_str().expect("a detail");
        for words in ["1 events a second", "5 at once", "in 1 s", "tenantEventsPerSecond"] {
            assert!(detail.contains(words), "{detail}");
        }
    }
    let answer = admin.put("/api/v1/users/ada", json!({ "attributes": {} })).await;
    answer.refused(429, "TENANT_RATE_LIMITED");
    // What sends no events goes on, and so does everybody else.
    let read = admin.get("/api/v1/incentives").await;
    assert!(!read.header("ratelimit").contains("tenant-events"), "{read:?}");
    read.expect(200);
    let answer = server.bearer(&third).post(BATCH, visits("1", 3)).await;
    left(answer.header("ratelimit"), 2);
    answer.expect(200);

    let metrics = server.anon().get("/metrics").await.text;
    assert!(metrics.contains("\nincent_http_events_over_rate_total 3\n"), "{metrics}");
    set(&server, 1);
    server.bearer(&first).post(EVENTS, visit("4")).await.expect(202);
}

#[tokio::test]
async fn a_batch_is_taken_or_refused_whole_and_may_be_larger_than_the_bucket() {
    let server = slow().await;
    let tenant = server.tenant("Acme").await;
    let admin = server.admin().acting_for(tenant);
    let statuses = |answer: Value| {
        let results = answer["results"].as_array().expect("a list").clone();
        results.iter().map(|r| r["status"].as_str().expect("a word").to_owned()).collect::<Vec<_>>()
    };
    let all = vec!["ACCEPTED"; 12];
    let first = admin.post(BATCH, visits("a", 12)).await.expect(200);
    assert_eq!(statuses(first), all);
    // Seven are owed.
    for (second, wait) in [(0, "8"), (3, "5"), (7, "1")] {
        set(&server, second);
        let answer = admin.post(BATCH, visits("b", 12)).await;
        assert_eq!(answer.header("retry-after"), wait);
        answer.refused(429, "TENANT_RATE_LIMITED");
    }
    set(&server, 8);
    // None was there before: not one of the refused batches left anything.
    let second = admin.post(BATCH, visits("b", 12)).await.expect(200);
    assert_eq!(statuses(second), all);
}

#[tokio::test]
async fn a_refusal_is_not_kept_and_a_repetition_costs_nothing() {
    let server = slow().await;
    let tenant = server.tenant("Acme").await;
    let admin = server.admin().acting_for(tenant);
    let keyed = admin.clone().header("idempotency-key", "k");
    admin.post(BATCH, visits("a", 5)).await.expect(200);
    keyed.post(EVENTS, visit("b")).await.refused(429, "TENANT_RATE_LIMITED");
    set(&server, 1);
    assert_eq!(keyed.post(EVENTS, visit("b")).await.expect(202)["status"], "ACCEPTED");
    let repeated = keyed.post(EVENTS, visit("b")).await;
    assert_eq!(repeated.header("idempotency-replayed"), "true");
    repeated.expect(202);
}

const DOC: Doc = Doc { id: "test", summary: "", about: "", problems: &[] };
static HELD: Notify = Notify::const_new();

async fn hold(_: Call) -> Result<Okay<String>, Problem> {
    HELD.notify_one();
    pending().await
}
async fn pass(_: Call) -> Result<Okay<String>, Problem> {
    Ok(Okay::new("passed".to_owned()))
}

#[tokio::test]
async fn one_tenant_does_not_fill_the_server() {
    let access = Access::Tenant(Scope::EventsWrite);
    // The real routes make tenants.
    let routes = || {
        let mut table = http::routes::table();
        table.push(Route::new(Method::GET, "/hold", access, DOC, hold));
        table.push(Route::new(Method::GET, "/pass", access, DOC, pass));
        table
    };
    let share = |config| Config { tenant_in_flight_max: 1, ..config };
    let server = Server::with(share, |app| http::router_of(app, routes())).await;
    let (acme, other) = (server.tenant("Acme").await, server.tenant("Other").await);
    let caller = |tenant| server.admin().acting_for(tenant);
    let (flooding, modest) = (caller(acme), caller(other));
    {
        let mut held = pin!(flooding.get("/hold"));
        tokio::select! {
            answer = &mut held => panic!("{answer:?}"),
            () = HELD.notified() => {}
        }
        let answer = flooding.get("/pass").await;
        assert_eq!(answer.header("retry-after"), "1");
        answer.refused(429, "TENANT_BUSY");
        modest.get("/pass").await.expect(200);
        server.admin().get("/api/v1/tenants").await.expect(200);
    }
    // Its caller has gone.
    flooding.get("/pass").await.expect(200);
    let metrics = server.anon().get("/metrics").await.text;
    assert!(metrics.contains("\nincent_http_requests_over_share_total 1\n"), "{metrics}");
}

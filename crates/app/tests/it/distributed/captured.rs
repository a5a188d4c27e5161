//! Changes captured by the real Debezium and counted by the role `aggregator`: what Redis says is
//! what the ledger says, through deaths, repeats, an emptied Redis and a lost slot.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::redis::RedisServer;
use testkit::services::connect_url;

use super::aggregates::{agrees, board, sums};
use super::connector::Connector;
use super::rest::Rest;
use super::stage::{PATIENCE, Stage};
use crate::support::{ADMIN, Platform, Said};

const USERS: usize = 20;
const EVENTS: usize = 200;

#[test]
fn what_is_granted_is_counted_once_whatever_happens() {
    let redis = RedisServer::start(&[]);
    let stage = Stage::with_redis(&redis.url());
    let made = stage.prepare("2");
    assert!(made.out.contains(&stage.aggregates_topic), "{}", made.out);
    let connector = Connector::start(&stage, "db.incentives.redis.json", &stage.aggregates_topic);

    let front = stage.serve("front", "events,cms,cohorts,ic");
    let aggregator = stage.serve("aggregator", "aggregator");
    let (tenant, rest) = (shop(&front), Rest::new(&front.url));
    let mut sent = 0;
    let mut grant = |users: usize| {
        send(&front, &tenant, sent, users);
        sent += EVENTS;
        stage.until("select count(*) from events where outcome is not null", sent as i64);
    };

    grant(USERS);
    agrees(&stage.db, &rest, &tenant, "EUR");

    // Dead in the middle of it, and again.
    let mut dying = aggregator;
    grant(USERS);
    dying.signal("KILL");
    dying.wait();
    grant(USERS);
    let aggregator = stage.serve("aggregator-2", "aggregator");
    agrees(&stage.db, &rest, &tenant, "EUR");

    // Everything once more: another group begins at the beginning of the topic.
    aggregator.stop();
    let group = format!("again-{}", stage.unique);
    let aggregator = stage.serve_as("aggregator-3", "aggregator", &[("INCENT_GROUP", &group)]);
    connector.restart();
    grant(USERS);
    agrees(&stage.db, &rest, &tenant, "EUR");

    // Redis is emptied.
    redis.ask(&["flushall"]);
    grant(USERS);
    agrees(&stage.db, &rest, &tenant, "EUR");
    let metrics = text(&format!("{}/metrics", aggregator.url));
    let mended = r#"incent_aggregates_mended_total{reason="unknown"}"#;
    assert!(metrics.contains(mended), "{metrics}");
    assert!(metrics.contains("incent_slot_behind_bytes{"), "{metrics}");

    lost_slot(&stage, (&front, &tenant), &connector, &mut grant);
    assert!(aggregator.stop().success() && front.stop().success(), "they stop in order");
}

/// A task that does not find what it needs when it starts has failed for Connect, which lets it lie;
/// the role that reads its topic starts it again until it runs.
#[test]
fn a_connector_that_failed_is_started_again() {
    let stage = Stage::new();
    stage.prepare("1");
    let topic = &stage.aggregates_topic;
    let connector = Connector::start(&stage, "db.incentives.redis.json", topic);
    let connect = [("INCENT_CONNECT_URL", &*connect_url())];
    let aggregator = stage.serve_as("aggregator", "aggregator", &connect);
    let state = |failed| format!("incent_connector_failed{{connector=\"{topic}\"}} {failed}\n");
    until_told(&aggregator, &state(0));

    stage.rows("alter publication incent_incentives rename to away");
    connector.restart_in_vain();
    until_told(&aggregator, &state(1));
    stage.rows("alter publication away rename to incent_incentives");
    connector.is_read();
    until_told(&aggregator, &state(0));
    let metrics = text(&format!("{}/metrics", aggregator.url));
    assert!(metrics.contains("incent_connector_starts_total{"), "{metrics}");
    let log = stage.log("aggregator");
    let is_told = |line: &&Value| line["message"] == "it has failed and is started again";
    let told = log.iter().find(is_told).expect("the log says so");
    assert!(told["why"].as_str().is_some_and(|why| why.contains("ublication")), "{told}");
    let mut doctor = stage.command(&["doctor"]);
    let said = Said::of(doctor.envs(connect).output().unwrap());
    assert!(
        said.out.contains(&format!("\"ready\":true,\"states\":\"connector {topic} runs\"")),
        "{}",
        said.out
    );
    assert!(aggregator.stop().success(), "it stops in order");
}

#[track_caller]
fn until_told(of: &Platform, line: &str) {
    let begun = Instant::now();
    loop {
        let metrics = text(&format!("{}/metrics", of.url));
        if metrics.contains(line) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{line} is not told:\n{metrics}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// F21: what was granted while there was no slot never comes. It is detected, and mended.
fn lost_slot(
    stage: &Stage,
    (front, tenant): (&Platform, &str),
    connector: &Connector<'_>,
    grant: &mut impl FnMut(usize),
) {
    let rest = Rest::new(&front.url);
    connector.remove();
    let drop = "select pg_drop_replication_slot(slot_name)::text from pg_replication_slots \
                where database = current_database()";
    stage.rows(drop);
    grant(USERS);
    connector.register();
    // One that is new earns: nobody's number tells, but sums do.
    let newcomer = json!({"events": [event("newcomer", USERS * 1000)]});
    post(front, tenant, &newcomer);
    let begun = Instant::now();
    while board(&rest, tenant, "EUR").iter().all(|line| !line.starts_with("newcomer ")) {
        assert!(begun.elapsed() < PATIENCE, "the newcomer is not counted");
        stage.rows("select pg_sleep(0.2)::text");
    }
    assert_eq!(front.get(&sums(tenant), None)["source"], "AGGREGATES");
    stage.run(&["doctor", "--deep"]).failed(1, &["1 promises are broken"]);
    let said = stage.run(&["doctor", "--deep"]);
    assert!(said.out.contains("incent aggregates rebuild"), "{}", said.out);
    assert_eq!(stage.run(&["aggregates", "rebuild"]).well().out.trim(), tenant);
    agrees(&stage.db, &rest, tenant, "EUR");
    let well = stage.run(&["doctor", "--deep"]).well();
    assert!(well.out.contains("publication incent_incentives"), "{}", well.out);
}

fn shop(front: &Platform) -> String {
    let tenant = front.send("POST", "/api/v1/tenants", &json!({"name": "Shop"}));
    let tenant = tenant["tenantId"].as_str().unwrap().to_owned();
    let campaign = |name: &str, reward: Value| {
        let new = json!({"tenantId": tenant, "name": name, "type": "SIMPLE",
                         "startAt": "2020-01-01T00:00:00Z",
                         "rule": {"on": ["purchase"], "rewards": [reward]}});
        let made = front.send("POST", "/api/v1/campaigns", &new);
        let id = made["campaignId"].as_str().unwrap().to_owned();
        front.send("POST", &format!("/api/v1/campaigns/{id}:activate"), &json!({}));
    };
    campaign(
        "Back",
        json!({"type": "CASHBACK", "currency": "EUR",
        "amount": {"percent": {"rate": 5, "of": "event.amount"}}}),
    );
    campaign("Points", json!({"type": "POINTS", "amount": "10"}));
    tenant
}

fn event(user: &str, id: usize) -> Value {
    let amount = format!("{}.{:02}", 1 + id % 90, id % 100);
    let payload: Value = serde_json::from_str(&format!(r#"{{"amount": {amount}}}"#)).unwrap();
    json!({"eventId": format!("e-{id}"), "userId": user, "action": "purchase", "payload": payload})
}

fn send(front: &Platform, tenant: &str, first: usize, users: usize) {
    let event = |id: usize| event(&format!("u{}", id % users), id);
    let events: Vec<Value> = (first..first + EVENTS).map(event).collect();
    post(front, tenant, &json!({"events": events}));
}

fn post(front: &Platform, tenant: &str, events: &Value) {
    let mut answer = ureq::post(format!("{}/api/v1/events:batch", front.url))
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("incent-tenant", tenant)
        .send_json(events)
        .unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|r| r["status"] == "ACCEPTED"), "{answer}");
}

fn text(url: &str) -> String {
    ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

//! Changes captured by the real Debezium and counted by the role `aggregator`: what Redis says is
//! what the ledger says, through deaths, repeats, an emptied Redis and a lost slot.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::redis::RedisServer;

use super::stage::{PATIENCE, Stage};
use crate::support::{ADMIN, Platform};

const USERS: usize = 20;
const EVENTS: usize = 200;

/// The connector of `deploy/debezium`, with names of this test's own.
struct Connector {
    url: String,
    name: String,
    config: Value,
}

impl Connector {
    fn of(stage: &Stage) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../deploy/debezium/db.incentives.redis.json");
        let file = std::fs::read_to_string(file).unwrap();
        let mut config = serde_json::from_str::<Value>(&file).unwrap()["config"].take();
        let (unique, name) = (&stage.unique, format!("db.incentives.redis-{}", stage.unique));
        for (key, value) in [
            ("database.dbname", stage.database.clone()),
            ("slot.name", format!("incent_aggregator_{unique}")),
            ("topic.prefix", format!("cdc_aggregator_{unique}")),
            (
                "transforms.exactTopic.regex",
                format!("cdc_aggregator_{unique}\\.public\\.incentives"),
            ),
            ("transforms.exactTopic.replacement", stage.aggregates_topic.clone()),
            ("topic.creation.default.replication.factor", "1".to_owned()),
        ] {
            assert!(!config[key].is_null(), "{key} is not in the file");
            config[key] = json!(value);
        }
        Self { url: testkit::services::connect_url(), name, config }
    }

    /// Registers it, and waits until its slot is read.
    fn start(&self, stage: &Stage) {
        let url = format!("{}/connectors/{}/config", self.url, self.name);
        let mut tries = 0;
        while let Err(error) = ureq::put(&url).send_json(&self.config) {
            tries += 1;
            assert!(tries < 60, "{error}");
            stage.rows("select pg_sleep(0.5)::text");
        }
        let active = "select count(*) from pg_replication_slots \
                      where database = current_database() and active";
        let begun = Instant::now();
        while stage.number(active) != 1 {
            let status = ureq::get(format!("{}/connectors/{}/status", self.url, self.name)).call();
            let status = status.map(|mut s| s.body_mut().read_to_string().unwrap_or_default());
            assert!(begun.elapsed() < PATIENCE, "the connector does not start: {status:?}");
            stage.rows("select pg_sleep(0.2)::text");
        }
    }

    /// Restarts it with its task.
    fn restart(&self, stage: &Stage) {
        let url = format!("{}/connectors/{}/restart?includeTasks=true", self.url, self.name);
        ureq::post(url).send_empty().unwrap();
        self.start(stage);
    }

    /// Removes it and what it remembers: with an offset from before the slot it would refuse.
    fn remove(&self, stage: &Stage) {
        let connector = format!("{}/connectors/{}", self.url, self.name);
        ureq::put(format!("{connector}/stop")).send_empty().unwrap();
        let active = "select count(*) from pg_replication_slots \
                      where database = current_database() and active";
        stage.until(active, 0);
        let begun = Instant::now();
        while let Err(error) = ureq::delete(format!("{connector}/offsets")).call() {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            stage.rows("select pg_sleep(0.5)::text");
        }
        ureq::delete(connector).call().unwrap();
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // Whatever became of the test, nobody reads for it any more.
        let _ = ureq::delete(format!("{}/connectors/{}", self.url, self.name)).call();
    }
}

#[test]
fn what_is_granted_is_counted_once_whatever_happens() {
    let redis = RedisServer::start(&[]);
    let stage = Stage::with_redis(&redis.url());
    stage.run(&["migrate"]).well();
    let create = ["topics", "create", "--partitions", "2", "--replication", "1"];
    let made = stage.run(&[&create[..], &["--retention-hours", "1"]].concat()).well();
    assert!(made.out.contains(&stage.aggregates_topic), "{}", made.out);
    let connector = Connector::of(&stage);
    connector.start(&stage);

    let front = stage.serve("front", "events,cms,cohorts,ic");
    let aggregator = stage.serve("aggregator", "aggregator");
    let tenant = shop(&front);
    let mut sent = 0;
    let mut grant = |users: usize| {
        send(&front, &tenant, sent, users);
        sent += EVENTS;
        stage.until("select count(*) from events where outcome is not null", sent as i64);
    };

    grant(USERS);
    agrees(&stage, &front, &tenant);

    // Dead in the middle of it, and again.
    let mut dying = aggregator;
    grant(USERS);
    dying.signal("KILL");
    dying.wait();
    grant(USERS);
    let aggregator = stage.serve("aggregator-2", "aggregator");
    agrees(&stage, &front, &tenant);

    // Everything once more: another group begins at the beginning of the topic.
    aggregator.stop();
    let group = format!("again-{}", stage.unique);
    let aggregator = stage.serve_as("aggregator-3", "aggregator", &[("INCENT_GROUP", &group)]);
    connector.restart(&stage);
    grant(USERS);
    agrees(&stage, &front, &tenant);

    // Redis is emptied.
    redis.ask(&["flushall"]);
    grant(USERS);
    agrees(&stage, &front, &tenant);
    let metrics = text(&format!("{}/metrics", aggregator.url));
    let mended = r#"incent_aggregates_mended_total{reason="unknown"}"#;
    assert!(metrics.contains(mended), "{metrics}");
    assert!(metrics.contains("incent_slot_behind_bytes{"), "{metrics}");

    lost_slot(&stage, (&front, &tenant), &connector, &mut grant);
    assert!(aggregator.stop().success() && front.stop().success(), "they stop in order");
}

/// F21: what was granted while there was no slot never comes. It is detected, and mended.
fn lost_slot(
    stage: &Stage,
    (front, tenant): (&Platform, &str),
    connector: &Connector,
    grant: &mut impl FnMut(usize),
) {
    connector.remove(stage);
    let drop = "select pg_drop_replication_slot(slot_name)::text from pg_replication_slots \
                where database = current_database()";
    stage.rows(drop);
    grant(USERS);
    connector.start(stage);
    // One that is new earns: nobody's number tells, but sums do.
    let newcomer = json!({"events": [event("newcomer", USERS * 1000)]});
    post(front, tenant, &newcomer);
    let begun = Instant::now();
    while board(front, tenant, None).iter().all(|line| !line.starts_with("newcomer ")) {
        assert!(begun.elapsed() < PATIENCE, "the newcomer is not counted");
        stage.rows("select pg_sleep(0.2)::text");
    }
    assert_eq!(front.get(&aggregates(tenant), None)["source"], "AGGREGATES");
    stage.run(&["doctor", "--deep"]).failed(1, &["1 promises are broken"]);
    let said = stage.run(&["doctor", "--deep"]);
    assert!(said.out.contains("incent aggregates rebuild"), "{}", said.out);
    assert_eq!(stage.run(&["aggregates", "rebuild"]).well().out.trim(), tenant);
    agrees(stage, front, tenant);
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

fn aggregates(tenant: &str) -> String {
    format!("/api/v1/tenants/{tenant}/aggregates")
}

/// A leaderboard: user, number, amount; of a day or of all time.
fn board(front: &Platform, tenant: &str, day: Option<&str>) -> Vec<String> {
    let day = day.map(|day| format!("&day={day}")).unwrap_or_default();
    let path = format!("/api/v1/tenants/{tenant}/leaderboards?currency=EUR&top=1000{day}");
    let board = front.get(&path, None);
    let text = |line: &Value| {
        let [user, amount] = ["userId", "amount"].map(|key| line[key].as_str().unwrap());
        format!("{user} {} {amount}", line["incentives"])
    };
    board["items"].as_array().unwrap().iter().map(text).collect()
}

/// Waits until what REST answers out of Redis is what SQL says: sums by day and currency, and who
/// leads.
fn agrees(stage: &Stage, front: &Platform, tenant: &str) {
    let of = format!("from incentives where tenant_id = '{tenant}'");
    let sums = format!(
        "select date '1970-01-01' + limit_day || ' ' || reward_currency || ' ' || count(*) || ' '
             || trim_scale(sum(reward_amount)) {of}
         group by limit_day, reward_currency order by limit_day, reward_currency"
    );
    let leaders = format!(
        "select user_ref || ' ' || count(*) || ' ' || trim_scale(sum(reward_amount)) {of}
             and reward_currency = 'EUR'
         group by user_ref
         order by sum(reward_amount) desc, max(issued_at), user_ref collate \"C\""
    );
    let begun = Instant::now();
    loop {
        let told = front.get(&aggregates(tenant), None);
        let line = |day: &Value| {
            let [on, currency, amount] =
                ["day", "currency", "amount"].map(|key| day[key].as_str().unwrap());
            format!("{on} {currency} {} {amount}", day["incentives"])
        };
        let counted: Vec<String> = told["days"].as_array().unwrap().iter().map(line).collect();
        let wanted = stage.rows(&sums);
        if counted == wanted && told["source"] == "AGGREGATES" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{counted:?} from {}: {wanted:?}", told["source"]);
        stage.rows("select pg_sleep(0.2)::text");
    }
    assert_eq!(board(front, tenant, None), stage.rows(&leaders));
}

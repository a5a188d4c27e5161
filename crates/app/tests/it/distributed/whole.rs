//! The whole sequence in processes of their own: one takes events and serves campaigns, two decide,
//! one pushes. One of the deciders is killed in the middle.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::shop::SECRET;
use super::stage::{Stage, look, send_batch};
use crate::support::{ADMIN, Platform, lines_of, next_line};

const TENANTS: usize = 4;
const USERS: usize = 25;
const BATCHES: usize = 10;
const BATCH: usize = 100;
/// Events that a producer in Python sends past our REST API.
const FOREIGN: usize = 200;

struct Shop {
    tenant: String,
    /// Pays ten points for each purchase.
    each: String,
    /// Pays five points for the first three of a user.
    first: String,
}

#[test]
fn each_event_is_decided_once_across_processes_and_a_death() {
    let stage = Stage::new();
    stage.prepare("4");

    let front = stage.serve("front", "events,cms,cohorts");
    let mut dying = stage.serve("ic-1", "ic");
    let surviving = stage.serve("ic-2", "ic");
    let push = stage.serve("dcm", "dcm");
    roles_are_kept_apart(&front, &surviving);

    let shops: Vec<Shop> = (0..TENANTS).map(|n| shop(&front, n)).collect();
    decided_elsewhere_and_waited_for(&front, &shops[0].tenant);
    let mut device = listening(&push, &shops[0].tenant);

    thread::scope(|scope| {
        let foreign = scope.spawn(|| foreign_producer(&stage, &shops[1].tenant));
        for shop in &shops {
            scope.spawn(|| send(&front, &shop.tenant));
        }
        // Once it has decided something, and with more to come.
        stage.until("select (count(*) > 500)::int from events", 1);
        dying.signal("KILL");
        dying.wait();
        foreign.join().unwrap();
    });
    let total = (TENANTS * BATCHES * BATCH + FOREIGN + 1) as i64;
    stage.until("select count(*) from events where outcome is not null", total);
    stage.until(
        "select count(*) from incentives i where not exists (select 1 from \
         incentive_event_log l where l.incentive_id = i.incentive_id)",
        0,
    );

    nothing_twice_and_nothing_lost(&stage, total);
    paid_as_the_campaigns_say(&stage, &shops);
    device.heard(&stage);
    redis_counts_what_was_granted(&stage, &shops);
    print_take_over(&stage);
    for process in [front, surviving, push] {
        assert!(process.stop().success(), "it stops in order");
    }
}

fn roles_are_kept_apart(front: &Platform, calculator: &Platform) {
    let (code, problem) = look(&format!("{}/ws", front.url));
    assert!(code == 404 && problem.contains("the role dcm"), "{code} {problem}");
    let (code, problem) = look(&format!("{}/api/v1/tenants", calculator.url));
    assert!(code == 404 && problem.contains("the role cms"), "{code} {problem}");
    let (code, ready) = look(&format!("{}/readyz", calculator.url));
    assert!(code == 200 && ready.contains("kafka") && ready.contains("postgresql"), "{ready}");
}

fn shop(front: &Platform, n: usize) -> Shop {
    // The producer in Python sends events of last March.
    let tenant = json!({"name": format!("Shop {n}"), "allowedLateness": "P3000D"});
    let tenant = front.send("POST", "/api/v1/tenants", &tenant);
    let tenant = tenant["tenantId"].as_str().unwrap().to_owned();
    let auth = json!({"secret": SECRET, "algorithms": ["HS256"]});
    front.send("PUT", &format!("/api/v1/tenants/{tenant}/push-auth"), &auth);
    let campaign = |name: &str, rule: Value| {
        let new = json!({"tenantId": tenant, "name": name, "type": "SIMPLE",
                         "startAt": "2020-01-01T00:00:00Z", "rule": rule});
        let made = front.send("POST", "/api/v1/campaigns", &new);
        let id = made["campaignId"].as_str().unwrap().to_owned();
        front.send("POST", &format!("/api/v1/campaigns/{id}:activate"), &json!({}));
        id
    };
    let points = |amount: &str| json!([{"type": "POINTS", "amount": amount}]);
    let actions = json!(["purchase", "order.paid"]);
    let each = campaign("Each", json!({"on": actions, "rewards": points("10")}));
    let repeat = json!({"max": 3});
    let first = campaign("First", json!({"on": actions, "repeat": repeat, "rewards": points("5")}));
    Shop { tenant, each, first }
}

/// The decision is made in another process than the one that answers.
fn decided_elsewhere_and_waited_for(front: &Platform, tenant: &str) {
    let event = json!({"eventId": "waited-for", "userId": "patient", "action": "purchase",
                       "payload": {"amount": 1}});
    let mut answer = ureq::post(format!("{}/api/v1/events", front.url))
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("incent-tenant", tenant)
        .header("prefer", "wait=30")
        .send_json(&event)
        .unwrap();
    let decided: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(answer.status(), 200, "{decided}");
    assert_eq!(decided["decision"]["decided"], true, "{decided}");
}

/// Sends a tenant's events; every third batch twice, as a client does that has lost the answer.
fn send(front: &Platform, tenant: &str) {
    for batch in 0..BATCHES {
        let event = |n: usize| {
            let id = batch * BATCH + n;
            json!({"eventId": format!("e-{id}"), "userId": format!("u{}", id % USERS),
                   "action": "purchase", "payload": {"amount": id}})
        };
        let events: Vec<Value> = (0..BATCH).map(event).collect();
        for _ in 0..=usize::from(batch % 3 == 0) {
            send_batch(front, tenant, events.clone());
        }
    }
}

fn foreign_producer(stage: &Stage, tenant: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let produced = Command::new(testkit::services::python())
        .arg(root.join("crates/bus-kafka/tests/python/produce_events.py"))
        .arg(root.join("schemas/avro"))
        .args([&testkit::services::kafka_brokers(), &stage.events_topic, tenant])
        .arg(FOREIGN.to_string())
        .output()
        .unwrap();
    assert!(produced.status.success(), "{}", String::from_utf8_lossy(&produced.stderr));
}

/// A device of user u1 at the process that pushes.
struct Device {
    child: std::process::Child,
    frames: std::sync::mpsc::Receiver<String>,
}

/// What u1 earns: all purchases, and the first three again.
const FRAMES: usize = BATCHES * BATCH / USERS + 3;

fn listening(push: &Platform, tenant: &str) -> Device {
    let count = FRAMES.to_string();
    let mut child = push
        .command(Some(tenant), &["listen", "--user", "u1", "--count", &count, "-v"])
        .env("INCENT_PUSH_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It says so when it is connected.
    let said = child.stderr.take().unwrap();
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(said));
    let hello = said.next().unwrap().unwrap();
    assert!(hello.starts_with("listening for u1"), "{hello}");
    thread::spawn(move || said.for_each(drop));
    let frames = lines_of(&mut child);
    Device { child, frames }
}

impl Device {
    /// All that the user has earned came, in order and once.
    fn heard(&mut self, stage: &Stage) {
        let mut heard = BTreeMap::new();
        for seq in 1..=FRAMES {
            let frame: Value = serde_json::from_str(&next_line(&self.frames)).unwrap();
            assert_eq!(
                (&frame["type"], &frame["seq"]),
                (&json!("INCENTIVE_NOTIFICATION"), &json!(seq))
            );
            let id = frame["incentiveId"].as_str().unwrap().to_owned();
            heard.insert(id, frame["reward"]["amount"].clone());
        }
        assert!(self.child.wait().unwrap().success());
        let stored = stage.rows(
            "select i.incentive_id || ' ' || i.reward_amount::int from incentives i
             join tenants t on t.tenant_id = i.tenant_id
             where t.name = 'Shop 0' and i.user_ref = 'u1' order by i.incentive_id",
        );
        let heard: Vec<String> =
            heard.iter().map(|(id, amount)| format!("{id} {amount}")).collect();
        assert_eq!(heard, stored);
    }
}

fn nothing_twice_and_nothing_lost(stage: &Stage, total: i64) {
    for (what, sql, wanted) in [
        ("events", "select count(distinct (tenant_id, event_id)) from events", total),
        ("event ids", "select count(*) from event_ids", total),
        ("dead letters", "select count(*) from dead_letters", 0),
        (
            "users whose incentives are not numbered without a gap",
            "select count(*) from (select 1 from incentives group by user_id
             having min(seq) <> 1 or max(seq) <> count(*) or count(distinct seq) <> count(*)) x",
            0,
        ),
        (
            "gaps between batches",
            "select count(*) from (select batch_seq - lag(batch_seq, 1, 0::bigint) over w as step,
                 offset_from - lag(offset_to, 1, 0::bigint) over w as hole from batches
             window w as (partition by partition order by batch_seq)) x
             where step <> 1 or hole <> 0",
            0,
        ),
        (
            "positions that are not behind their last batch",
            "select count(*) from positions p join (select partition, max(batch_seq) as batch_seq,
                 max(offset_to) as offset_to from batches group by partition) b using (partition)
             where p.batch_seq <> b.batch_seq or p.next_offset <> b.offset_to",
            0,
        ),
        (
            "publications of nothing",
            "select count(*) from incentive_event_log l left join incentives i using (incentive_id)
             where i.incentive_id is null",
            0,
        ),
    ] {
        assert_eq!(stage.number(sql), wanted, "{what}");
    }
    let repeated = "select sum((counts ->> 'DUPLICATE')::bigint) from batches";
    assert_eq!(
        stage.number(repeated),
        (TENANTS * BATCH * 4) as i64,
        "every third batch was sent twice"
    );
}

fn paid_as_the_campaigns_say(stage: &Stage, shops: &[Shop]) {
    let mut expected = BTreeMap::new();
    for (n, shop) in shops.iter().enumerate() {
        // The waited-for event is the first tenant's, those from Python are the second one's.
        let (events, users) = match n {
            0 => (BATCHES * BATCH + 1, USERS + 1),
            1 => (BATCHES * BATCH + FOREIGN, USERS + 1),
            _ => (BATCHES * BATCH, USERS),
        };
        // Patient has one purchase only.
        let first = users * 3 - if n == 0 { 2 } else { 0 };
        expected.insert(shop.each.clone(), format!("{events} {}", events * 10));
        expected.insert(shop.first.clone(), format!("{first} {}", first * 5));
    }
    let paid = stage.rows(
        "select campaign_id || ' ' || count(*) || ' ' || sum(reward_amount)::int
         from incentives group by campaign_id order by campaign_id::text",
    );
    let expected: Vec<String> = expected.iter().map(|(id, sums)| format!("{id} {sums}")).collect();
    assert_eq!(paid, expected);
}

/// The plain integers of the day, also after a death between reserving and settling: what the dead
/// process had reserved and not granted is given back.
fn redis_counts_what_was_granted(stage: &Stage, shops: &[Shop]) {
    for shop in shops {
        let granted = "select count(*)::text from incentives where tenant_id = ";
        let granted = stage.rows(&format!("{granted}'{}'", shop.tenant)).remove(0);
        stage.until_redis(&format!("limit:{{{}}}:daily", shop.tenant), &granted);
    }
}

/// How long it took from hearing of a dead owner's partition to its first commit. For people: on a
/// loaded machine it may be anything.
fn print_take_over(stage: &Stage) {
    let log = stage.log("ic-2");
    let mut came = log.iter().filter(|line| line["message"] == "partitions come");
    let Some(at) = came.next_back().and_then(|line| line["timestamp"].as_str()) else { return };
    let took = stage.rows(&format!(
        "select partition || ': ' || round(extract(epoch from min(b.committed_at)
             - timestamptz '{at}') * 1000) || ' ms'
         from batches b where b.epoch = (select max(epoch) from batches o
             where o.partition = b.partition) and b.epoch > 1
         and b.committed_at > timestamptz '{at}' group by partition order by partition"
    ));
    println!("from assignment to the first commit of a new owner, by partition: {took:?}");
}

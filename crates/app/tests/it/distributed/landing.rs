//! Granted, captured by the real Debezium, landed, and summed by DuckDB: the same as in SQL. The
//! process that lands is killed in the middle, and everything comes to it a second time.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::asked::Asked;
use super::connector::Connector;
use super::stage::{PATIENCE, Stage, send_batch};
use crate::support::{ADMIN, Platform, Said, incent};

const EVENTS: usize = 800;
const BATCH: usize = 100;
const USERS: usize = 20;
/// Settings of the process that lands, by which a file comes of every few rows.
pub const LANDS: [(&str, &str); 3] = [
    ("INCENT_ANALYTICS_DIR", "landing"),
    ("INCENT_ANALYTICS_ROWS", "150"),
    ("INCENT_ANALYTICS_SECONDS", "1"),
];

#[test]
fn duckdb_sums_what_landed_as_sql_sums_what_was_granted() {
    let stage = Stage::new();
    stage.prepare("2");
    let _connector = Connector::start(&stage, "db.incentives.json", &stage.analytics_topic);
    let front = stage.serve("front", "events,cms,ic");
    let tenants = ["Europe/Paris", "Pacific/Auckland"].map(|zone| tenant(&front, zone));

    let mut dying = stage.serve_as("landing-1", "analytics", &LANDS);
    a_second_process_is_refused(&stage);
    send(&front, &tenants, 0..EVENTS / 2);
    until_landed(stage.dir(), 1);
    dying.signal("KILL");
    dying.wait();
    let before = files(stage.dir());

    send(&front, &tenants, EVENTS / 2..EVENTS);
    // The offsets are a hint and may be lost: all comes again.
    without_offsets(&stage);
    let landing = stage.serve_as("landing-2", "analytics", &LANDS);
    let granted = stage.granted(EVENTS * 2);
    until_landed(stage.dir(), granted);
    assert!(files(stage.dir()) > before, "more files, or others");
    its_metrics_say_so(&landing, before);
    landed_equals_granted(&stage);
    doctor_agrees(stage.dir());

    // What is in hand lands when the process stops.
    assert!(landing.stop().success());
    let slow = [LANDS[0], ("INCENT_ANALYTICS_SECONDS", "3600")];
    let landing = stage.serve_as("landing-3", "analytics", &slow);
    send(&front, &tenants, EVENTS..EVENTS + BATCH);
    let granted = stage.granted((EVENTS + BATCH) * 2);
    until_in_hand(&landing, BATCH * 2);
    assert_ne!(landed(stage.dir()), granted, "an hour is not over");
    assert!(landing.stop().success());
    assert_eq!(landed(stage.dir()), granted);
    landed_equals_granted(&stage);
    nothing_beside_the_manifest(&stage);
    assert!(front.stop().success());
}

/// A tenant who pays two per cent in euros and ten points for each purchase.
fn tenant(front: &Platform, zone: &str) -> String {
    let tenant = front.send("POST", "/api/v1/tenants", &json!({"name": zone, "timeZone": zone}));
    let tenant = tenant["tenantId"].as_str().unwrap().to_owned();
    let percent = json!({"percent": {"rate": 2, "of": "event.amount"}});
    let euros = json!([{"type": "CASHBACK", "currency": "EUR", "amount": percent}]);
    let points = json!([{"type": "POINTS", "amount": "10.25"}]);
    for (name, rewards) in [("Euros", euros), ("Points", points)] {
        let new = json!({"tenantId": tenant, "name": name, "type": "SIMPLE",
                         "startAt": "2020-01-01T00:00:00Z",
                         "rule": {"on": ["purchase"], "rewards": rewards}});
        let made = front.send("POST", "/api/v1/campaigns", &new);
        let id = made["campaignId"].as_str().unwrap();
        front.send("POST", &format!("/api/v1/campaigns/{id}:activate"), &json!({}));
    }
    tenant
}

/// Sends events, each to one of the tenants in turn.
fn send(front: &Platform, tenants: &[String], events: std::ops::Range<usize>) {
    for from in events.clone().step_by(BATCH) {
        for (n, tenant) in tenants.iter().enumerate() {
            let ids = (from..from + BATCH).filter(|id| id % tenants.len() == n);
            let event = |id: usize| {
                json!({"eventId": format!("e-{id}"), "userId": format!("u{}", id % USERS),
                       "action": "purchase", "payload": {"amount": 10 + id}})
            };
            send_batch(front, tenant, ids.map(event).collect());
        }
    }
}

fn a_second_process_is_refused(stage: &Stage) {
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--roles", "analytics", "--admin-token", ADMIN];
    let said = stage.command(&serve).envs(LANDS).output().unwrap();
    Said::of(said).failed(5, &["another process with the role analytics lands there"]);
}

fn manifest(dir: &Path) -> Value {
    let text = fs::read_to_string(dir.join("landing/manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn landed(dir: &Path) -> i64 {
    let manifest = manifest(dir);
    let files = manifest["files"].as_array().unwrap().iter();
    files.map(|file| file["rows"].as_i64().unwrap()).sum()
}

/// Numbers of the last file.
fn files(dir: &Path) -> i64 {
    manifest(dir)["nextFile"].as_i64().unwrap()
}

#[track_caller]
pub fn until_landed(dir: &Path, wanted: i64) {
    let begun = Instant::now();
    loop {
        let found = landed(dir);
        if found >= wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found} of {wanted} rows have landed");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

fn until_in_hand(landing: &Platform, wanted: usize) {
    let begun = Instant::now();
    loop {
        let metrics = metrics(landing);
        if metrics.contains(&format!("incent_analytics_in_hand_rows {wanted}\n")) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{metrics}");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

fn metrics(of: &Platform) -> String {
    let mut answer = ureq::get(format!("{}/metrics", of.url)).call().unwrap();
    answer.body_mut().read_to_string().unwrap()
}

/// Everything had come before it was killed came again, and was dropped.
fn its_metrics_say_so(landing: &Platform, files_before: i64) {
    assert!(files_before > 1, "something had landed");
    let metrics = metrics(landing);
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|n| n.trim().parse::<i64>().ok()).unwrap_or_else(|| panic!("{metrics}"))
    };
    assert!(value("incent_analytics_repeats_total") > 0, "{metrics}");
    assert!(value("incent_analytics_rows_total") > 0, "{metrics}");
}

fn without_offsets(stage: &Stage) {
    let mut manifest = manifest(stage.dir());
    manifest["offsets"] = json!({});
    fs::write(stage.dir().join("landing/manifest.json"), manifest.to_string()).unwrap();
}

/// The doctor finds in the files what it finds in the ledger.
pub fn doctor_agrees(dir: &Path) {
    let args = ["doctor", "--deep", "--analytics-dir", "landing", "--config", "services.yaml"];
    let said = Said::of(incent(dir, &args).output().expect("incent runs"));
    assert!(said.out.contains("each captured incentive has landed once, in"), "{said:?}");
}

/// What the shipped statements for DuckDB say of the files, or then a query: a line for each row.
fn duckdb(dir: &Path, query: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = Command::new(testkit::services::python())
        .arg(root.join("tests/python/duckdb_says.py"))
        .arg(root.join("../../deploy/analytics/duckdb.sql"))
        .args(query)
        .current_dir(dir.join("landing"))
        .output()
        .unwrap();
    Said::of(said).well().out
}

/// By tenant, campaign, currency and day: numbers and amounts, as the shipped statements for DuckDB
/// give them, and as PostgreSQL does.
fn landed_equals_granted(stage: &Stage) {
    let said = duckdb(stage.dir(), &[]);
    let mut found: Vec<&str> = said.lines().collect();
    let mut expected = stage.rows(
        "select concat_ws('|', tenant_id, campaign_id, reward_currency,
             date '1970-01-01' + limit_day, count(*), sum(reward_amount)::numeric(38, 9))
         from incentives group by tenant_id, campaign_id, reward_currency, limit_day",
    );
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(found.len() >= 4, "two tenants with two campaigns: {found:?}");
}

/// What the shipped statements make of the files in DuckDB, and the ledger.
pub fn landed_row_by_row(db: &Asked, dir: &Path) {
    let columns = "incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version,
        event_id, type, reward_currency, AMOUNT, coalesce(coupon_code, '-'), ISSUED, seq,
        source_partition, batch_seq, ordinal, DAY";
    let query = |amount: &str, issued: &str, day: &str| {
        let columns = columns.replace("AMOUNT", amount).replace("ISSUED", issued);
        format!("select concat_ws('|', {}) from incentives", columns.replace("DAY", day))
    };
    let landed = duckdb(dir, &[&query("reward_amount", "epoch_us(issued_at)", "limit_day")]);
    let mut granted = db.rows(&query(
        "reward_amount::numeric(38, 9)",
        "(extract(epoch from issued_at) * 1000000)::bigint",
        "date '1970-01-01' + limit_day",
    ));
    let mut landed: Vec<&str> = landed.lines().collect();
    landed.sort_unstable();
    granted.sort_unstable();
    let differ = landed.iter().zip(&granted).find(|(landed, granted)| *landed != granted);
    assert!(differ.is_none() && landed.len() == granted.len(), "{differ:?}");
}

fn nothing_beside_the_manifest(stage: &Stage) {
    let manifest = manifest(stage.dir());
    let paths = |list: &str| {
        let files = manifest[list].as_array().unwrap().clone();
        files.into_iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut named = [paths("files"), paths("replaced")].concat();
    let mut there = Vec::new();
    for day in fs::read_dir(stage.dir().join("landing/incentives")).unwrap() {
        let day = day.unwrap();
        for file in fs::read_dir(day.path()).unwrap() {
            let (day, file) = (day.file_name(), file.unwrap().file_name());
            there.push(format!("incentives/{}/{}", day.display(), file.display()));
        }
    }
    named.sort_unstable();
    there.sort_unstable();
    assert_eq!(there, named);
}

//! A rolling restart under load: each process in its turn is told to stop, and another takes its
//! place, while senders send and a device listens. No answer is a server's fault, nothing is lost,
//! nothing is paid twice.

use std::fs::File;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::port;

use super::shop::SECRET;
use super::stage::Stage;
use crate::support::{ADMIN, Platform, lines_of, next_line};

const SENDERS: usize = 3;
/// Events in a call.
const BATCH: usize = 20;
/// Pause of a sender between two calls.
const PAUSE: Duration = Duration::from_millis(20);
/// The users; the device is the first one's.
const USERS: usize = 10;
/// Calls between two restarts, at least.
const CALLS: usize = 30;
/// Each process, with its roles.
const FLEET: [(&str, &str); 5] = [
    ("front-1", "events,cms,cohorts"),
    ("front-2", "events,cms,cohorts"),
    ("ic-1", "ic"),
    ("ic-2", "ic"),
    ("dcm", "dcm"),
];

/// What the senders have seen.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    /// Calls answered.
    calls: AtomicUsize,
    /// Calls made again elsewhere, because the process had gone.
    elsewhere: AtomicUsize,
}

#[test]
fn restarted_one_after_another_they_fail_nobody_and_lose_nothing() {
    let stage = Stage::new();
    stage.prepare("4");
    let mut fleet = FLEET.map(|(name, roles)| {
        let at = format!("127.0.0.1:{}", port::lasting());
        let process = stage.serve_at(&at, name, roles, &[]);
        (name, roles, at, process)
    });
    let fronts: Vec<String> = fleet[..2].iter().map(|(.., front)| front.url.clone()).collect();
    let tenant = shop(&fleet[0].3);
    let mut device = fleet[4]
        .3
        .command(Some(&tenant), &["listen", "--user", "user-0", "-v"])
        .env("INCENT_PUSH_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(File::create(stage.dir().join("device.log")).unwrap())
        .spawn()
        .unwrap();
    let frames = lines_of(&mut device);

    let seen = Seen::default();
    let sent: usize = thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (seen, fronts, tenant) = (&seen, &fronts, &tenant);
                scope.spawn(move || send(seen, fronts, tenant, sender))
            })
            .collect();
        for (name, roles, at, process) in &mut fleet {
            let before = seen.calls.load(Ordering::Relaxed);
            while seen.calls.load(Ordering::Relaxed) < before + CALLS {
                assert!(!senders.iter().any(|sender| sender.is_finished()), "a sender gave up");
                stage.rows("select pg_sleep(0.05)::text");
            }
            process.signal("TERM");
            assert!(process.wait().success(), "{name} stops in order");
            *process = stage.serve_at(at, &format!("{name}-again"), roles, &[]);
        }
        seen.is_over.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    let elsewhere = seen.elsewhere.load(Ordering::Relaxed);
    println!("{sent} events sent; {elsewhere} calls were made again elsewhere");

    let sent = i64::try_from(sent).unwrap();
    stage.until("select count(*) from events where outcome is not null", sent);
    stage.until("select count(*) from incentive_event_log", sent);
    for (what, sql) in [
        ("events", "select count(distinct event_id) from events"),
        ("incentives", "select count(*) from incentives"),
        ("paid events", "select count(distinct event_id) from incentives"),
    ] {
        assert_eq!(stage.number(sql), sent, "{what}");
    }
    // The device came back by itself, and has all of it once and in order.
    let earned = "select count(*) from incentives where user_ref = 'user-0'";
    for seq in 1..=stage.number(earned) {
        let ended = device.try_wait().unwrap();
        let log = || std::fs::read_to_string(stage.dir().join("device.log")).unwrap();
        assert_eq!(ended, None, "{}", log());
        let frame: Value = serde_json::from_str(&next_line(&frames)).unwrap();
        assert_eq!(frame["seq"], json!(seq), "{frame}");
    }
    device.kill().unwrap();
    device.wait().unwrap();
    for (name, _, _, process) in fleet {
        assert!(process.stop().success(), "{name} stops in order");
    }
}

fn shop(front: &Platform) -> String {
    let tenant = front.send("POST", "/api/v1/tenants", &json!({"name": "Never closed"}));
    let tenant = tenant["tenantId"].as_str().unwrap().to_owned();
    let auth = json!({"secret": SECRET, "algorithms": ["HS256"]});
    front.send("PUT", &format!("/api/v1/tenants/{tenant}/push-auth"), &auth);
    let rule = json!({"on": ["purchase"], "rewards": [{"type": "POINTS", "amount": "1"}]});
    let campaign = json!({"tenantId": tenant, "name": "A point each", "type": "SIMPLE",
                          "startAt": "2020-01-01T00:00:00Z", "rule": rule});
    let made = front.send("POST", "/api/v1/campaigns", &campaign);
    let id = made["campaignId"].as_str().unwrap();
    front.send("POST", &format!("/api/v1/campaigns/{id}:activate"), &json!({}));
    tenant
}

/// Sends until it is over, as a client behind a load balancer does: where a process has gone, the
/// same call goes to the next one. Returns how many events were taken.
fn send(seen: &Seen, fronts: &[String], tenant: &str, sender: usize) -> usize {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut sent = 0;
    let mut front = sender;
    while !seen.is_over.load(Ordering::Relaxed) {
        let event = |n: usize| {
            json!({"eventId": format!("{sender}-{n}"), "userId": format!("user-{}", n % USERS),
                   "action": "purchase", "payload": {"amount": n}})
        };
        let events: Vec<Value> = (sent..sent + BATCH).map(event).collect();
        let body = json!({ "events": events });
        let mut answer = loop {
            let called = agent
                .post(format!("{}/api/v1/events:batch", fronts[front % fronts.len()]))
                .header("authorization", format!("Bearer {ADMIN}"))
                .header("incent-tenant", tenant)
                .send_json(&body);
            match called {
                Ok(answer) if answer.status() == 429 => {}
                Ok(answer) => break answer,
                Err(_) => {
                    seen.elsewhere.fetch_add(1, Ordering::Relaxed);
                    front += 1;
                }
            }
            thread::park_timeout(PAUSE);
        };
        let status = answer.status();
        let said: Value = answer.body_mut().read_json().unwrap();
        assert!(status.is_success(), "{status}: {said}");
        let results = said["results"].as_array().unwrap();
        assert_eq!(results.len(), BATCH, "{said}");
        for result in results {
            assert!(matches!(result["status"].as_str(), Some("ACCEPTED" | "DUPLICATE")), "{said}");
        }
        sent += BATCH;
        // Load enough; more would only be decided for longer.
        thread::park_timeout(PAUSE);
        seen.calls.fetch_add(1, Ordering::Relaxed);
    }
    sent
}

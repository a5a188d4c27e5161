//! `token` and `listen`: a device on the command line.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Platform, lines_of, next_line};

const SECRET: &str = "a secret of at least thirty-two bytes";
const SHOP: &str = r#"
kind: Tenant
name: Acme
---
kind: Campaign
name: Ten
type: SIMPLE
status: ACTIVE
rule:
  on: [purchase]
  rewards: [{type: POINTS, amount: 10}]
"#;

const QUEST: &str = r#"
kind: Tenant
name: Acme
---
kind: Campaign
name: Three
type: QUEST
status: ACTIVE
rule:
  steps:
    - {id: buy, on: [purchase], goal: {count: 3}}
  rewards: [{type: POINTS, amount: 10}]
"#;

#[test]
fn progress_in_a_quest_is_heard_step_by_step() {
    let platform = Platform::start();
    platform.file("shop.yaml", QUEST);
    platform.run(None, &["apply", "-f", "shop.yaml"]).well();
    let tenant = platform.tenant("Acme");
    let path = format!("/api/v1/tenants/{tenant}/push-auth");
    platform.send("PUT", &path, &json!({"secret": SECRET, "algorithms": ["HS256"]}));
    let mut listen = platform
        .command(Some(&tenant), &["listen", "--user", "u1", "--count", "1", "-v"])
        .env("INCENT_PUSH_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = listen.stderr.take().unwrap();
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(said));
    said.next().unwrap().unwrap();
    let heard = lines_of(&mut listen);
    let frame = || serde_json::from_str::<Value>(&next_line(&heard)).unwrap();
    // The third one completes the cycle; the next begins with nothing.
    for (cycle, steps) in [
        (1, json!([{"step": "buy", "value": 1, "done": false}])),
        (1, json!([{"step": "buy", "value": 2, "done": false}])),
        (2, json!([])),
    ] {
        platform.run(Some(&tenant), &["trigger", "purchase", "--user", "u1"]).well();
        // Somebody else's steps are not heard.
        platform.run(Some(&tenant), &["trigger", "purchase", "--user", "u2"]).well();
        let frame = frame();
        assert_eq!(frame["type"], "PROGRESS", "{frame}");
        assert_eq!((&frame["cycle"], &frame["steps"]), (&json!(cycle), &steps));
    }
    let granted = frame();
    assert_eq!((&granted["type"], &granted["seq"]), (&json!("INCENTIVE_NOTIFICATION"), &json!(1)));
    assert_eq!(listen.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_granted_is_heard_and_can_be_heard_again() {
    let platform = Platform::start();
    platform.file("shop.yaml", SHOP);
    platform.run(None, &["apply", "-f", "shop.yaml"]).well();
    let tenant = platform.tenant("Acme");
    let path = format!("/api/v1/tenants/{tenant}/push-auth");
    platform.send("PUT", &path, &json!({"secret": SECRET, "algorithms": ["HS256"]}));

    let mut listen = platform
        .command(Some(&tenant), &["listen", "--user", "u1", "--count", "2", "-v"])
        .env("INCENT_PUSH_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = listen.stderr.take().unwrap();
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(said));
    let hello = said.next().unwrap().unwrap();
    assert!(hello.starts_with("listening for u1, who has 0 incentives"), "{hello}");
    let heard = lines_of(&mut listen);
    platform.run(Some(&tenant), &["trigger", "purchase", "--user", "u1", "--count", "2"]).well();
    for seq in [1, 2] {
        let frame: Value = serde_json::from_str(&next_line(&heard)).unwrap();
        assert_eq!(frame["type"], "INCENTIVE_NOTIFICATION");
        assert_eq!((&frame["seq"], &frame["reward"]["amount"]), (&json!(seq), &json!(10)));
        assert!(frame["latencyMs"].is_i64(), "{frame}");
    }
    assert_eq!(listen.wait().unwrap().code(), Some(0));

    // With a token of its own, from the beginning.
    let token = platform
        .command(Some(&tenant), &["token", "--user", "u1", "--secret", SECRET])
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let again = ["listen", "--token", token.trim(), "--after-seq", "1", "--count", "1"];
    let said = platform.run(None, &again).well();
    assert_eq!(said.lines()[0]["seq"], 2);

    let forged = platform
        .command(Some(&tenant), &["listen", "--user", "u1"])
        .env("INCENT_PUSH_SECRET", "another secret of thirty-two bytes or so")
        .output()
        .unwrap();
    assert_eq!(forged.status.code(), Some(3), "{}", String::from_utf8_lossy(&forged.stderr));
}

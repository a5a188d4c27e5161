//! From an event's acceptance to the frame at its user's socket, on the distributed profile: one
//! process takes events, one decides, one pushes; see `latency`.

use std::net::SocketAddr;
use std::process::Stdio;

use super::stage::{ADMIN, Process, Stage};
use crate::latency::{Platform, Run, SENDERS, Sender};

/// The tenant's secret for tokens of its users.
const SECRET: &str = "a secret of at least thirty-two bytes";

/// For so many users, at so many events a second, or half of what it sustains.
pub async fn run(users: usize, rate: Option<usize>) {
    let stage = Stage::new("live".to_owned()).await;
    stage.open_shops(&stage.db).await;
    let (front, push) = (stage.serve("events,cms,cohorts", "front"), stage.serve("dcm", "push"));
    let _calculator = stage.serve("ic", "ic");
    let tenant = stage.tenant(0);

    let mut admin = Sender::new(address(&front), ADMIN).await;
    let auth = format!(r#"{{"secret":"{SECRET}","algorithms":["HS256"]}}"#);
    let path = format!("/api/v1/tenants/{tenant}");
    let (status, answer) = admin.send("PUT", &format!("{path}/push-auth"), &auth).await;
    assert!((200..300).contains(&status), "{answer}");
    let mut keys = Vec::new();
    // Each with a rate of its own.
    for _ in 0..SENDERS {
        let wanted = r#"{"name":"bench","scopes":["events:write"]}"#;
        let (status, answer) = admin.send("POST", &format!("{path}/api-keys"), wanted).await;
        assert_eq!(status, 201, "{answer}");
        keys.push(answer.split(r#""key":""#).nth(1).unwrap().split('"').next().unwrap().to_owned());
    }
    let tokens = (0..users).map(|user| token(&stage, &tenant.to_string(), user)).collect();
    let platform = Platform { events: address(&front), push: address(&push), keys, tokens, goal_ms: 50 };
    Run::begin(platform).await.report(rate).await;
    drop((front, push, _calculator));
    stage.end().await;
}

fn address(process: &Process) -> SocketAddr {
    process.url.trim_start_matches("http://").parse().unwrap()
}

fn token(stage: &Stage, tenant: &str, user: usize) -> String {
    let mut command = stage.program();
    command.args(["token", "--user", &format!("user-{user}"), "-q"]);
    command.env("INCENT_PUSH_SECRET", SECRET).env("INCENT_TENANT", tenant);
    let said = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(said.status.success(), "incent token fails");
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

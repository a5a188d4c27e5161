//! `incent dev`, on the first weeks of the purchases.

use std::path::Path;

use rusqlite::Connection;
use testkit::dir::TempDir;

use crate::support::{Said, run};

/// So many purchases: enough for every kind of campaign, few enough for a test.
const SOME: &str = "3000";

/// The demo in a directory.
pub fn dev(dir: &Path, args: &[&str]) -> Said {
    let all =
        ["dev", "--exit", "--listen", "127.0.0.1:0", "--purchases", SOME, "--data-dir", "data"];
    run(dir, &[&all[..], args].concat())
}

/// What was decided and granted, row by row.
fn rows(dir: &Path) -> Vec<String> {
    let conn = Connection::open(dir.join("data/incent.db")).unwrap();
    let mut rows = Vec::new();
    for query in [
        "select 'e ' || log_offset || event_id || outcome from events order by log_offset",
        "select 'i ' || hex(incentive_id) || user_ref || reward_amount || seq || batch_seq || ordinal
         from incentives order by 1",
        "select 'u ' || hex(user_id) || version || state from user_states order by 1",
        "select 'l ' || limit_key || bucket || used from limit_usage order by 1",
    ] {
        let mut query = conn.prepare(query).unwrap();
        let found = query.query_map([], |row| row.get(0)).unwrap();
        rows.extend(found.map(Result::<String, _>::unwrap));
    }
    rows
}

#[test]
fn the_demo_grants_once_however_often_it_is_started() {
    let dir = TempDir::new();
    let first = dev(dir.path(), &[]).well();
    for words in ["CDNOW Records  3,000 events", "Welcome", "BUDGET_EXHAUSTED", "BIGGEST EARNERS"] {
        assert!(first.out.contains(words), "no {words:?} in:\n{}", first.out);
    }
    let before = rows(dir.path());
    assert!(before.len() > 8_000, "{}", before.len());
    let env = std::fs::read_to_string(dir.path().join("data/dev.env")).unwrap();

    let second = dev(dir.path(), &["-o", "json"]).well();
    assert!(second.err.contains("decided already"), "{}", second.err);
    let summary: serde_json::Value = serde_json::from_str(&second.out).unwrap();
    assert_eq!((&summary["events"], &summary["accepted"]), (&3000.into(), &0.into()));
    assert_eq!(rows(dir.path()), before);
    let keys = |env: &str| -> Vec<String> {
        env.lines().filter(|line| !line.contains("INCENT_URL")).map(str::to_owned).collect()
    };
    let env_now = std::fs::read_to_string(dir.path().join("data/dev.env")).unwrap();
    assert_eq!(keys(&env_now), keys(&env), "keys stay the same");

    dev(dir.path(), &["--reset"]).well();
    let anew = rows(dir.path());
    assert_eq!(anew.len(), before.len(), "the same purchases earn as much in a new shop");
}

#[test]
fn a_demo_that_was_killed_goes_on_and_grants_nothing_twice() {
    let dir = TempDir::new();
    let killed = dev(dir.path(), &["--crash-at", "in_commit:2"]);
    assert_eq!(killed.code, -1, "aborted:\n{}", killed.err);
    let second = dev(dir.path(), &[]).well();
    assert!(second.out.contains("3,000 events"), "{}", second.out);
    let doctor = run(dir.path(), &["doctor", "--data-dir", "data", "--deep", "-o", "json"]).well();
    let doctor: serde_json::Value = serde_json::from_str(&doctor.out).unwrap();
    assert_eq!((&doctor["healthy"], &doctor["rows"]["events"]), (&true.into(), &3000.into()));
}

#[test]
fn an_ephemeral_demo_leaves_nothing_behind() {
    let dir = TempDir::new();
    let args = ["dev", "--exit", "--listen", "127.0.0.1:0", "--purchases", "50", "--ephemeral"];
    let mut command = crate::support::incent(dir.path(), &args);
    let output = command.env("TMPDIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

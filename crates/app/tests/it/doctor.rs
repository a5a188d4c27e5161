//! `incent doctor` finds what is broken: each promise is broken once.

use rusqlite::Connection;
use testkit::dir::TempDir;

use crate::demo::dev;
use crate::support::run;

/// What breaks a promise, and a part of what the doctor then says.
const BROKEN: &[(&str, &str)] = &[
    ("update events set outcome = null where log_offset = 5", "is undecided"),
    (
        "delete from events where log_offset = (select min(log_offset) from events)",
        "each event id points to its record",
    ),
    ("delete from event_ids where log_offset = 7", "record 7"),
    ("update events set append_time = 5 where log_offset = 9", "never goes back"),
    (
        "update incentives set seq = seq + 1 where ordinal = 0 and batch_seq = 1",
        "without a gap from 1",
    ),
    (
        "delete from incentives where ordinal = 0 and batch_seq = 1",
        "how many incentives they granted",
    ),
    ("update user_states set seq = seq + 1", "knows the number of the last incentive"),
    ("delete from users", "known user"),
    ("update limit_usage set used = '1' where limit_key = 'tenant'", "tenants' use"),
    ("update limit_usage set used = '1' where limit_key like 'campaign:%'", "use of budgets"),
    (
        "update incentives set campaign_id = zeroblob(16) where batch_seq = 1",
        "granted something exists",
    ),
    ("delete from batches where batch_seq = 1", "batches follow one another"),
    ("update positions set next_offset = next_offset + 1", "position"),
    ("update incentives set ordinal = ordinal + 100000 where ordinal = 0", "dense in each batch"),
    ("delete from incentive_event_log", "recorded as published"),
    (
        "update incentive_event_log set incentive_id = randomblob(16)",
        "what was published is an incentive",
    ),
    ("update cohorts set size = size + 1 where type = 'STATIC'", "have the size that they say"),
];

#[test]
fn each_broken_promise_is_found() {
    let dir = TempDir::new();
    dev(dir.path(), &[]).well();
    let sound = dir.path().join("data/incent.db");
    let broken = dir.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    for (sql, says) in BROKEN {
        let copy = broken.join("incent.db");
        std::fs::copy(&sound, &copy).unwrap();
        let conn = Connection::open(&copy).unwrap();
        conn.execute_batch("pragma foreign_keys = off; pragma ignore_check_constraints = on")
            .unwrap();
        let changed = conn.execute(sql, []).unwrap();
        assert!(changed > 0, "{sql} changes nothing");
        drop(conn);
        let said = run(dir.path(), &["doctor", "--data-dir", "broken", "-o", "table"]);
        assert_eq!(said.code, 1, "{sql}:\n{}", said.out);
        assert!(said.out.contains("BAD") && said.out.contains(says), "{sql}:\n{}", said.out);
    }
}

#[test]
fn a_database_of_another_version_is_told() {
    let dir = TempDir::new();
    dev(dir.path(), &["--purchases", "10"]).well();
    let conn = Connection::open(dir.path().join("data/incent.db")).unwrap();
    conn.execute("insert into schema_migrations values (99, 'later', 'x', 0)", []).unwrap();
    drop(conn);
    run(dir.path(), &["doctor", "--data-dir", "data"]).failed(1, &["newer version"]);
    dev(dir.path(), &[]).failed(1, &["newer version"]);
}

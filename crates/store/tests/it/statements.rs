//! Every statement of the control plane, against the migrated database and the rules of
//! `docs/sql.md`.

use std::collections::BTreeSet;

use store::control::statements;

use crate::TestDb;

#[test]
fn each_can_be_prepared() {
    let t = TestDb::new();
    t.db.read_blocking(|conn| {
        for statement in statements() {
            let prepared = conn.prepare(statement.sql);
            let prepared = prepared.unwrap_or_else(|e| panic!("{}: {e}", statement.name));
            let most = placeholders(statement.sql).into_iter().max().unwrap_or(0);
            assert_eq!(prepared.parameter_count(), most, "{}", statement.name);
        }
        Ok(())
    })
    .expect("prepares");
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = statements().map(|s| s.name).collect();
    assert_eq!(names.len(), statements().count());
    assert!(names.len() > 70, "only {} statements are listed", names.len());
}

#[test]
fn placeholders_have_no_gap() {
    for statement in statements() {
        let numbers: BTreeSet<_> = placeholders(statement.sql).into_iter().collect();
        let dense: BTreeSet<_> = (1..=numbers.len()).collect();
        assert_eq!(numbers, dense, "{}", statement.name);
    }
}

#[test]
fn they_stay_inside_the_subset() {
    const BANNED: [&str; 12] = [
        "any(",
        "ilike",
        "now()",
        "for update",
        "->",
        "::",
        "serial",
        "limit all",
        "offset",
        "current_timestamp",
        "array[",
        "insert or",
    ];
    for statement in statements() {
        let text = statement.sql.to_lowercase().replace("log_offset", "");
        for word in BANNED {
            assert!(!text.contains(word), "{}: {word}", statement.name);
        }
    }
}

#[test]
fn none_asks_beyond_one_tenant_but_those_that_say_why() {
    let without: BTreeSet<_> = statements()
        .filter(|s| !["tenant_id = $", "cohort_id = $"].iter().any(|by| s.sql.contains(by)))
        .filter(|s| !s.sql.trim_start().starts_with("insert into"))
        .map(|s| s.name.trim_start_matches("store::control::"))
        .collect();
    let excused = [
        "campaigns::FORGET_ACTIONS", // of a campaign just read under its tenant
        "campaigns::TENANT_OF",
        "dead_letters::LIST_UNOWNED",
        "idempotency::FORGET",
        "idempotency::GET", // its scope is the tenant
        "jobs::FAIL_RUNNING",
        "keys::FIND",
        "tenants::LIST",
    ];
    assert_eq!(without, BTreeSet::from(excused));
}

fn placeholders(sql: &str) -> Vec<usize> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    sql.split('$').skip(1).filter_map(|rest| digits(rest).parse().ok()).collect()
}

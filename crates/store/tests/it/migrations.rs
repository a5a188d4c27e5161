use rusqlite::Connection;
use store::StoreError;
use store::migrate::{Migration, SQLITE, apply, migrate_blocking};

use crate::{TestDb, at};

const ONE: Migration = Migration { version: 1, name: "one", sql: "create table a (x integer)" };
const TWO: Migration = Migration { version: 2, name: "two", sql: "create table b (x integer)" };

fn schema_error(steps: &[Migration], conn: &Connection) -> String {
    match apply(conn, steps, at(0)) {
        Err(StoreError::Schema { what }) => what,
        other => panic!("expected a schema error, got {other:?}"),
    }
}

#[test]
fn steps_are_applied_once_and_in_order() {
    let conn = Connection::open_in_memory().expect("opens");
    assert_eq!(apply(&conn, &[ONE], at(0)).expect("applies"), ["one"]);
    assert_eq!(apply(&conn, &[ONE, TWO], at(5)).expect("applies"), ["two"]);
    assert_eq!(apply(&conn, &[ONE, TWO], at(9)).expect("applies"), [] as [&str; 0]);
    let times: Vec<i64> = conn
        .prepare("select applied_at from schema_migrations order by version")
        .and_then(|mut q| q.query_map([], |r| r.get(0))?.collect())
        .expect("reads");
    assert_eq!(times, [at(0).micros(), at(5).micros()]);
}

#[test]
fn a_newer_schema_is_refused() {
    let conn = Connection::open_in_memory().expect("opens");
    apply(&conn, &[ONE, TWO], at(0)).expect("applies");
    let what = schema_error(&[ONE], &conn);
    assert!(what.contains("0002_two") && what.contains("newer version"), "{what}");
}

#[test]
fn an_altered_step_is_refused() {
    let conn = Connection::open_in_memory().expect("opens");
    apply(&conn, &[ONE], at(0)).expect("applies");
    for altered in
        [Migration { sql: "create table a (y integer)", ..ONE }, Migration { name: "uno", ..ONE }]
    {
        let what = schema_error(&[altered, TWO], &conn);
        assert!(what.contains("0001_one") && what.contains("altered"), "{what}");
    }
}

#[test]
fn a_step_that_fails_leaves_nothing() {
    let t = TestDb::new();
    let bad = Migration {
        version: SQLITE.len() as u32 + 1,
        name: "bad",
        sql: "create table c (x integer); create table",
    };
    let steps: Vec<_> = SQLITE.iter().copied().chain([bad]).collect();
    let error = t.db.write_blocking(move |conn| apply(conn, &steps, at(1))).expect_err("refuses");
    assert!(error.to_string().contains("0005_bad"), "{error}");
    let left: i64 =
        t.db.read_blocking(|c| {
            Ok(c.query_row("select count(*) from sqlite_schema where name = 'c'", [], |r| {
                r.get(0)
            })?)
        })
        .expect("reads");
    assert_eq!(left, 0);
    assert_eq!(migrate_blocking(&t.db, at(2)).expect("still fits"), [] as [&str; 0]);
}

#[test]
fn every_table_is_strict_and_versions_are_dense() {
    let t = TestDb::new();
    let loose: Vec<String> = t
        .db
        .read_blocking(|c| {
            let mut q = c.prepare(
                "select name from pragma_table_list
                 where schema = 'main' and type = 'table' and not strict and name not like 'sqlite_%'",
            )?;
            let names = q.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
            Ok(names)
        })
        .expect("reads");
    assert_eq!(loose, [] as [String; 0]);
    for (i, step) in SQLITE.iter().enumerate() {
        assert_eq!(step.version as usize, i + 1, "{}", step.name);
    }
}

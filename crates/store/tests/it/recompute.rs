//! The recompute of dynamic cohorts: it goes on where it came to, and finds the same members.

use std::sync::Mutex;

use domain::id::{TenantId, user_id};
use domain::time::{DAY_US, Timestamp};
use rusqlite::Connection;
use store::control::Control;
use store::control::cohorts::{self, Criteria, NewCohort, Refresh};
use store::control::memberships;
use store::control::recompute::{Progress, Resumes, recompute};

use crate::{A, B, TestDb, at, change, cohort_id, page, user};

/// Criteria of every kind: all of the past, a window that slides, both, users who did nothing,
/// attributes alone.
const CRITERIA: [&str; 6] = [
    r#"{"activity": [{"on": ["buy"], "sum": {"of": "event.amount", "min": 25}}]}"#,
    r#"{"activity": [{"on": ["buy"], "within": "P2D", "count": {"min": 2}}]}"#,
    r#"{"activity": [{"on": ["*"], "within": "P3D"}, {"on": ["buy"], "first": {"before": "P4D"}}]}"#,
    r#"{"activity": [{"on": ["buy"], "count": {"max": 12}}]}"#,
    r#"{"activity": [{"on": ["visit"], "last": {"within": "P1D"}}]}"#,
    r#"{"user": "user.tier == \"gold\""}"#,
];

const DAYS: i64 = 8;
const EVENTS_A_DAY: i64 = 30;

fn noon(day: i64) -> Timestamp {
    at(0).plus_micros(day * DAY_US + DAY_US / 2)
}

/// A day of the log: eleven users, some of them seldom there, and another tenant's events between.
fn append(conn: &Connection, day: i64) -> rusqlite::Result<()> {
    for n in 0..EVENTS_A_DAY {
        let offset = day * EVENTS_A_DAY + n;
        let tenant: TenantId = if n % 5 == 4 { B } else { A };
        let name = user(&format!("u{}", (offset * offset + day) % 11));
        let (id, time) = (user_id(tenant, &name), noon(day).plus_micros(n).micros());
        // Every seventh happened long before it was sent.
        let ts = if n % 7 == 0 { time - 3 * DAY_US } else { time };
        let action = if n % 3 == 0 { "visit" } else { "buy" };
        let attributes = format!(r#"{{"tier":"{}"}}"#, if n % 2 == 0 { "gold" } else { "tin" });
        conn.execute(
            "insert into users (user_id, tenant_id, external_ref, attributes, created_at)
             values (?1, ?2, ?3, ?4, ?5) on conflict do nothing",
            (id.0.as_bytes(), tenant.0.as_bytes(), name.as_str(), attributes, time),
        )?;
        conn.execute(
            "insert into events (log_offset, tenant_id, event_id, user_id, user_ref, action_code,
                                 event_ts, payload, append_time, outcome)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, '{}')",
            (
                offset,
                tenant.0.as_bytes(),
                format!("e{offset}"),
                id.0.as_bytes(),
                name.as_str(),
                action,
                ts,
                format!(r#"{{"amount":{}}}"#, offset % 9),
                time,
            ),
        )?;
    }
    Ok(())
}

/// The members as of the beginning of a day, and how much of the log was looked at.
fn members(t: &TestDb, resumes: &Resumes, cohort: u128, day: i64) -> (Vec<String>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let control = Control::Sqlite(t.db.clone());
    let looked_at = Mutex::new(0);
    let tell = |now: Progress| *looked_at.lock().expect("nobody panics") = now.done;
    let (of, as_of) = ((A, cohort_id(cohort)), at(0).plus_micros(day * DAY_US));
    let done = recompute(&control, resumes, of, as_of, change(1), tell);
    runtime.block_on(done).expect("recomputes");
    let page = t.read(move |sql| memberships::list(sql, A, cohort_id(cohort), page(100)));
    let mut refs: Vec<_> = page.items.iter().map(|m| m.user_ref.to_string()).collect();
    refs.sort();
    (refs, looked_at.into_inner().expect("nobody panics"))
}

#[test]
fn it_goes_on_where_it_came_to_and_finds_the_same() {
    let t = TestDb::with_tenants();
    for (n, json) in (1..).zip(CRITERIA) {
        let new = NewCohort { cohort_id: cohort_id(n), key: None, name: format!("C{n}") };
        let criteria = Criteria { json: json.to_owned(), refresh: Refresh::Daily };
        t.write(move |sql| cohorts::create_dynamic(sql, A, &new, &criteria, &change(0)))
            .expect("creates");
    }
    let kept = Resumes::default();
    let mut sizes = [0; CRITERIA.len()];
    for day in 0..DAYS {
        t.hot(move |conn| append(conn, day));
        for (n, size) in (1..).zip(&mut sizes) {
            let (from_the_beginning, all) = members(&t, &Resumes::default(), n, day + 1);
            let (going_on, few) = members(&t, &kept, n, day + 1);
            assert_eq!(going_on, from_the_beginning, "{} on day {day}", CRITERIA[n as usize - 1]);
            *size += going_on.len();
            match n {
                // What is added up is not read again.
                1 | 4 | 5 => assert!(few <= EVENTS_A_DAY as u64 + 1, "{few} of {all}"),
                // A window reaches back by its length.
                2 => assert!(few <= 3 * EVENTS_A_DAY as u64, "{few} of {all}"),
                _ => {}
            }
        }
    }
    assert!(sizes.iter().all(|size| *size > 0), "no empty comparison: {sizes:?}");
}

#[test]
fn other_criteria_or_an_earlier_moment_begin_at_the_beginning() {
    let t = TestDb::with_tenants();
    let new = NewCohort { cohort_id: cohort_id(1), key: None, name: "C".to_owned() };
    let with = |json: &str| Criteria { json: json.to_owned(), refresh: Refresh::Daily };
    let criteria = with(CRITERIA[0]);
    t.write(move |sql| cohorts::create_dynamic(sql, A, &new, &criteria, &change(0)))
        .expect("creates");
    for day in 0..4 {
        t.hot(move |conn| append(conn, day));
    }
    let kept = Resumes::default();
    members(&t, &kept, 1, 4);
    for day in [2, 4] {
        let wanted = members(&t, &Resumes::default(), 1, day).0;
        assert_eq!(members(&t, &kept, 1, day).0, wanted, "as of day {day}");
    }
    let criteria = with(CRITERIA[3]);
    t.write(move |sql| {
        cohorts::update(sql, A, cohort_id(1), ("C", Some(&criteria)), None, &change(2))
    })
    .expect("updates");
    let wanted = members(&t, &Resumes::default(), 1, 4).0;
    assert_eq!(members(&t, &kept, 1, 4).0, wanted);
}

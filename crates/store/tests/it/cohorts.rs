use domain::id::{UserRef, user_id};
use store::StoreError;
use store::control::cohorts::{self, CohortStatus, Criteria, NewCohort, Refresh};
use store::control::memberships::{self, MEMBERS_PER_CALL_MAX};

use crate::{A, B, TestDb, after, at, change, cohort_id, page, user};

fn new_cohort(n: u128) -> NewCohort {
    NewCohort { cohort_id: cohort_id(n), key: None, name: "Gold".to_owned() }
}

fn criteria() -> Criteria {
    Criteria { json: r#"{"spent":100}"#.to_owned(), refresh: Refresh::Daily }
}

fn users(names: &[&str]) -> Vec<UserRef> {
    names.iter().map(|name| user(name)).collect()
}

fn members(t: &TestDb, n: u128) -> Vec<String> {
    let page = t.read(move |sql| memberships::list(sql, A, cohort_id(n), page(1000)));
    let mut refs: Vec<_> = page.items.iter().map(|m| m.user_ref.to_string()).collect();
    refs.sort();
    refs
}

fn stored(t: &TestDb) -> i64 {
    let count = "select count(*) from cohort_members";
    t.db.read_blocking(move |c| Ok(c.query_row(count, [], |r| r.get(0))?)).expect("reads")
}

#[test]
fn a_static_cohort_is_its_list() {
    let t = TestDb::with_tenants();
    let (by, row) = t.raised(A, |sql| {
        cohorts::create_static(sql, A, &new_cohort(1), &users(&["u1", "u2", "u1"]), &change(1))
    });
    assert_eq!((by, row.size, row.membership_version), (1, 2, 1));
    assert_eq!((row.status, row.computed_at), (CohortStatus::Ready, Some(at(1))));
    let (by, row) = t
        .raised(A, |sql| memberships::add(sql, A, cohort_id(1), &users(&["u2", "u3"]), &change(2)));
    assert_eq!((by, row.size), (1, 3));
    let (by, row) = t.raised(A, |sql| {
        memberships::remove(sql, A, cohort_id(1), &users(&["u1", "u9"]), &change(3))
    });
    assert_eq!((by, row.size), (1, 2));
    assert_eq!(members(&t, 1), ["u2", "u3"]);
    let (by, _) =
        t.raised(A, |sql| memberships::add(sql, A, cohort_id(1), &users(&["u2"]), &change(4)));
    assert_eq!(by, 0, "nobody new changes nothing");
}

#[test]
fn too_many_members_at_once_are_refused_whole() {
    let t = TestDb::with_tenants();
    let many: Vec<_> = (0..=MEMBERS_PER_CALL_MAX).map(|n| user(&n.to_string())).collect();
    let error =
        t.write(move |sql| cohorts::create_static(sql, A, &new_cohort(1), &many, &change(1)));
    assert!(matches!(error, Err(StoreError::Invalid { .. })), "{error:?}");
    assert!(t.read(|sql| cohorts::get(sql, A, cohort_id(1))).is_none());
}

#[test]
fn a_recompute_switches_at_once_and_cleans_up_in_steps() {
    let t = TestDb::with_tenants();
    let row = t
        .write(|sql| cohorts::create_dynamic(sql, A, &new_cohort(1), &criteria(), &change(1)))
        .expect("creates");
    assert_eq!((row.status, row.membership_version), (CohortStatus::Computing, 0));

    let (by, building) = t.raised(A, |sql| {
        let building = cohorts::begin(sql, A, cohort_id(1))?;
        memberships::fill(sql, A, cohort_id(1), building, &users(&["u1", "u2"]))?;
        memberships::fill(sql, A, cohort_id(1), building, &users(&["u2", "u3"]))?;
        Ok(building)
    });
    assert_eq!((by, members(&t, 1).len()), (0, 0), "nothing decides before the switch");
    let (by, row) = t
        .raised(A, move |sql| cohorts::finish(sql, A, cohort_id(1), building, at(50), &change(60)));
    assert_eq!((by, row.size, row.status), (1, 3, CohortStatus::Ready));
    assert_eq!((row.membership_version, row.computed_at), (building, Some(at(50))));
    assert_eq!(members(&t, 1), ["u1", "u2", "u3"]);

    t.write(|sql| {
        let building = cohorts::begin(sql, A, cohort_id(1))?;
        memberships::fill(sql, A, cohort_id(1), building, &users(&["u9"]))?;
        cohorts::finish(sql, A, cohort_id(1), building, at(70), &change(70))
    })
    .expect("recomputes");
    assert_eq!((members(&t, 1), stored(&t)), (vec!["u9".to_owned()], 4));
    let purged: Vec<u64> = (0..3)
        .map(|_| t.write(|sql| memberships::purge(sql, A, cohort_id(1), 2)).expect("purges"))
        .collect();
    assert_eq!((purged, stored(&t)), (vec![2, 1, 0], 1));
    assert_eq!(members(&t, 1), ["u9"]);
}

#[test]
fn a_later_recompute_takes_over() {
    let t = TestDb::with_tenants();
    let (first, second) = t
        .write(|sql| {
            cohorts::create_dynamic(sql, A, &new_cohort(1), &criteria(), &change(1))?;
            let first = cohorts::begin(sql, A, cohort_id(1))?;
            memberships::fill(sql, A, cohort_id(1), first, &users(&["u1"]))?;
            Ok((first, cohorts::begin(sql, A, cohort_id(1))?))
        })
        .expect("begins twice");
    let filled =
        t.write(move |sql| memberships::fill(sql, A, cohort_id(1), first, &users(&["u2"])));
    assert!(matches!(filled, Err(StoreError::WrongState { .. })), "{filled:?}");
    let failed = t.write(move |sql| cohorts::fail(sql, A, cohort_id(1), first, "no room"));
    assert!(matches!(failed, Err(StoreError::WrongState { .. })), "{failed:?}");
    t.write(move |sql| cohorts::finish(sql, A, cohort_id(1), second, at(5), &change(5)))
        .expect("finishes");
    let again =
        t.write(move |sql| cohorts::finish(sql, A, cohort_id(1), second, at(5), &change(5)));
    assert!(matches!(again, Err(StoreError::WrongState { .. })), "{again:?}");
    assert_eq!(members(&t, 1), [""; 0], "what the first one wrote is not in force");
    assert_eq!(t.write(|sql| memberships::purge(sql, A, cohort_id(1), 100)).expect("purges"), 1);
}

#[test]
fn a_failed_recompute_keeps_the_old_membership() {
    let t = TestDb::with_tenants();
    let row = t
        .write(|sql| {
            cohorts::create_dynamic(sql, A, &new_cohort(1), &criteria(), &change(1))?;
            let building = cohorts::begin(sql, A, cohort_id(1))?;
            memberships::fill(sql, A, cohort_id(1), building, &users(&["u1"]))?;
            cohorts::finish(sql, A, cohort_id(1), building, at(2), &change(2))?;
            let building = cohorts::begin(sql, A, cohort_id(1))?;
            cohorts::fail(sql, A, cohort_id(1), building, "the criteria ask for too much")?;
            cohorts::get(sql, A, cohort_id(1))
        })
        .expect("fails in order")
        .expect("is there");
    assert_eq!((row.status, row.size), (CohortStatus::Failed, 1));
    assert_eq!(row.last_error.as_deref(), Some("the criteria ask for too much"));
    assert_eq!(members(&t, 1), ["u1"]);
}

#[test]
fn memberships_of_users_are_found_by_version() {
    let t = TestDb::with_tenants();
    let names: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    let all: Vec<_> = names.iter().map(|n| user(n)).collect();
    let even: Vec<_> = all.iter().step_by(2).cloned().collect();
    t.write(move |sql| {
        cohorts::create_static(sql, A, &new_cohort(1), &even, &change(1))?;
        cohorts::create_static(sql, A, &new_cohort(2), &users(&["u39"]), &change(1))
    })
    .expect("creates");
    let ids: Vec<_> = all.iter().map(|u| user_id(A, u)).collect();
    let asked = ids.clone();
    let versions = [(cohort_id(1), 1), (cohort_id(2), 1), (cohort_id(2), 7)];
    let mut found = t.read(move |sql| memberships::find(sql, &versions, &asked));
    found.sort();
    let mut expected: Vec<_> = ids.iter().step_by(2).map(|id| (cohort_id(1), *id)).collect();
    expected.push((cohort_id(2), ids[39]));
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(t.read(|sql| memberships::find(sql, &[(cohort_id(1), 1)], &[])), []);
}

#[test]
fn members_and_cohorts_come_in_pages() {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        cohorts::create_static(sql, A, &new_cohort(1), &users(&["a", "b", "c"]), &change(1))?;
        cohorts::create_static(sql, A, &new_cohort(2), &[], &change(2))
    })
    .expect("creates");
    let first = t.read(|sql| memberships::list(sql, A, cohort_id(1), page(2)));
    let next = first.next.expect("a second page");
    let second = t.read(move |sql| memberships::list(sql, A, cohort_id(1), after(next, 2)));
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));

    let first = t.read(|sql| cohorts::list(sql, A, page(1)));
    assert_eq!((first.items[0].cohort_id, first.next), (cohort_id(2), Some(cohort_id(2))));
    let second = t.read(|sql| cohorts::list(sql, A, after(cohort_id(2), 1)));
    assert_eq!((second.items[0].cohort_id, second.next), (cohort_id(1), None));
    assert_eq!(t.read(|sql| cohorts::list(sql, B, page(5))).items, []);
}

#[test]
fn the_kinds_are_not_mixed() {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        cohorts::create_static(sql, A, &new_cohort(1), &[], &change(1))?;
        cohorts::create_dynamic(sql, A, &new_cohort(2), &criteria(), &change(1))
    })
    .expect("creates");
    let added = t.write(|sql| memberships::add(sql, A, cohort_id(2), &users(&["u"]), &change(2)));
    assert!(matches!(added, Err(StoreError::Invalid { .. })), "{added:?}");
    let with = t.write(|sql| {
        cohorts::update(sql, A, cohort_id(1), ("G", Some(&criteria())), None, &change(2))
    });
    assert!(matches!(with, Err(StoreError::Invalid { .. })), "{with:?}");
    let without =
        t.write(|sql| cohorts::update(sql, A, cohort_id(2), ("G", None), None, &change(2)));
    assert!(matches!(without, Err(StoreError::Invalid { .. })), "{without:?}");
    let weekly = Criteria { refresh: Refresh::Weekly, ..criteria() };
    let (by, row) = t.raised(A, move |sql| {
        cohorts::update(sql, A, cohort_id(2), ("Platinum", Some(&weekly)), Some(1), &change(3))
    });
    assert_eq!(
        (by, row.version, row.refresh, row.name.as_str()),
        (1, 2, Refresh::Weekly, "Platinum")
    );
}

#[test]
fn keys_are_unique_in_a_tenant() {
    let t = TestDb::with_tenants();
    let keyed = |n| NewCohort { key: Some("gold".to_owned()), ..new_cohort(n) };
    t.write(move |sql| {
        cohorts::create_static(sql, A, &keyed(1), &[], &change(1))?;
        cohorts::create_static(sql, B, &keyed(2), &[], &change(1))
    })
    .expect("creates");
    let error = t.write(move |sql| cohorts::create_static(sql, A, &keyed(3), &[], &change(1)));
    assert!(matches!(error, Err(StoreError::Conflict { .. })), "{error:?}");
    assert_eq!(
        t.read(|sql| cohorts::by_key(sql, B, "gold")).expect("is there").cohort_id,
        cohort_id(2)
    );
    assert_eq!(t.read(|sql| cohorts::tenant_of(sql, cohort_id(1))), Some(A));
}

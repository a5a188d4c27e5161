//! What those see who capture changes, and the ledger that aggregates are made from.

use std::sync::Arc;

use domain::id::{Cause, TenantId, UserRef, incentive_id};
use domain::incentive::Incentive;
use domain::time::{Day, Zone};
use engine::aggregates::{Ledger as _, Sum, UserSums};
use engine::captured::Applied;
use engine::ports::{BatchCommit, Committed, HotStore as _, Place};
use store::PgDb;
use store::hot::{PgHotStore, PgLedger};
use store::postgres::{Retention, capture, keep_partitions};
use testkit::event::time;
use testkit::incentive::incentive;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{database, dump};

const FIRST: TenantId = TenantId(Uuid::from_u128(0xf1));
const SECOND: TenantId = TenantId(Uuid::from_u128(0x52));

/// An incentive of a user, issued then, of so much.
fn granted(tenant: TenantId, user: &str, seq: u64, at: &str, amount: &str) -> Arc<Incentive> {
    let mut one = incentive(tenant, user, seq);
    one.issued_at = time(at);
    one.id = incentive_id(time(at), tenant, one.campaign, one.user, Cause::Event(&one.event_id), 0);
    one.limits.day = Zone::utc().day(one.issued_at);
    one.amount = amount.parse().expect("a decimal");
    Arc::new(one)
}

/// Commits incentives as the next batch of a partition.
async fn commit(db: &PgDb, partition: i32, incentives: Vec<Arc<Incentive>>) {
    let store = PgHotStore::new(db.clone());
    let position = store.take_over(partition).await.expect("takes over");
    let batch = BatchCommit {
        partition,
        epoch: position.epoch,
        batch_seq: position.batch_seq + 1,
        offset_from: position.next_offset,
        offset_to: position.next_offset + 1,
        incentives,
        ..BatchCommit::default()
    };
    assert_eq!(store.commit(Arc::new(batch)).await.expect("commits"), Committed::Done);
}

/// A tenant's rows are captured in the order of their places, also where a batch straddles months
/// and another tenant is ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_captured_in_the_order_of_a_tenants_places() {
    let db = database().await;
    let retention = Retention { events_days: 60, incentives_days: 60 };
    keep_partitions(&db, time("2026-03-10T00:00:00Z"), retention).await.expect("keeps");
    let slot = dump(&db, "select 'order_' || current_database()").await.expect("a name").remove(0);
    let make = format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')");
    dump(&db, &make).await.expect("a slot");
    commit(
        &db,
        0,
        vec![
            granted(FIRST, "ada", 1, "2026-04-01T00:00:00Z", "1"),
            granted(SECOND, "bob", 1, "2026-03-31T23:00:00Z", "1"),
            granted(SECOND, "bob", 2, "2026-04-01T01:00:00Z", "1"),
        ],
    )
    .await;
    let read = format!(
        "select substring(data from 'ordinal\\[integer\\]:(\\d+)')
         from pg_logical_slot_get_changes('{slot}', null, null)
         where data like 'table public.incentives%' and data like '%{}%'",
        SECOND.0
    );
    let ordinals = dump(&db, &read).await.expect("reads");
    dump(&db, &format!("select pg_drop_replication_slot('{slot}')")).await.expect("drops");
    assert_eq!(ordinals, ["1", "2"]);
}

/// Debezium goes on behind the last log position that it has told of: were rows to share one, as
/// those of a COPY do, it would leave out the rest of them after a crash in their midst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_captured_row_has_a_log_position_of_its_own() {
    let db = database().await;
    let slot = dump(&db, "select 'own_' || current_database()").await.expect("a name").remove(0);
    let make = format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')");
    dump(&db, &make).await.expect("a slot");
    let rows = (1..=40).map(|seq| granted(FIRST, "ada", seq, "2026-04-01T00:00:00Z", "1"));
    commit(&db, 0, rows.collect()).await;
    let read = format!(
        "select count(*) || ' rows, ' || count(distinct lsn) || ' positions'
         from pg_logical_slot_get_changes('{slot}', null, null)
         where data like 'table public.incentives%'"
    );
    let found = dump(&db, &read).await.expect("reads");
    dump(&db, &format!("select pg_drop_replication_slot('{slot}')")).await.expect("drops");
    assert_eq!(found, ["40 rows, 40 positions"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_up_for_capturing_is_seen() {
    let db = database().await;
    let seen = capture(&db).await.expect("looks");
    assert_eq!((seen.wal_level.as_str(), seen.is_by_root), ("logical", Some(true)));
    assert_eq!(seen.slots, []);
    let slot = dump(&db, "select 'seen_' || current_database()").await.expect("a name").remove(0);
    let make = format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    dump(&db, &make).await.expect("a slot");
    dump(&db, "drop publication incent_incentives").await.expect("drops");
    commit(&db, 0, vec![granted(FIRST, "ada", 1, "2026-04-01T00:00:00Z", "1")]).await;
    let seen = capture(&db).await.expect("looks");
    dump(&db, &format!("select pg_drop_replication_slot('{slot}')")).await.expect("drops");
    assert_eq!(seen.is_by_root, None);
    let [found] = &seen.slots[..] else { panic!("{seen:?}") };
    assert_eq!(
        (found.name.as_str(), found.is_active, found.is_lost),
        (slot.as_str(), false, false)
    );
    assert!(found.behind_bytes > 0 && found.kept_bytes >= found.behind_bytes, "{found:?}");
}

/// A month that is dropped stays in the sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dropped_month_came_to_is_kept() {
    let db = database().await;
    let ledger = PgLedger::new(db.clone());
    let retention = Retention { events_days: 60, incentives_days: 60 };
    keep_partitions(&db, time("2026-03-10T00:00:00Z"), retention).await.expect("keeps");
    let grants = [
        ("bob", 1, "2026-03-31T23:00:00Z", "0.10"),
        ("bob", 2, "2026-03-31T23:30:00Z", "0.20"),
        ("ada", 1, "2026-04-01T01:00:00Z", "3"),
    ];
    let grants = grants.map(|(user, seq, at, amount)| granted(FIRST, user, seq, at, amount));
    commit(&db, 0, grants.to_vec()).await;
    let (before, places) = users(&ledger, FIRST).await;
    let days = ledger.days(FIRST, &places, None).await.expect("reads");

    let kept = keep_partitions(&db, time("2026-06-10T00:00:00Z"), retention).await.expect("keeps");
    assert_eq!(kept.dropped, ["events_2026_03", "incentives_2026_03"]);
    let left = dump(&db, "select user_ref from incentives").await.expect("reads");
    assert_eq!(left, ["ada"]);
    assert_eq!(users(&ledger, FIRST).await, (before, places.clone()));
    assert_eq!(ledger.days(FIRST, &places, None).await.expect("reads"), days);
}

fn sum(incentives: u64, amount: &str, last_at: &str) -> Sum {
    Sum { incentives, amount: amount.parse().expect("a decimal"), last_at: time(last_at) }
}

async fn users(ledger: &PgLedger, tenant: TenantId) -> (Vec<UserSums>, Applied) {
    let (to, mut sums) = mpsc::channel(1);
    let taken = async {
        let mut users = Vec::new();
        while let Some(user) = sums.recv().await {
            users.push(user);
        }
        users
    };
    let (places, users) = tokio::join!(ledger.users(tenant, to), taken);
    (users, places.expect("reads"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_tells_what_there_is_and_what_is_beyond() {
    let db = database().await;
    let ledger = PgLedger::new(db.clone());
    let (march, april) = ("2026-03-31T23:00:00Z", "2026-04-01T01:00:00Z");
    let first = vec![
        granted(FIRST, "bob", 1, march, "0.10"),
        granted(SECOND, "bob", 1, march, "7"),
        granted(FIRST, "ada", 1, march, "2.5"),
        granted(FIRST, "bob", 2, april, "0.2"),
    ];
    let (campaign, days) = (first[0].campaign, [Day(20_543), Day(20_544)]);
    commit(&db, 0, first).await;
    let points = || "POINTS".to_owned();
    let of = |name: &str, last_seq, sums| UserSums {
        user: UserRef::new(name).expect("a reference"),
        last_seq,
        sums,
    };
    let (mut told, places) = users(&ledger, FIRST).await;
    told.iter_mut().for_each(|user| user.sums.sort_by_key(|(_, _, day, _)| *day));
    let expected = [
        of("ada", 1, vec![(campaign, points(), days[0], sum(1, "2.5", march))]),
        of(
            "bob",
            2,
            vec![
                (campaign, points(), days[0], sum(1, "0.1", march)),
                (campaign, points(), days[1], sum(1, "0.2", april)),
            ],
        ),
    ];
    assert_eq!(told, expected);
    assert_eq!(ledger.beyond(FIRST, &places, 9).await.expect("reads"), []);

    // More, on the same partition and on another one.
    commit(&db, 1, vec![granted(FIRST, "eve", 1, april, "9")]).await;
    commit(
        &db,
        0,
        vec![granted(SECOND, "bob", 2, april, "1"), granted(FIRST, "ada", 2, april, "1")],
    )
    .await;
    let beyond = ledger.beyond(FIRST, &places, 9).await.expect("reads");
    let short: Vec<_> = beyond
        .iter()
        .map(|row| (row.user_ref.as_str(), row.source_partition, row.place, row.day))
        .collect();
    let place = |batch_seq, ordinal| Place { batch_seq, ordinal };
    assert_eq!(short, [("ada", 0, place(2, 1), days[1]), ("eve", 1, place(1, 0), days[1])]);
    assert_eq!(ledger.beyond(FIRST, &places, 1).await.expect("reads"), beyond[..1]);

    let all = ledger.days(FIRST, &places, None).await.expect("reads");
    let expected =
        [((days[0], points()), sum(2, "2.6", march)), ((days[1], points()), sum(1, "0.2", april))];
    assert_eq!((all.days, all.beyond), (expected.clone().into(), 2));
    assert_eq!(all.since, None);
    let recent = ledger.days(FIRST, &places, Some(0)).await.expect("reads");
    assert_eq!((recent.since, recent.beyond), (Some(days[1]), 2));
    assert_eq!(recent.days, expected[1..].iter().cloned().collect());
    let nothing = ledger.days(FIRST, &Applied::default(), None).await.expect("reads");
    assert_eq!((nothing.days.len(), nothing.beyond), (0, 5));
}

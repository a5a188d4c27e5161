use store::postgres::{Kept, Retention, keep_partitions};
use testkit::event::time;

use store::StoreError;

use super::{database, dump};

/// Inserts an event of March 2026.
const IN_MARCH: &str = "
    insert into events (log_offset, tenant_id, event_id, user_id, user_ref, action_code,
        event_ts, append_time, source_partition)
    select 1, gen_random_uuid(), 'e', gen_random_uuid(), 'u', 'a', t, t, 0
    from (values (timestamptz '2026-03-15Z')) as v (t)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_are_made_ahead_and_dropped_after_the_retention() {
    let db = database().await;
    let retention = Retention { events_days: 60, incentives_days: 400 };
    let keep = async |now: &str| keep_partitions(&db, time(now), retention).await.expect("keeps");
    // One row lies in the default partition, before its month is made.
    dump(&db, IN_MARCH).await.expect("inserts");

    let first = keep("2026-02-10T00:00:00Z").await;
    let months = ["2026_02", "2026_03", "2026_04"];
    let names = |table: &str| months.map(|month| format!("{table}_{month}"));
    assert_eq!(first.made, [names("events"), names("incentives")].concat());
    assert_eq!(keep("2026-02-28T23:59:59Z").await, Kept::default(), "once");
    let row = dump(&db, "select log_offset from events_2026_03").await.expect("reads");
    assert_eq!(row, ["1"], "it has moved into its month");

    let later = keep("2026-05-15T00:00:00Z").await;
    assert_eq!(
        later.dropped,
        ["events_2026_02"],
        "February is more than 60 days ago, March partly not"
    );
    let expected = ["events_2026_05", "events_2026_06", "events_2026_07"];
    assert_eq!(later.made[..3], expected);
    let rows = dump(&db, "select log_offset from events").await.expect("reads");
    assert_eq!(rows, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incentive_lies_in_the_month_of_its_id() {
    let db = database().await;
    let retention = Retention { events_days: 60, incentives_days: 60 };
    keep_partitions(&db, time("2026-03-10T00:00:00Z"), retention).await.expect("keeps");
    let tenant = domain::id::TenantId(uuid::Uuid::from_u128(1));
    for (at, partition) in [
        ("2026-03-31T23:59:59.999Z", "incentives_2026_03"),
        ("2026-04-01T00:00:00Z", "incentives_2026_04"),
        ("1997-01-01T00:00:00Z", "incentives_default"),
    ] {
        let user = domain::id::UserId(uuid::Uuid::from_u128(2));
        let campaign = domain::id::CampaignId(uuid::Uuid::from_u128(3));
        let cause = domain::id::Cause::Cycle(1);
        let id = domain::id::incentive_id(time(at), tenant, campaign, user, cause, 0);
        dump(
            &db,
            &format!(
                "insert into incentives values ('{id}', '{id}', '{id}', 'u', '{id}', 1, 'e',
                 'POINTS', 'POINTS', 1, null, '{at}', 1, 0, 1, 0, 0, null, 0, null, 0, null, 0,
                 null, 0, null)"
            ),
        )
        .await
        .expect("inserts");
        let where_is =
            format!("select tableoid::regclass from incentives where incentive_id = '{id}'");
        let found = dump(&db, &where_is).await.expect("reads");
        assert_eq!(found, [partition], "{at}");
    }
}

/// A batch that meets it is decided again; it must not halt its partition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_comes_while_its_month_is_made_met_another_transaction() {
    let db = database().await;
    let mut client = db.client().await.expect("connects");
    let making = tokio_postgres::Client::transaction(&mut client).await.expect("begins");
    let march = "
        create table march (like events including defaults including constraints);
        alter table events attach partition march for values from ('2026-03-01Z') to ('2026-04-01Z')";
    making.batch_execute(march).await.expect("attaches");
    let inserting = tokio::spawn({
        let db = db.clone();
        async move { dump(&db, IN_MARCH).await }
    });
    let waiting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                   where d.datname = current_database() and not l.granted";
    while dump(&db, waiting).await.expect("reads") == ["0"] {
        tokio::task::yield_now().await;
    }
    making.commit().await.expect("commits");
    let met = inserting.await.expect("runs");
    assert!(matches!(met, Err(StoreError::Raced { .. })), "{met:?}");

    dump(&db, "create table checked (n integer check (n > 0))").await.expect("creates");
    let refused = dump(&db, "insert into checked values (0)").await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
}

use store::postgres::{Kept, Retention, keep_partitions};
use testkit::event::time;

use super::{database, dump};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_are_made_ahead_and_dropped_after_the_retention() {
    let db = database().await;
    let retention = Retention { events_days: 60, incentives_days: 400 };
    let keep = async |now: &str| keep_partitions(&db, time(now), retention).await.expect("keeps");
    // One row lies in the default partition, before its month is made.
    dump(
        &db,
        "insert into events (log_offset, tenant_id, event_id, user_id, user_ref, action_code,
             event_ts, append_time, source_partition)
         select 1, gen_random_uuid(), 'e', gen_random_uuid(), 'u', 'a', t, t, 0
         from (values (timestamptz '2026-03-15Z')) as v (t)",
    )
    .await
    .expect("inserts");

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

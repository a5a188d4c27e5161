//! What a batch looks up it finds by an index, also in tables that have grown since PostgreSQL last
//! looked at them: to read all of a large one takes longer than everything else in a batch.

use std::sync::Arc;

use domain::decide::Needs;
use domain::id::{CohortId, EventKey, TenantId, UserId};
use domain::time::Day;
use engine::ports::HotStore as _;
use store::hot::PgHotStore;
use uuid::Uuid;

use super::{database, dump, once_more};

/// Rows of each table while plans are made, and later.
const FEW: u128 = 100;
const MANY: u128 = 40_000;
/// Keys that a batch looks for.
const ASKED: u128 = 2_000;
/// After five executions PostgreSQL may keep a plan.
const BATCHES: usize = 8;
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
/// Tables that a batch reads by keys of several columns; of `event_ids` each partition.
const TABLES: &str = "relname ~ '^(event_ids_|user_marks|limit_usage|cohort_members)'";

/// Nobody gathers statistics meanwhile.
const UNWATCHED: &str = "
    do $$ declare t text; begin
        for t in select oid::regclass from pg_class where relkind = 'r'
            and relname ~ '^(event_ids_|user_marks|limit_usage|cohort_members)' loop
            execute 'alter table ' || t || ' set (autovacuum_enabled = false)';
        end loop;
    end $$";

/// Rows from one number on and before another, for one tenant, cohort and campaign.
fn fill(from: u128, to: u128) -> String {
    let one = "'00000000-0000-0000-0000-000000000001'::uuid";
    let rows = format!(
        "(select lpad(to_hex(n), 32, '0')::uuid as id, n::bigint
          from generate_series({from}, {to} - 1) as n) r"
    );
    format!(
        "set session_replication_role = replica;
         insert into event_ids select {one}, id, id, n, now(), 0 from {rows};
         insert into user_marks select id, id, {one}, now() from {rows};
         insert into limit_usage select {one}, 'key:' || n, b, 1
             from {rows}, (values (-2147483648), (20000)) as v (b);
         insert into cohort_members select {one}, 1, id, 'u' || n from {rows};
         set session_replication_role = default"
    )
}

fn needs() -> Arc<Needs> {
    let asked = || (0..ASKED).map(|n| n * 20);
    let id = |n: u128| Uuid::from_u128(n);
    Arc::new(Needs {
        users: asked().map(|n| UserId(id(n))).collect(),
        cohorts: [(CohortId(id(1)), 1)].into(),
        marks: asked().map(|n| (UserId(id(n)), *id(n).as_bytes())).collect(),
        usage: (0..50).map(|n| ((TENANT, format!("key:{}", n * 700)), Day(20_000))).collect(),
        event_ids: asked().map(|n| (TENANT, EventKey(*id(n).as_bytes()))).collect(),
        ..Needs::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_looks_up_is_never_read_as_a_whole() {
    let db = database().await;
    let write = async |sql: &str| {
        let client = db.client().await.expect("connects");
        client.batch_execute(sql).await.expect("writes");
    };
    write(UNWATCHED).await;
    write(&fill(0, FEW)).await;
    let store = PgHotStore::new(db.clone());
    for _ in 0..BATCHES {
        store.load(needs()).await.expect("loads");
    }
    write(&fill(FEW, MANY)).await;
    let before = read_as_a_whole(&db).await;
    // One that has kept its plans, and one that makes them now.
    let other = once_more(&db).await.expect("opens");
    for db in [&db, &other] {
        let store = PgHotStore::new(db.clone());
        for _ in 0..BATCHES {
            let loaded = store.load(needs()).await.expect("loads");
            let found = (loaded.event_ids.len(), loaded.marks.len(), loaded.usage.len());
            assert_eq!(found, (2_000, 2_000, 50));
            let members = loaded.users.values().filter(|user| !user.cohorts.is_empty());
            assert_eq!(members.count(), 2_000);
        }
        let after = read_as_a_whole(db).await;
        assert_eq!(after, before, "rows read one after the other, by table");
    }
}

/// Rows read by reading a table from its beginning, by table.
async fn read_as_a_whole(db: &store::PgDb) -> Vec<String> {
    let sql = format!(
        "select relname, seq_tup_read from pg_stat_user_tables where {TABLES} order by relname"
    );
    // One thing after the other, all of it went over the same connection, which tells its numbers
    // now and then, or when it is told to.
    dump(db, "select pg_stat_force_next_flush()").await.expect("tells");
    dump(db, &sql).await.expect("reads")
}

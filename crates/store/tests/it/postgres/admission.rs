//! A log that admits nothing itself: what it holds is admitted with the batch.

use std::sync::Arc;

use domain::config::TenantMode;
use domain::event::RecordKind;
use domain::id::TenantId;
use engine::policy::Health;
use engine::ports::{HotStore as _, NewRecord};
use store::hot::PgHotStore;
use testkit::calculator::run_to_end;
use testkit::clock::ManualClock;
use testkit::contract::{Subject as _, Table};
use testkit::event::{event, time};
use testkit::log::MemoryLog;
use uuid::Uuid;

use super::{Postgres, dump};
use crate::path::Stand;

/// A tenant whose every event earns a point, and its log.
struct Shop {
    stand: Stand,
    db: store::PgDb,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    tenant: TenantId,
}

impl Shop {
    async fn open() -> Self {
        let clock = Stand::clock_at_first();
        let profile = Postgres::new(clock.clone()).await;
        let (db, log) = (profile.db.clone(), profile.log.clone());
        let stand = Stand::over(Box::new(profile), clock.clone());
        let tenant = stand.tenant().await.expect("a tenant");
        let rule = r#"{"on": ["*"], "rewards": [{"type": "POINTS", "amount": "1"}]}"#;
        stand.campaign(tenant, rule.into(), None).await.expect("a campaign");
        Self { stand, db, log, clock, tenant }
    }

    async fn send(&self, records: Vec<NewRecord>) {
        self.stand.bus().append(records).await.expect("appends");
    }

    async fn decide(&self, batch_max: usize) {
        let ends = run_to_end(&self.stand.ports(), batch_max).await;
        assert!(ends.is_clean(), "{ends:?}");
    }

    async fn rows(&self, table: Table) -> Vec<String> {
        self.stand.rows(table).await.expect("rows")
    }

    /// How often each outcome was counted.
    async fn counts(&self) -> Vec<String> {
        let sql = "select key || ' ' || sum(value::bigint) from batches, jsonb_each_text(counts)
                   group by key order by key";
        dump(&self.db, sql).await.expect("reads")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_decided_once_however_often_it_was_sent() {
    for batch_max in [1, 3, 100] {
        let shop = Shop::open().await;
        let once = |id: &str| event(shop.tenant, id).record();
        let other = event(shop.tenant, "a").payload(r#"{"amount":1}"#).record();
        shop.send(vec![once("a"), once("b"), once("a"), other, once("b"), once("c")]).await;
        shop.decide(batch_max).await;
        shop.send(vec![once("c"), once("a"), once("d")]).await;
        shop.decide(batch_max).await;
        assert_eq!(shop.rows(Table::Incentives).await.len(), 4, "batches of {batch_max}");
        assert_eq!(shop.rows(Table::Events).await.len(), 4);
        assert_eq!(shop.rows(Table::EventIds).await.len(), 4);
        assert_eq!(shop.counts().await, ["DECIDED 4", "DUPLICATE 4", "ID_REUSED 1"]);
        let letters = shop.rows(Table::DeadLetters).await;
        assert_eq!(letters.len(), 1);
        for part in ["ID_REUSED", "tenant-events:0@3", r#"a {"amount":1}"#] {
            assert!(letters[0].contains(part), "{part} in {}", letters[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_is_kept_byte_by_byte() {
    let shop = Shop::open().await;
    let nobody = TenantId(Uuid::from_u128(0xdead));
    let replayed = event(shop.tenant, "past").kind(RecordKind::Replay).record();
    shop.log.append_bytes(b"\x00no event\xff");
    shop.send(vec![event(nobody, "x").record(), replayed, event(shop.tenant, "good").record()])
        .await;
    shop.decide(100).await;
    assert_eq!(shop.counts().await, ["DECIDED 1", "NO_TENANT 1", "UNREADABLE 1", "WRONG_MODE 1"]);
    let letters = shop.rows(Table::DeadLetters).await;
    for part in [r"UNREADABLE|it is no event|\000no event\377", "NO_TENANT", "past {}"] {
        assert!(letters.iter().any(|letter| letter.contains(part)), "{part} in {letters:?}");
    }
    // An id that was refused is free: sent again in its time, the event is decided.
    shop.stand.set_mode(shop.tenant, TenantMode::Replay).await.expect("switches");
    shop.send(vec![event(shop.tenant, "past").kind(RecordKind::Replay).record()]).await;
    shop.decide(100).await;
    assert_eq!(shop.rows(Table::Incentives).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn append_times_never_go_back_whatever_the_batches() {
    let mut seen: Option<Vec<String>> = None;
    for batch_max in [1, 2, 100] {
        let shop = Shop::open().await;
        let times = ["2026-03-02T12:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T13:00:00Z"];
        for (id, now) in ["1", "2", "3"].into_iter().zip(times) {
            shop.clock.set(time(now));
            shop.send(vec![event(shop.tenant, id).record()]).await;
        }
        shop.decide(batch_max).await;
        let sql = "select event_id, append_time from events order by log_offset";
        let rows = dump(&shop.db, sql).await.expect("reads");
        assert!(rows[1].contains("12:00:00") && rows[2].contains("13:00:00"), "{rows:?}");
        assert_eq!(*seen.get_or_insert(rows.clone()), rows, "batches of {batch_max}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_partitions_with_one_tenant_use_one_limit() {
    let shop = Shop::open().await;
    let store = PgHotStore::new(shop.db.clone());
    let (a, b) = (store.take_over(0).await.expect("a"), store.take_over(1).await.expect("b"));
    assert_eq!((a.epoch, b.epoch), (1, 1), "each partition has an owner of its own");
    let needs = domain::decide::Needs { tenants: [shop.tenant].into(), ..Default::default() };
    let loaded = store.load(Arc::new(needs)).await.expect("loads");
    let from = loaded.lanes[&shop.tenant];
    let batch = |partition| engine::ports::BatchCommit {
        partition,
        epoch: 1,
        batch_seq: 1,
        offset_to: 1,
        config_versions: loaded.config_versions.clone(),
        lanes: [(shop.tenant, engine::ports::LaneMove { from, to: from.append_time })].into(),
        ..Default::default()
    };
    let commit = async |partition| store.commit(Arc::new(batch(partition))).await.expect("answers");
    assert_eq!(commit(0).await, engine::ports::Committed::Done);
    assert_eq!(commit(1).await, engine::ports::Committed::Stale, "it has not seen the other's use");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_in_the_place_of_the_first_halts_the_worker() {
    let shop = Shop::open().await;
    shop.send(vec![event(shop.tenant, "a").record()]).await;
    shop.decide(100).await;
    let other = MemoryLog::new(shop.clock.clone(), Uuid::from_u128(0x107));
    other.append_bytes(b"something else");
    let ports = engine::worker::Ports { bus: Arc::new(other), ..shop.stand.ports() };
    let ends = run_to_end(&ports, 100).await;
    assert!(matches!(&ends.worker, Health::Halted(why) if why.contains("not the one")), "{ends:?}");
}

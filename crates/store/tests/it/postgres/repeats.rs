//! Ids of events are not looked up while none comes twice, and one that does is found all the same.

use std::sync::Arc;

use domain::decide::Needs;
use domain::event::{Record, RecordKind};
use domain::id::{EventKey, TenantId};
use engine::ports::{BatchCommit, Committed, EventWrite, HotStore as _};

use store::hot::PgHotStore;
use testkit::event::event;
use uuid::Uuid;

use super::{database, dump};

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
/// More than it looks up without being told to.
const QUIET: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice_after_a_quiet_time_is_decided_once() {
    let db = database().await;
    let store = PgHotStore::new(db.clone());
    let epoch = store.take_over(0).await.expect("takes over").epoch;
    let event = event(TENANT, "e-1").build();
    let key = EventKey::of(&event.event_id);
    let batch = |seq: i64| {
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        let record = Record {
            offset: seq - 1,
            event: event.clone(),
            append_time: at,
            kind: RecordKind::Live,
        };
        let outcome = "{}".to_owned();
        let row = EventWrite { record, key, content_hash: [7; 16], outcome, is_readable: true };
        Arc::new(BatchCommit {
            epoch,
            batch_seq: seq,
            offset_from: seq - 1,
            offset_to: seq,
            events: vec![row],
            ..BatchCommit::default()
        })
    };
    let needs =
        || Arc::new(Needs { event_ids: [(TENANT, key)].into_iter().collect(), ..Needs::default() });
    for _ in 0..QUIET {
        let loaded = store.load(needs()).await.expect("loads");
        assert!(loaded.event_ids.is_empty());
    }
    assert_eq!(store.commit(batch(1)).await.expect("answers"), Committed::Done);

    let unseen = store.load(needs()).await.expect("loads");
    assert!(unseen.event_ids.is_empty(), "it was looked up after a quiet time");
    assert_eq!(store.commit(batch(2)).await.expect("answers"), Committed::Stale);
    for _ in 0..QUIET {
        let seen = store.load(needs()).await.expect("loads");
        assert_eq!(seen.event_ids.get(&(TENANT, key)), Some(&[7; 16]));
    }
    let rows = dump(&db, "select log_offset from event_ids").await.expect("reads");
    assert_eq!(rows, ["0"]);
}

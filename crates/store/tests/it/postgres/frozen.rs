//! An owner that hangs inside its transaction, and a commit that cannot answer.

use std::sync::Arc;

use engine::ports::{BatchCommit, Committed, HotStore as _, PortErrorKind};
use store::hot::PgHotStore;

use super::{database, dump};

const LOCK: &str = "begin; select 1 from positions where partition = 0 for update";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_does_not_hold_up_the_next_one() {
    let db = database().await;
    let store = PgHotStore::new(db.clone());
    let old = store.take_over(0).await.expect("takes over");
    // Its connection holds the lock of the position and says nothing more.
    let frozen = db.client().await.expect("connects");
    frozen.batch_execute(LOCK).await.expect("locks");
    let new = store.take_over(0).await.expect("takes over");
    assert_eq!(new.epoch, old.epoch + 1);
    let ended = frozen.batch_execute("commit").await.expect_err("its backend is gone");
    assert!(ended.is_closed() || ended.as_db_error().is_some(), "{ended}");
    let late = BatchCommit { epoch: old.epoch, batch_seq: 1, ..BatchCommit::default() };
    let refused = store.commit(Arc::new(late)).await.expect_err("fenced");
    assert_eq!(refused.kind, PortErrorKind::Fenced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_ended_is_no_more_than_a_pause() {
    let db = database().await;
    let store = PgHotStore::new(db.clone());
    let position = store.take_over(0).await.expect("takes over");
    let batch =
        BatchCommit { epoch: position.epoch, batch_seq: 1, offset_to: 5, ..BatchCommit::default() };
    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
    let other = db.client().await.expect("connects");
    let mut committed = None;
    for _ in 0..20 {
        other.batch_execute(end_all).await.expect("ends them");
        match store.commit(Arc::new(batch.clone())).await {
            Ok(done) => {
                committed = Some(done);
                break;
            }
            Err(error) => assert_eq!(error.kind, PortErrorKind::Unavailable, "{error}"),
        }
    }
    // Or an earlier commit took place, and only its answer was lost.
    let there = Committed::Overtaken { next_offset: 5, batch_seq: 1 };
    assert!(committed == Some(Committed::Done) || committed == Some(there), "{committed:?}");
    let rows = dump(&db, "select next_offset, batch_seq from positions").await.expect("reads");
    assert_eq!(rows, ["5|1"]);
}

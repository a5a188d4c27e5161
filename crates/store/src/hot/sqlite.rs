//! The hot store over the one SQLite file.

use std::sync::Arc;

use domain::decide::{Loaded, Needs};
use domain::id::{EventId, EventKey, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::ports::{
    BatchCommit, Committed, HotStore, IncentiveEvent, Place, PortFuture, Position,
};
use rusqlite::Connection;

use super::encode::EncodedBatch;
use super::written::answer;
use super::{commit, load, publication};
use crate::db::SqliteDb;
use crate::error::Result;

/// The event path's store on the embedded profile. A batch is one closure on the writer thread,
/// between control-plane changes and appends: what it compares cannot change while it writes.
#[derive(Clone)]
pub struct SqliteHotStore {
    db: SqliteDb,
}

impl SqliteHotStore {
    /// Over a migrated database.
    pub fn new(db: SqliteDb) -> Self {
        Self { db }
    }

    fn read<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> PortFuture<'a, T> {
        Box::pin(async move { Ok(self.db.read(work).await?) })
    }

    fn write<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> PortFuture<'a, T> {
        Box::pin(async move { Ok(self.db.write(work).await?) })
    }
}

impl HotStore for SqliteHotStore {
    fn take_over<'a>(&'a self, partition: i32) -> PortFuture<'a, Position> {
        self.write(move |conn| publication::take_over(conn, partition))
    }

    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded> {
        Box::pin(async move { Ok(self.db.read_here(move |conn| load::load(conn, &needs)).await?) })
    }

    fn commit<'a>(&'a self, batch: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        Box::pin(async move {
            // On the caller's thread: the writer's time is what everybody shares.
            let encoded = EncodedBatch::of(&batch)?;
            answer(self.db.write(move |conn| commit::commit(conn, &batch, &encoded)).await)
        })
    }

    fn unpublished<'a>(
        &'a self,
        partition: i32,
        after: Place,
        max: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        self.read(move |conn| publication::unpublished(conn, partition, after, max))
    }

    fn published<'a>(
        &'a self,
        partition: i32,
        events: Arc<Vec<(IncentiveId, UserId)>>,
        up_to: Place,
        at: Timestamp,
    ) -> PortFuture<'a, ()> {
        self.write(move |conn| publication::log(conn, partition, &events, (up_to, at)))
    }

    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        self.read(move |conn| publication::missed(conn, user, after, max))
    }

    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64> {
        self.read(move |conn| publication::last_seq(conn, user))
    }

    fn outcome<'a>(
        &'a self,
        tenant: TenantId,
        event: &'a EventId,
    ) -> PortFuture<'a, Option<String>> {
        let key = EventKey::of(event);
        self.read(move |conn| publication::outcome(conn, tenant, key))
    }
}

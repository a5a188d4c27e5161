//! The hot store over PostgreSQL. The log is elsewhere, so a batch brings its events along. What it
//! compares is locked in one order: the position, then the tenants by id.

mod commit;
mod ledger;
mod load;
mod publication;
mod repeats;
mod rows;
mod take_over;
mod write;

use std::pin::Pin;
use std::sync::Arc;

use deadpool_postgres::{Object, Transaction};
use domain::decide::{Loaded, Needs};
use domain::id::{EventId, EventKey, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::ports::{
    BatchCommit, Committed, HotStore, IncentiveEvent, Place, PortFuture, Position,
};
use tokio_postgres::Row;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

pub use self::ledger::PgLedger;
use self::repeats::Repeats;
use super::encode::EncodedBatch;
use super::written::{Written, answer};
use crate::error::Result;
use crate::postgres::PgDb;

/// The event path's store on the distributed profile.
#[derive(Clone, Debug)]
pub struct PgHotStore {
    db: PgDb,
    repeats: Arc<Repeats>,
}

impl PgHotStore {
    /// Over a migrated database.
    pub fn new(db: PgDb) -> Self {
        Self { db, repeats: Arc::default() }
    }

    async fn written(&self, batch: &BatchCommit) -> Result<Written> {
        let encoded = EncodedBatch::of(batch)?;
        match commit::commit(&self.db, &self.repeats, batch, &encoded).await? {
            Written::Unknown(why) => commit::resolve(&self.db, batch, why).await,
            known => Ok(known),
        }
    }
}

impl HotStore for PgHotStore {
    fn take_over<'a>(&'a self, partition: i32) -> PortFuture<'a, Position> {
        Box::pin(async move { Ok(take_over::take_over(&self.db, partition).await?) })
    }

    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded> {
        Box::pin(async move { Ok(load::load(&self.db, &self.repeats, &needs).await?) })
    }

    fn commit<'a>(&'a self, batch: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        Box::pin(async move { answer(self.written(&batch).await) })
    }

    fn unpublished<'a>(
        &'a self,
        partition: i32,
        after: Place,
        max: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        Box::pin(
            async move { Ok(publication::unpublished(&self.db, partition, after, max).await?) },
        )
    }

    fn published<'a>(
        &'a self,
        partition: i32,
        events: Arc<Vec<(IncentiveId, UserId)>>,
        up_to: Place,
        at: Timestamp,
    ) -> PortFuture<'a, ()> {
        Box::pin(
            async move { Ok(publication::log(&self.db, partition, &events, (up_to, at)).await?) },
        )
    }

    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        Box::pin(async move { Ok(publication::missed(&self.db, user, after, max).await?) })
    }

    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64> {
        Box::pin(async move { Ok(publication::last_seq(&self.db, user).await?) })
    }

    fn outcome<'a>(
        &'a self,
        tenant: TenantId,
        event: &'a EventId,
    ) -> PortFuture<'a, Option<String>> {
        let key = EventKey::of(event);
        Box::pin(async move { Ok(publication::outcome(&self.db, tenant, key).await?) })
    }
}

/// Parameters of a statement.
type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs a prepared query.
async fn query(client: &Object, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// Begins a COPY of rows with columns of these types.
async fn copy(
    transaction: &Transaction<'_>,
    sql: &str,
    types: &[Type],
) -> Result<Pin<Box<BinaryCopyInWriter>>> {
    let statement = transaction.prepare_cached(sql).await?;
    let sink = transaction.copy_in(&statement).await?;
    Ok(Box::pin(BinaryCopyInWriter::new(sink, types)))
}

//! One batch, one transaction: lock and compare what was read, then write everything.

use std::time::Duration;

use deadpool_postgres::Transaction;
use domain::decide::Lane;
use domain::id::TenantId;
use engine::ports::BatchCommit;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::encode::EncodedBatch;
use super::super::written::{Stored, Written};
use super::repeats::Repeats;
use super::rows::{Columns, TOPIC};
use super::{Params, write};
use crate::error::{Result, StoreError};
use crate::postgres::PgDb;

const POSITION: &str = "
    select epoch, next_offset, batch_seq from positions where topic = $1 and partition = $2
    for update";
/// In the order of ids, as every transaction that locks several tenants.
const TENANTS: &str = "
    select tenant_id, config_version, last_append_time, lane_version
    from tenant_states where tenant_id = any($1) order by tenant_id for no key update";

/// How often and with which pause an unknown commit is asked for.
const RESOLVE_ATTEMPTS: u32 = 10;
const RESOLVE_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn commit(
    db: &PgDb,
    repeats: &Repeats,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<Written> {
    if !batch.outcomes.is_empty() {
        return Err(StoreError::invalid(
            "a batch brings outcomes of events that this store has no rows of",
        ));
    }
    let mut client = db.client().await?;
    let transaction = client.transaction().await?;
    let refused = match compare(&transaction, batch).await {
        // A dozen statements on their way at once: more than a stack should hold.
        Ok(None) => match Box::pin(write::write(&transaction, repeats, batch, encoded)).await {
            Ok(true) => None,
            Ok(false) => Some(Written::Stale),
            Err(error) => return stale_or(error),
        },
        Ok(refused) => refused,
        Err(error) => return stale_or(error),
    };
    if let Some(refused) = refused {
        transaction.rollback().await?;
        return Ok(refused);
    }
    match transaction.commit().await {
        Ok(()) => Ok(Written::Done),
        Err(error) => match StoreError::from(error) {
            StoreError::Raced { .. } => Ok(Written::Stale),
            why => Ok(Written::Unknown(why)),
        },
    }
}

/// A transaction that another one was in the way of is decided again, on what is there then.
fn stale_or(error: StoreError) -> Result<Written> {
    match error {
        StoreError::Raced { detail } => {
            tracing::debug!(detail, "a batch met another transaction");
            Ok(Written::Stale)
        }
        error => Err(error),
    }
}

/// Finds out what became of a commit whose answer was lost: the position tells, under its lock,
/// for the old transaction holds it as long as it is undecided.
pub(super) async fn resolve(db: &PgDb, batch: &BatchCommit, why: StoreError) -> Result<Written> {
    let partition = batch.partition;
    tracing::warn!(partition, %why, "the answer to a commit was lost");
    for _ in 0..RESOLVE_ATTEMPTS {
        tokio::time::sleep(RESOLVE_PAUSE).await;
        if let Ok(stands) = position(db, batch).await {
            let written = match stands {
                // Its transaction found the position before it, so what is there now is its own.
                Some(Written::Overtaken { next_offset, batch_seq })
                    if (batch_seq, next_offset) == (batch.batch_seq, batch.offset_to) =>
                {
                    Written::Done
                }
                Some(stands) => stands,
                // The batch would follow: it did not land, and the same records are decided again.
                None => Written::Stale,
            };
            match written {
                Written::Done => tracing::info!(partition, "the commit had taken place"),
                _ => tracing::info!(partition, "the commit had not taken place"),
            }
            return Ok(written);
        }
    }
    Ok(Written::Unknown(why))
}

async fn position(db: &PgDb, batch: &BatchCommit) -> Result<Option<Written>> {
    let mut client = db.client().await?;
    let transaction = client.transaction().await?;
    let statement = transaction.prepare_cached(POSITION).await?;
    let row = transaction.query_opt(&statement, &[&TOPIC, &batch.partition]).await?;
    let stands = row.map(|row| follows(&row, batch)).transpose()?.flatten();
    transaction.rollback().await?;
    Ok(stands)
}

/// Compares position, epoch, configurations and lanes with what the batch was decided under. They
/// stay as they are until the transaction ends.
async fn compare(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<Option<Written>> {
    let position = transaction.prepare_cached(POSITION).await?;
    let tenants = transaction.prepare_cached(TENANTS).await?;
    let ids: Vec<Uuid> = batch.config_versions.keys().map(|tenant| tenant.0).collect();
    let place: Params<'_> = &[&TOPIC, &batch.partition];
    let ids: Params<'_> = &[&ids];
    let (position, tenants) = tokio::try_join!(
        biased;
        transaction.query_opt(&position, place),
        transaction.query(&tenants, ids),
    )?;
    let Some(position) = position else {
        return Err(StoreError::invalid("a batch of a partition that nobody has taken over"));
    };
    if let Some(refused) = follows(&position, batch)? {
        return Ok(Some(refused));
    }
    let mut found = 0;
    for row in &tenants {
        found += 1;
        if !is_as_loaded(row, batch)? {
            return Ok(Some(Written::Stale));
        }
    }
    Ok((found != batch.config_versions.len()).then_some(Written::Stale))
}

/// `None` when the batch follows the position.
fn follows(row: &Row, batch: &BatchCommit) -> Result<Option<Written>> {
    let mut c = Columns::of("positions", row);
    Stored { epoch: c.get()?, next_offset: c.get()?, batch_seq: c.get()? }.refuses(batch)
}

fn is_as_loaded(row: &Row, batch: &BatchCommit) -> Result<bool> {
    let mut c = Columns::of("tenant_states", row);
    let (tenant, version) = (TenantId(c.get()?), c.get::<i64>()?);
    let lane = Lane { append_time: c.time()?, version: c.get()? };
    let same_lane = batch.lanes.get(&tenant).is_none_or(|moved| moved.from == lane);
    Ok(batch.config_versions.get(&tenant) == Some(&version) && same_lane)
}

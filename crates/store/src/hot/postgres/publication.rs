//! What was granted on its way out: the order of publication, its log, what a client has missed.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use domain::id::{EventKey, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::ports::{IncentiveEvent, Place};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::INCENTIVE_COLUMNS;
use super::rows::{Columns, TOPIC, incentive, integer};
use super::{Params, copy, query};
use crate::error::{Result, StoreError};
use crate::postgres::PgDb;
use crate::postgres::values::Instant;

const LOG: &str = "
    copy incentive_event_log (incentive_id, user_id, published_at) from stdin (format binary)";
const LOG_TYPES: [Type; 3] = [Type::UUID, Type::UUID, Type::TIMESTAMPTZ];
const LOG_AGAIN: &str = "
    insert into incentive_event_log (incentive_id, user_id, published_at)
    select n.incentive_id, n.user_id, $3
    from unnest($1::uuid[], $2::uuid[]) as n (incentive_id, user_id)
    on conflict (incentive_id) do nothing";
const PUBLISHED: &str = "
    update positions set published_batch = $3, published_ordinal = $4
    where topic = $1 and partition = $2 and (published_batch, published_ordinal) < ($3, $4)";
const LAST_SEQ: &str = "select seq from user_states where user_id = $1";
const OUTCOME: &str = "
    select e.outcome
    from event_ids i
    join events e on e.append_time = i.append_time
        and e.source_partition = i.source_partition and e.log_offset = i.log_offset
    where i.tenant_id = $1 and i.event_key = $2";

pub(super) async fn unpublished(
    db: &PgDb,
    partition: i32,
    after: Place,
    max: usize,
) -> Result<Vec<IncentiveEvent>> {
    let client = db.client().await?;
    let sql = format!(
        "select {INCENTIVE_COLUMNS}, batch_seq, ordinal from incentives
         where source_partition = $1 and (batch_seq, ordinal) > ($2, $3)
         order by batch_seq, ordinal limit $4"
    );
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let params: Params<'_> = &[&partition, &after.batch_seq, &after.ordinal, &max];
    let rows = query(&client, &sql, params).await?;
    let event = |row| {
        let c = &mut Columns::of("incentives", row);
        let incentive = incentive(c)?;
        Ok(IncentiveEvent { incentive, place: Place { batch_seq: c.get()?, ordinal: c.get()? } })
    };
    rows.iter().map(event).collect()
}

pub(super) async fn log(
    db: &PgDb,
    partition: i32,
    events: &[(IncentiveId, UserId)],
    (up_to, at): (Place, Timestamp),
) -> Result<()> {
    let mut client = db.client().await?;
    let transaction = client.transaction().await?;
    let transaction = match log_new(&transaction, events, at).await {
        Ok(()) => transaction,
        // Some were published before, by a process that died or lost the partition.
        Err(StoreError::Conflict { .. }) => {
            transaction.rollback().await?;
            let transaction = client.transaction().await?;
            log_again(&transaction, events, at).await?;
            transaction
        }
        Err(error) => return Err(error),
    };
    let statement = transaction.prepare_cached(PUBLISHED).await?;
    let Place { batch_seq, ordinal } = up_to;
    transaction.execute(&statement, &[&TOPIC, &partition, &batch_seq, &ordinal]).await?;
    transaction.commit().await?;
    Ok(())
}

async fn log_new(
    transaction: &Transaction<'_>,
    events: &[(IncentiveId, UserId)],
    at: Timestamp,
) -> Result<()> {
    let mut writer = copy(transaction, LOG, &LOG_TYPES).await?;
    for (id, user) in events {
        writer.as_mut().write(&[&id.0, &user.0, &Instant(at)]).await?;
    }
    writer.as_mut().finish().await?;
    Ok(())
}

async fn log_again(
    transaction: &Transaction<'_>,
    events: &[(IncentiveId, UserId)],
    at: Timestamp,
) -> Result<()> {
    let (ids, users): (Vec<Uuid>, Vec<Uuid>) = events.iter().map(|(id, u)| (id.0, u.0)).unzip();
    let statement = transaction.prepare_cached(LOG_AGAIN).await?;
    transaction.execute(&statement, &[&ids, &users, &Instant(at)]).await?;
    Ok(())
}

pub(super) async fn missed(
    db: &PgDb,
    user: UserId,
    after: u64,
    max: usize,
) -> Result<Vec<Arc<Incentive>>> {
    let client = db.client().await?;
    // A user's seq and issued_at rise together; the index holds both.
    let sql = format!(
        "select {INCENTIVE_COLUMNS} from incentives
         where user_id = $1 and seq > $2 order by issued_at, seq limit $3"
    );
    let [after, max] = [after, max as u64].map(integer);
    let rows = query(&client, &sql, &[&user.0, &after, &max]).await?;
    rows.iter().map(|row| incentive(&mut Columns::of("incentives", row))).collect()
}

pub(super) async fn last_seq(db: &PgDb, user: UserId) -> Result<u64> {
    let client = db.client().await?;
    let rows = query(&client, LAST_SEQ, &[&user.0]).await?;
    rows.first().map_or(Ok(0), |row| Columns::of("user_states", row).whole())
}

pub(super) async fn outcome(db: &PgDb, tenant: TenantId, key: EventKey) -> Result<Option<String>> {
    let client = db.client().await?;
    let rows = query(&client, OUTCOME, &[&tenant.0, &Uuid::from_bytes(key.0)]).await?;
    rows.first().map_or(Ok(None), |row| Columns::of("events", row).get())
}

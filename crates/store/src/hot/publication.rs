//! Positions, and what was granted on its way out: the order of publication, its log, what a
//! client has missed.

use std::sync::Arc;

use domain::id::{EventKey, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::ports::{IncentiveEvent, Place, Position};
use rusqlite::{Connection, OptionalExtension as _};

use super::INCENTIVE_COLUMNS;
use super::rows::{Columns, INCENTIVE_COLUMN_COUNT, TOPIC, blob, incentive};
use crate::error::Result;

const TAKE_OVER: &str = "
    insert into positions (topic, partition, epoch, next_offset, batch_seq) values (?1, ?2, 1, 0, 0)
    on conflict (topic, partition) do update set epoch = epoch + 1
    returning epoch, next_offset, batch_seq, published_batch, published_ordinal";
const LOG: &str = "
    insert into incentive_event_log (incentive_id, user_id, published_at) values (?1, ?2, ?3)
    on conflict (incentive_id) do nothing";
const PUBLISHED: &str = "
    update positions set published_batch = ?3, published_ordinal = ?4
    where topic = ?1 and partition = ?2 and (published_batch, published_ordinal) < (?3, ?4)";
const LAST_SEQ: &str = "select seq from user_states where user_id = ?1";
const OUTCOME: &str = "
    select e.outcome from event_ids i join events e on e.log_offset = i.log_offset
    where i.tenant_id = ?1 and i.event_key = ?2";

pub(super) fn take_over(conn: &Connection, partition: i32) -> Result<Position> {
    let mut query = conn.prepare_cached(TAKE_OVER)?;
    Ok(query.query_row((TOPIC, partition), |row| {
        Ok(Position {
            epoch: row.get(0)?,
            next_offset: row.get(1)?,
            batch_seq: row.get(2)?,
            published: Place { batch_seq: row.get(3)?, ordinal: row.get(4)? },
            // The log is in the same file: it cannot be exchanged without the position.
            mark: None,
        })
    })?)
}

pub(super) fn unpublished(
    conn: &Connection,
    partition: i32,
    after: Place,
    max: usize,
) -> Result<Vec<IncentiveEvent>> {
    let mut query = conn.prepare_cached(&format!(
        "select {INCENTIVE_COLUMNS}, batch_seq, ordinal from incentives
         where source_partition = ?1 and (batch_seq, ordinal) > (?2, ?3)
         order by batch_seq, ordinal limit ?4"
    ))?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut rows = query.query((partition, after.batch_seq, after.ordinal, max))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let incentive = incentive(&mut Columns::of("incentives", row))?;
        let place = Place {
            batch_seq: row.get(INCENTIVE_COLUMN_COUNT)?,
            ordinal: row.get(INCENTIVE_COLUMN_COUNT + 1)?,
        };
        events.push(IncentiveEvent { incentive, place });
    }
    Ok(events)
}

pub(super) fn log(
    conn: &Connection,
    partition: i32,
    events: &[(IncentiveId, UserId)],
    (up_to, at): (Place, Timestamp),
) -> Result<()> {
    let mut insert = conn.prepare_cached(LOG)?;
    for (incentive, user) in events {
        insert.execute((blob(&incentive.0), blob(&user.0), at.micros()))?;
    }
    let mut advance = conn.prepare_cached(PUBLISHED)?;
    advance.execute((TOPIC, partition, up_to.batch_seq, up_to.ordinal))?;
    Ok(())
}

pub(super) fn missed(
    conn: &Connection,
    user: UserId,
    after: u64,
    max: usize,
) -> Result<Vec<Arc<Incentive>>> {
    // A user's seq and issued_at rise together; the index holds both.
    let mut query = conn.prepare_cached(&format!(
        "select {INCENTIVE_COLUMNS} from incentives
         where user_id = ?1 and seq > ?2 order by issued_at, seq limit ?3"
    ))?;
    let [after, max] = [after, max as u64].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let mut rows = query.query((blob(&user.0), after, max))?;
    let mut incentives = Vec::new();
    while let Some(row) = rows.next()? {
        incentives.push(incentive(&mut Columns::of("incentives", row))?);
    }
    Ok(incentives)
}

pub(super) fn last_seq(conn: &Connection, user: UserId) -> Result<u64> {
    let mut query = conn.prepare_cached(LAST_SEQ)?;
    let mut rows = query.query([blob(&user.0)])?;
    match rows.next()? {
        Some(row) => Columns::of("user_states", row).whole(),
        None => Ok(0),
    }
}

pub(super) fn outcome(
    conn: &Connection,
    tenant: TenantId,
    key: EventKey,
) -> Result<Option<String>> {
    let mut query = conn.prepare_cached(OUTCOME)?;
    let found: Option<Option<String>> =
        query.query_row((blob(&tenant.0), key.0), |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

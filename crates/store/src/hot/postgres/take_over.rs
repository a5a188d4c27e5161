//! Taking a partition over. The old owner may hang inside its transaction and hold the lock of the
//! position; then its backend is ended, and its transaction with it.

use std::time::Duration;

use engine::ports::{Place, Position};
use engine::record::Mark;
use tokio_postgres::Row;

use super::rows::{Columns, TOPIC};
use crate::error::{Result, StoreError};
use crate::postgres::PgDb;

const TAKE_OVER: &str = "
    insert into positions (topic, partition, epoch, next_offset, batch_seq) values ($1, $2, 1, 0, 0)
    on conflict (topic, partition) do update set epoch = positions.epoch + 1
    returning epoch, next_offset, batch_seq, published_batch, published_ordinal, mark_log,
        mark_check";
/// Ends whoever holds up another backend.
const END_HOLDERS: &str = "
    select coalesce(sum(case when pg_terminate_backend(holder) then 1 else 0 end), 0)::bigint
    from unnest(pg_blocking_pids($1)) as holder";

/// A commit takes milliseconds: who holds the position's lock for longer than this hangs.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) async fn take_over(db: &PgDb, partition: i32) -> Result<Position> {
    let client = db.client().await?;
    let statement = client.prepare_cached(TAKE_OVER).await?;
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await?.try_get(0)?;
    let params: super::Params<'_> = &[&TOPIC, &partition];
    let mut taking = std::pin::pin!(client.query_one(&statement, params));
    loop {
        match tokio::time::timeout(PATIENCE, taking.as_mut()).await {
            Ok(row) => return position(&row?),
            Err(_) => end_holders(db, pid, partition).await?,
        }
    }
}

async fn end_holders(db: &PgDb, waiting: i32, partition: i32) -> Result<()> {
    let other = db.client().await?;
    let ended: i64 = other.query_one(END_HOLDERS, &[&waiting]).await?.try_get(0)?;
    tracing::warn!(
        partition,
        ended,
        "the old owner hung inside a transaction: its backend is ended"
    );
    Ok(())
}

fn position(row: &Row) -> Result<Position> {
    let mut c = Columns::of("positions", row);
    let position = Position {
        epoch: c.get()?,
        next_offset: c.get()?,
        batch_seq: c.get()?,
        published: Place { batch_seq: c.get()?, ordinal: c.get()? },
        mark: None,
    };
    let log: Option<uuid::Uuid> = c.get()?;
    let check: Option<i64> = c.get()?;
    let mark = log.zip(check).map(|(log, check)| {
        let check = u32::try_from(check).map_err(|_| c.corrupt("is no check sum"))?;
        Ok::<_, StoreError>(Mark { log, check })
    });
    Ok(Position { mark: mark.transpose()?, ..position })
}

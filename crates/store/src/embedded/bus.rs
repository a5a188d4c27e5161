//! The log in the `events` table: a row is a record, appended undecided and decided in place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::event::Record;
use domain::time::Timestamp;
use engine::ports::{
    Announce, Appended, Bus, Clock, IncentiveEvent, NewRecord, PortError, PortErrorKind,
    PortFuture, Position,
};
use engine::record::Taken;
use rusqlite::Connection;
use tokio::sync::watch;

use super::append::{self, Offered, Written};
use super::tail::Tail;
use crate::db::SqliteDb;
use crate::error::Result;
use crate::hot::record::{RECORD_COLUMNS, record};

/// [`Bus::ready`] answers at the latest after this long.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// Records taken at once hold at most about this many bytes of payload.
const TAKE_BYTES_MAX: usize = 16 << 20;

/// The durable log of the embedded profile. It has one partition, number 0.
pub struct SqliteBus {
    db: SqliteDb,
    clock: Arc<dyn Clock>,
    announce: Arc<dyn Announce>,
    tail: Tail,
    /// First offset after the last record.
    end: watch::Sender<i64>,
    /// The one partition, for ever.
    assigned: watch::Sender<BTreeSet<i32>>,
}

impl SqliteBus {
    /// Over a migrated database. Errors: the database cannot be read.
    pub async fn open(
        db: SqliteDb,
        clock: Arc<dyn Clock>,
        announce: Arc<dyn Announce>,
    ) -> Result<Self> {
        let end = db.read(append::end).await?;
        let (end, assigned) = (watch::Sender::new(end), watch::Sender::new([0].into()));
        Ok(Self { db, clock, announce, tail: Tail::default(), end, assigned })
    }

    async fn appended(&self, records: Vec<NewRecord>) -> Result<Vec<Appended>> {
        // On the caller's thread: hashing is no work for the writer, whose time everybody shares.
        let offered: Vec<Offered> = records.into_iter().map(Offered::of).collect();
        let now = self.clock.now();
        let (written, offered) =
            self.db.write(move |conn| Ok((append::append(conn, &offered, now)?, offered))).await?;
        let Written { results, append_times, end } = written;
        self.tail.keep(accepted(&results, append_times, offered));
        self.end.send_if_modified(|known| {
            let is_news = end > *known;
            *known = end.max(*known);
            is_news
        });
        Ok(results)
    }
}

impl Bus for SqliteBus {
    fn append<'a>(&'a self, records: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        Box::pin(async move { Ok(self.appended(records).await?) })
    }

    fn take<'a>(&'a self, _partition: i32, offset: i64, max: usize) -> PortFuture<'a, Vec<Taken>> {
        Box::pin(async move {
            let tail = self.tail.take(offset, max);
            if !tail.is_empty() {
                return Ok(tail.into_iter().map(Taken::admitted).collect());
            }
            Ok(self.db.read_here(move |conn| take(conn, offset, max)).await?)
        })
    }

    fn ready<'a>(&'a self, _partition: i32, offset: i64) -> PortFuture<'a, ()> {
        Box::pin(async move {
            let mut end = self.end.subscribe();
            // Late is no error: an append whose caller has gone away does not tell, so the log is
            // looked at once a second anyway.
            let _late = tokio::time::timeout(READY_WITHIN, end.wait_for(|e| *e > offset)).await;
            Ok(())
        })
    }

    fn end<'a>(&'a self, _partition: i32) -> PortFuture<'a, i64> {
        Box::pin(async move { Ok(*self.end.borrow()) })
    }

    fn verify<'a>(&'a self, _partition: i32, position: Position) -> PortFuture<'a, ()> {
        // One file holds both: only a defect could part them.
        let (end, next) = (*self.end.borrow(), position.next_offset);
        let message = format!("the log ends at offset {end}, before the position {next}");
        let verified = match next <= end {
            true => Ok(()),
            false => Err(PortError { kind: PortErrorKind::Corrupt, message }),
        };
        Box::pin(async { verified })
    }

    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.assigned.subscribe()
    }

    fn publish<'a>(&'a self, _partition: i32, events: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        // They are durable: their rows are the records of `incentive-generated`.
        self.announce.announce(events);
        Box::pin(async { Ok(()) })
    }
}

/// The records that were accepted, as they are in the log.
fn accepted(
    results: &[Appended],
    append_times: Vec<Timestamp>,
    offered: Vec<Offered>,
) -> impl Iterator<Item = Record> {
    let accepted = results.iter().zip(offered).filter_map(|(result, offered)| match result {
        Appended::Accepted { offset } => Some((*offset, offered.record)),
        _ => None,
    });
    accepted.zip(append_times).map(|((offset, NewRecord { event, kind, .. }), append_time)| {
        Record { offset, append_time, kind, event }
    })
}

fn take(conn: &Connection, offset: i64, max: usize) -> Result<Vec<Taken>> {
    let mut query = conn.prepare_cached(&format!(
        "select {RECORD_COLUMNS} from events where log_offset >= ?1 order by log_offset limit ?2"
    ))?;
    let mut rows = query.query((offset, i64::try_from(max).unwrap_or(i64::MAX)))?;
    let mut records = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let next = record(row)?;
        bytes += next.event.payload.len();
        records.push(Taken::admitted(next));
        if bytes > TAKE_BYTES_MAX {
            break;
        }
    }
    Ok(records)
}

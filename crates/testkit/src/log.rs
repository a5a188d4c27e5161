//! A log in memory, as one outside the store is: it takes whatever is sent, gives offsets and
//! times, and admits nothing. What it has taken survives as long as somebody holds it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use domain::event::Record;
use engine::ports::{
    Appended, Bus, Clock, IncentiveEvent, NewRecord, PortError, PortErrorKind, PortFuture, Position,
};
use engine::record::{Body, Mark, Offered, Taken, Unreadable};
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::ManualClock;

/// The log; it has one partition.
pub struct MemoryLog {
    clock: Arc<ManualClock>,
    id: Uuid,
    records: Mutex<Vec<Taken>>,
    end: watch::Sender<i64>,
    assigned: watch::Sender<BTreeSet<i32>>,
}

impl MemoryLog {
    /// An empty one with this id.
    pub fn new(clock: Arc<ManualClock>, id: Uuid) -> Self {
        let assigned = watch::Sender::new(BTreeSet::from([0]));
        Self { clock, id, records: Mutex::default(), end: watch::Sender::new(0), assigned }
    }

    /// Appends bytes that are no event.
    pub fn append_bytes(&self, raw: &[u8]) -> i64 {
        let why = "it is no event".to_owned();
        let bytes = Unreadable { raw: raw.to_vec().into(), why, tenant: None };
        self.push(check_of(raw), Body::Unreadable(bytes))
    }

    fn push(&self, check: u32, mut body: Body) -> i64 {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = i64::try_from(records.len()).unwrap_or(i64::MAX);
        let append_time = self.clock.now();
        let mark = Some(Mark { log: self.id, check });
        if let Body::Offered(offered) = &mut body {
            (offered.record.offset, offered.record.append_time) = (offset, append_time);
        }
        records.push(Taken { offset, append_time, mark, body });
        self.end.send_replace(offset + 1);
        offset
    }

    fn append_one(&self, new: NewRecord) -> Appended {
        let NewRecord { event, kind, content_hash } = new;
        let raw = format!("{} {}", event.event_id, event.payload).into_bytes();
        let check = check_of(&raw);
        let record = Record { offset: 0, append_time: self.clock.now(), kind, event };
        let body = Body::Offered(Offered { record, content_hash, raw: raw.into() });
        Appended::Accepted { offset: self.push(check, body) }
    }
}

/// Some check sum; only this log compares it.
fn check_of(raw: &[u8]) -> u32 {
    raw.iter().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

impl Bus for MemoryLog {
    fn append<'a>(&'a self, records: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        let appended = records.into_iter().map(|new| self.append_one(new)).collect();
        Box::pin(async { Ok(appended) })
    }

    fn take<'a>(&'a self, _partition: i32, offset: i64, max: usize) -> PortFuture<'a, Vec<Taken>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(0);
        let taken = records.iter().skip(from).take(max).cloned().collect();
        Box::pin(async { Ok(taken) })
    }

    fn ready<'a>(&'a self, _partition: i32, offset: i64) -> PortFuture<'a, ()> {
        Box::pin(async move {
            // The sender is ours, so this ends.
            let mut end = self.end.subscribe();
            let _there = end.wait_for(|end| *end > offset).await;
            Ok(())
        })
    }

    fn end<'a>(&'a self, _partition: i32) -> PortFuture<'a, i64> {
        let end = *self.end.borrow();
        Box::pin(async move { Ok(end) })
    }

    fn verify<'a>(&'a self, _partition: i32, position: Position) -> PortFuture<'a, ()> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let last = usize::try_from(position.next_offset - 1).ok();
        let found = last.and_then(|last| records.get(last)).and_then(|taken| taken.mark);
        let is_ours = position.next_offset == 0 || found == position.mark;
        let message = "the log is not the one that the position was made in".to_owned();
        let verified = match is_ours {
            true => Ok(()),
            false => Err(PortError { kind: PortErrorKind::Corrupt, message }),
        };
        Box::pin(async { verified })
    }

    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.assigned.subscribe()
    }

    fn publish<'a>(&'a self, _partition: i32, _events: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

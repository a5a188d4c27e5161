//! The end of the log, in memory: what was just appended need not be read back to be decided.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::event::Record;

/// Records kept at most. Who is further behind reads the table.
const RECORDS_MAX: usize = 4096;
/// Bytes of payload kept at most.
const BYTES_MAX: usize = 4 << 20;

/// Records of the log that nobody has taken yet; any may be missing.
#[derive(Default)]
pub(super) struct Tail(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    records: BTreeMap<i64, Record>,
    bytes: usize,
}

impl Tail {
    /// Keeps records that are durable, as long as there is room.
    pub fn keep(&self, records: impl IntoIterator<Item = Record>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            if kept.records.len() >= RECORDS_MAX || kept.bytes >= BYTES_MAX {
                return;
            }
            kept.bytes += record.event.payload.len();
            kept.records.insert(record.offset, record);
        }
    }

    /// Takes the records from this offset on up to the first one that is missing, at most so many.
    /// Those before it are forgotten.
    pub fn take(&self, offset: i64, max: usize) -> Vec<Record> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while let Some(first) = kept.records.first_entry()
            && taken.len() < max
        {
            let next = offset + taken.len() as i64;
            if *first.key() > next {
                break;
            }
            let record = first.remove();
            kept.bytes -= record.event.payload.len();
            if record.offset == next {
                taken.push(record);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use domain::event::{ActionEvent, RecordKind};
    use domain::id::{ActionCode, EventId, TenantId, UserRef};
    use domain::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn record(offset: i64, payload: &str) -> Record {
        let event = ActionEvent {
            tenant_id: TenantId(Uuid::nil()),
            event_id: EventId::new(&format!("e{offset}")).expect("an id"),
            user_id: UserRef::new("ada").expect("an id"),
            action: ActionCode::new("purchase").expect("a code"),
            event_ts: Timestamp::from_stored(0),
            payload: payload.into(),
        };
        Record { offset, append_time: Timestamp::from_stored(0), kind: RecordKind::Live, event }
    }

    fn taken(tail: &Tail, offset: i64, max: usize) -> Vec<i64> {
        tail.take(offset, max).iter().map(|record| record.offset).collect()
    }

    #[test]
    fn only_what_follows_without_a_hole_is_taken_and_only_once() {
        let tail = Tail::default();
        tail.keep([3, 4, 7, 5].map(|offset| record(offset, "{}")));
        assert!(taken(&tail, 2, 10).is_empty());
        assert_eq!(taken(&tail, 3, 2), [3, 4]);
        assert!(taken(&tail, 3, 2).is_empty());
        tail.keep([record(6, "{}")]);
        assert_eq!(taken(&tail, 5, 10), [5, 6, 7]);
        assert_eq!(tail.0.lock().expect("not poisoned").bytes, 0);
    }

    #[test]
    fn what_lies_behind_is_forgotten() {
        let tail = Tail::default();
        tail.keep([1, 2, 3].map(|offset| record(offset, "{}")));
        assert_eq!(taken(&tail, 3, 10), [3]);
        assert!(taken(&tail, 1, 10).is_empty());
    }

    #[test]
    fn it_keeps_no_more_than_it_may() {
        let tail = Tail::default();
        let most = i64::try_from(RECORDS_MAX).expect("small");
        tail.keep((0..most + 5).map(|offset| record(offset, "{}")));
        assert_eq!(taken(&tail, 0, usize::MAX).len(), RECORDS_MAX);
        let large = format!("{:?}", "x".repeat(BYTES_MAX / 2));
        tail.keep((0..5).map(|offset| record(offset, &large)));
        assert_eq!(taken(&tail, 0, 10), [0, 1]);
    }
}

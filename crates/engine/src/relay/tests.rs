//! From memory or from the store: each incentive once, in the dense order.

use domain::id::TenantId;
use uuid::Uuid;

use super::*;

/// Incentives in each batch; one batch holds more than is published at once.
const GRANTS: [i32; 7] = [2, 0, 3, 1500, 0, 1, 2];

fn batches() -> Vec<Arc<BatchCommit>> {
    let incentive = Arc::new(testkit::incentive::incentive(TenantId(Uuid::nil()), "ada", 1));
    let batch = |(batch_seq, grants): (i64, &i32)| {
        let incentives = (0..*grants).map(|_| incentive.clone()).collect();
        Arc::new(BatchCommit { batch_seq, incentives, ..BatchCommit::default() })
    };
    (1..).zip(&GRANTS).map(batch).collect()
}

fn places(batches: &[Arc<BatchCommit>]) -> Vec<Place> {
    let of = |b: &Arc<BatchCommit>| {
        let batch_seq = b.batch_seq;
        (0..b.incentives.len() as i32).map(move |ordinal| Place { batch_seq, ordinal })
    };
    batches.iter().flat_map(of).collect()
}

/// What the store answers when the first `visible` batches are committed.
fn store(all: &[Arc<BatchCommit>], visible: usize, after: Place) -> Vec<IncentiveEvent> {
    let incentive = &all[0].incentives[0];
    let event = |place| IncentiveEvent { incentive: incentive.clone(), place };
    let places = places(&all[..visible]).into_iter().filter(|p| *p > after);
    places.take(PUBLISH_MAX).map(event).collect()
}

/// Runs through all batches: those whose bit is set in `handed` are handed over, the store is seen
/// `ahead` batches beyond what the worker has told, publishing begins after `begin`.
fn run(handed: u32, ahead: usize, begin: Place) -> Vec<Place> {
    let all = batches();
    let (give, mut granted) = mpsc::channel(16);
    let mut reached = Reached { place: begin, batch_seq: begin.batch_seq - 1 };
    let mut published = Vec::new();
    for told in 0..=all.len() {
        if let Some(batch) = all.get(told).filter(|_| handed & (1 << told) != 0) {
            give.try_send(batch.clone()).expect("there is room");
        }
        let newest = told as i64;
        for round in 0.. {
            assert!(round < 50, "it comes to an end");
            let events = match reached.next_in_memory(&mut granted) {
                Some(events) => events,
                None if reached.batch_seq < newest => {
                    let visible = (told + ahead).min(all.len());
                    reached.next_in_store(store(&all, visible, reached.place), newest)
                }
                None => break,
            };
            published.extend(events.iter().map(|e| e.place));
        }
    }
    published
}

#[test]
fn each_incentive_comes_once_and_in_order_whatever_is_handed_over() {
    let all = places(&batches());
    for handed in 0..1 << GRANTS.len() {
        for ahead in 0..3 {
            assert_eq!(run(handed, ahead, Place::BEFORE_ALL), all, "{handed:b} {ahead}");
        }
    }
}

#[test]
fn it_goes_on_after_the_place_where_it_was() {
    let all = places(&batches());
    for begin in [0, 1, 2, 4, 700, 1004, 1504, 1507] {
        for handed in [0, 0b111_1111, 0b101_0101, 0b010_1010] {
            let found = run(handed, 1, all[begin]);
            assert_eq!(found, all[begin + 1..], "after {:?}, {handed:b}", all[begin]);
        }
    }
}

//! `incentive-generated`: published in order, told to this process.

use std::sync::Arc;

use bus_kafka::Listener;
use engine::ports::{Announce, Bus, IncentiveEvent, Place};
use testkit::incentive::incentive;
use tokio::sync::mpsc;

use crate::stage::{PATIENCE, bus, tenant};

/// Passes on what it is told.
struct Ear(mpsc::Sender<IncentiveEvent>);

impl Announce for Ear {
    fn announce(&self, events: &[IncentiveEvent]) {
        for event in events {
            self.0.try_send(event.clone()).expect("room");
        }
    }
}

fn granted(user: &str, seq: u64, batch_seq: i64, ordinal: i32) -> IncentiveEvent {
    let incentive = Arc::new(incentive(tenant(1), user, seq));
    IncentiveEvent { incentive, place: Place { batch_seq, ordinal } }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_told_once_and_in_order() {
    let (settings, bus) = bus(3).await;
    bus.publish(0, &[granted("early", 1, 1, 0)]).await.expect("published");
    let (sender, mut told) = mpsc::channel(1000);
    let listener = Listener::start(&settings, Arc::new(Ear(sender))).await.expect("listens");
    let users = ["ada", "bob", "cyd", "Zoë"];
    let batch = |n: u64| -> Vec<IncentiveEvent> {
        let place = |u: usize| (i64::try_from(n).expect("small"), i32::try_from(u).expect("small"));
        let grant = |(u, user): (usize, &&str)| granted(user, n, place(u).0, place(u).1);
        users.iter().enumerate().map(grant).collect()
    };
    for n in 2..=10 {
        bus.publish(0, &batch(n)).await.expect("published");
        // The relay was killed before it had noted it.
        bus.publish(0, &batch(n)).await.expect("published");
    }
    // Another source partition has an order of its own.
    bus.publish(1, &[granted("other", 1, 1, 0)]).await.expect("published");

    let mut seqs = vec![Vec::new(); users.len()];
    let mut others = 0;
    for _ in 0..37 {
        let event = tokio::time::timeout(PATIENCE, told.recv()).await.expect("told").expect("told");
        let sent = incentive(tenant(1), event.incentive.user_ref.as_str(), event.incentive.seq);
        assert_eq!((event.incentive.id, event.incentive.user), (sent.id, sent.user));
        match users.iter().position(|user| *user == event.incentive.user_ref.as_str()) {
            Some(user) => seqs[user].push(event.incentive.seq),
            None => others += 1,
        }
    }
    assert_eq!((seqs, others), (vec![(2..=10).collect::<Vec<_>>(); 4], 1));
    drop(listener);
    assert!(told.recv().await.is_none(), "nothing is told twice");
}

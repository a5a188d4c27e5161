//! Several processes share the partitions.

use std::collections::BTreeSet;

use bus_kafka::KafkaBus;
use engine::ports::Bus;
use testkit::event::event;

use crate::stage::{PATIENCE, append, settings, take, tenant, topics};

async fn assigned(bus: &KafkaBus, wanted: impl Fn(&BTreeSet<i32>) -> bool) -> BTreeSet<i32> {
    let mut assigned = bus.assigned();
    let found = tokio::time::timeout(PATIENCE, assigned.wait_for(|set| wanted(set))).await;
    found.expect("an assignment in time").expect("an assignment").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_partitions_and_inherit_from_each_other() {
    let settings = settings();
    topics(&settings, 4).await;
    let first = KafkaBus::join(&settings).await.expect("a bus");
    let all: BTreeSet<i32> = (0..4).collect();
    assert_eq!(assigned(&first, |set| set.len() == 4).await, all);

    let second = KafkaBus::join(&settings).await.expect("a bus");
    let theirs = assigned(&second, |set| set.len() == 2).await;
    let ours = assigned(&first, |set| set.len() == 2).await;
    assert_eq!(&ours | &theirs, all, "every partition has one owner");

    // What is not ours is not taken here.
    let offset = append(&first, vec![event(tenant(1), "1").record()]).await[0];
    assert_eq!(offset, 0);
    for partition in &theirs {
        assert_eq!(first.take(*partition, 0, 10).await.expect("takes"), []);
    }
    drop(second);
    assert_eq!(assigned(&first, |set| set.len() == 4).await, all);
    for partition in all {
        if first.end(partition).await.expect("an end") == 1 {
            assert_eq!(take(&first, partition, 0, 1).await.len(), 1);
            return;
        }
    }
    panic!("the record is nowhere");
}

//! `tenant-events`: what is appended, taken and verified.

use bus_kafka::KafkaBus;
use domain::event::RecordKind;
use engine::ports::{Bus, Place, PortErrorKind, Position};
use engine::record::{Body, Mark, Taken};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use testkit::event::event;
use uuid::Uuid;

use crate::stage::{
    PATIENCE, append, bus, offered, send_raw, settings, settled, take, tenant, topics,
};

fn ids(taken: &[Taken]) -> Vec<(i64, &str)> {
    let id = |taken| offered(taken).record.event.event_id.as_str();
    taken.iter().map(|taken| (taken.offset, id(taken))).collect()
}

fn at(next_offset: i64, mark: Option<Mark>) -> Position {
    Position { epoch: 1, next_offset, batch_seq: 1, published: Place::BEFORE_ALL, mark }
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_comes_back_as_it_was_sent() {
    let (_, bus) = bus(1).await;
    let sent = [
        event(tenant(1), "id with : { } % and 🎁").user("Zoë|{}:'\"").action("order.paid"),
        event(tenant(2), "2").payload(r#"{"amount":42.10,"n":12345678901234567890.0}"#),
        event(tenant(1), "3").kind(RecordKind::History),
        event(tenant(1), "4").kind(RecordKind::Replay),
        event(tenant(1), "1").payload(&format!(r#"{{"x":"{}"}}"#, "y".repeat(200_000))),
    ]
    .map(|event| event.record());
    assert_eq!(append(&bus, sent.to_vec()).await, [0, 1, 2, 3, 4]);
    assert_eq!(bus.end(0).await.expect("an end"), 5);
    let taken = take(&bus, 0, 0, 5).await;
    for (taken, sent) in taken.iter().zip(&sent) {
        let offered = offered(taken);
        assert_eq!(offered.record.event, sent.event);
        assert_eq!((offered.record.kind, offered.content_hash), (sent.kind, sent.content_hash));
        assert_eq!(offered.record.append_time, taken.append_time);
        assert!(taken.append_time.micros() > 0 && taken.mark.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_taken_from_any_offset_as_often_as_wanted() {
    let (_, bus) = bus(1).await;
    let records = (0..50).map(|n| event(tenant(1), &n.to_string()).record()).collect();
    append(&bus, records).await;
    let first = take(&bus, 0, 0, 20).await;
    assert_eq!(ids(&first)[19], (19, "19"));
    // A commit that failed: the same records once more, from any place in them.
    assert_eq!(take(&bus, 0, 0, 20).await, first);
    assert_eq!(take(&bus, 0, 7, 13).await, first[7..]);
    // On, far ahead, and back again.
    assert_eq!(ids(&take(&bus, 0, 20, 2).await), [(20, "20"), (21, "21")]);
    assert_eq!(ids(&take(&bus, 0, 48, 2).await), [(48, "48"), (49, "49")]);
    assert_eq!(take(&bus, 0, 0, 20).await, first);
    assert_eq!(bus.take(0, 50, 10).await.expect("takes"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_is_not_there_is_told_and_reading_goes_on_elsewhere() {
    let (_, bus) = bus(1).await;
    append(&bus, (0..3).map(|n| event(tenant(1), &n.to_string()).record()).collect()).await;
    let told = async {
        loop {
            match bus.take(0, 50, 1).await {
                Ok(none) => assert_eq!(none, []),
                Err(error) => break error,
            }
            bus.ready(0, 50).await.expect("waits");
        }
    };
    let error = tokio::time::timeout(PATIENCE, told).await.expect("told");
    assert_eq!(error.kind, PortErrorKind::Corrupt, "{error}");
    assert_eq!(ids(&take(&bus, 0, 0, 3).await), [(0, "0"), (1, "1"), (2, "2")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_bounded_by_bytes_and_goes_on() {
    let (_, bus) = bus(1).await;
    let big = format!(r#"{{"big":"{}"}}"#, "x".repeat(200 * 1024));
    for n in 0..3 {
        let record = |i| event(tenant(1), &format!("{n}-{i}")).payload(&big).record();
        append(&bus, (0..25).map(record).collect()).await;
    }
    take(&bus, 0, 0, 75).await;
    let most = bus.take(0, 0, 10_000).await.expect("takes");
    assert!(most.len() < 75, "{} records of 200 KiB at once", most.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told() {
    let (settings, bus) = bus(1).await;
    assert_eq!(bus.take(0, 0, 10).await.expect("takes"), []);
    let waits = async {
        while bus.take(0, 0, 1).await.expect("takes").is_empty() {
            bus.ready(0, 0).await.expect("waits");
        }
    };
    let other = KafkaBus::connect(&settings).await.expect("a bus");
    let sends = append(&other, vec![event(tenant(1), "1").record()]);
    let (waited, _) = tokio::join!(tokio::time::timeout(PATIENCE, waits), sends);
    waited.expect("it was told");
}

/// The partition is the one that Java's clients choose for the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_lies_where_java_would_put_it() {
    let (_, bus) = bus(5).await;
    for n in 0..20 {
        let key = tenant(n).to_string();
        let expected = i32::try_from((murmur2(key.as_bytes()) & 0x7fff_ffff) % 5).expect("small");
        let offset = append(&bus, vec![event(tenant(n), "1").record()]).await[0];
        let taken = take(&bus, expected, offset, 1).await;
        assert_eq!(offered(&taken[0]).record.event.tenant_id, tenant(n), "partition of {key}");
    }
}

/// Written from the definition of Kafka's default partitioner.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(data.len()).expect("short");
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    for (n, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * n);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// F28, F38: bytes that are no event are kept as they are, and the partition goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_kept_byte_by_byte() {
    let (settings, bus) = bus(1).await;
    let good = event(tenant(1), "good").record();
    append(&bus, vec![good.clone()]).await;
    let mut value = offered(&take(&bus, 0, 0, 1).await[0]).raw.to_vec();
    let other = tenant(2).to_string();
    send_raw(&settings, Some(&other), &value).await;
    // A key that names no tenant decides nothing.
    send_raw(&settings, Some("ada"), &value).await;
    send_raw(&settings, None, b"").await;
    value.truncate(40);
    send_raw(&settings, Some(&other), &value).await;

    let taken = take(&bus, 0, 1, 4).await;
    let unreadable = |n: usize| match &taken[n].body {
        Body::Unreadable(unreadable) => unreadable,
        other => panic!("{other:?}"),
    };
    assert!(unreadable(0).why.contains("its key names the tenant"), "{}", unreadable(0).why);
    assert_eq!(unreadable(0).tenant, Some(tenant(2)));
    assert_eq!(offered(&taken[1]).record.event, good.event);
    assert!(unreadable(2).raw.is_empty() && unreadable(2).tenant.is_none());
    assert_eq!(unreadable(3).raw, value);
}

/// The hash of a foreign producer's event is that of the same event by way of the API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_the_same_whoever_sends_it() {
    let (settings, bus) = bus(1).await;
    let sent = event(tenant(1), "x").payload(r#"{"amount":42.10,"a":1}"#).record();
    append(&bus, vec![sent.clone()]).await;
    let value = offered(&take(&bus, 0, 0, 1).await[0]).raw.to_vec();
    send_raw(&settings, None, &value).await;
    let taken = take(&bus, 0, 0, 2).await;
    assert_eq!(offered(&taken[0]).content_hash, sent.content_hash);
    let payload = domain::payload::Payload::parse(&sent.event.payload).expect("JSON");
    let (user, action) = (&sent.event.user_id, &sent.event.action);
    let hash = engine::ingest::content_hash(&payload, user, action, Some(sent.event.event_ts));
    assert_eq!(offered(&taken[1]).content_hash, hash);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_told_with_its_remedy() {
    let settings = settings();
    let error = KafkaBus::connect(&settings).await.err().expect("no topic");
    assert_eq!(error.kind, PortErrorKind::Unavailable);
    let told = error.to_string();
    assert!(told.contains(&settings.events_topic) && told.contains("topics create"), "{told}");
    topics(&settings, 1).await;
    topics(&settings, 1).await;
    settled(|| KafkaBus::connect(&settings)).await.expect("a bus");
}

/// I-21: the position is compared with the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_of_another_log_is_refused() {
    let (settings, bus) = bus(1).await;
    let records = (0..10).map(|n| event(tenant(1), &n.to_string()).record()).collect();
    append(&bus, records).await;
    let mark = take(&bus, 0, 0, 10).await[5].mark.expect("a mark");
    settled(|| bus.verify(0, at(0, None))).await.expect("the beginning");
    settled(|| bus.verify(0, at(6, Some(mark)))).await.expect("the record before it is the one");
    assert_eq!(ids(&take(&bus, 0, 6, 1).await), [(6, "6")], "reading goes on at the position");
    let refused = async |position, why: &str| {
        let error = settled(|| bus.verify(0, position)).await.expect_err("another log");
        assert_eq!(error.kind, PortErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(at(7, Some(mark)), "is not the one that was decided").await;
    let elsewhere = Mark { log: Uuid::from_u128(1), ..mark };
    refused(at(6, Some(elsewhere)), "is not the one that was decided").await;
    refused(at(11, Some(mark)), "ends at offset 10").await;

    // Retention takes the first four: behind them nothing is lost.
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&settings.events_topic, 0, Offset::Offset(6)).expect("a list");
    let admin = admin(&settings.brokers);
    admin.delete_records(&list, &AdminOptions::new()).await.expect("deleted");
    refused(at(3, None), "are gone before they were decided").await;
    settled(|| bus.verify(0, at(6, Some(mark)))).await.expect("nothing undecided is gone");
}

/// F23: a topic made anew under the same name is noticed, also when it has grown again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_is_noticed() {
    let (settings, old) = bus(1).await;
    let records = || (0..5).map(|n| event(tenant(1), &n.to_string()).record()).collect::<Vec<_>>();
    append(&old, records()).await;
    let mark = take(&old, 0, 0, 5).await[2].mark;
    drop(old);
    let names = [settings.events_topic.as_str(), settings.incentives_topic.as_str()];
    let admin = admin(&settings.brokers);
    admin.delete_topics(&names, &AdminOptions::new()).await.expect("deleted");
    let bus = settled(async || {
        let plan =
            bus_kafka::topics::TopicPlan { partitions: 1, replication: 1, retention_hours: 1 };
        bus_kafka::topics::create(&settings, plan).await?;
        KafkaBus::connect(&settings).await
    })
    .await
    .expect("a bus");
    settled(|| bus.append(records())).await.expect("appended");
    let verified = settled(|| bus.verify(0, at(3, mark))).await;
    assert_eq!(verified.expect_err("another log").kind, PortErrorKind::Corrupt);
}

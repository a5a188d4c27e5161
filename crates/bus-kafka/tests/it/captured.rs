//! Captured rows, as they are taken from a topic of a real Kafka.

use std::collections::BTreeMap;

use bus_kafka::{CapturedReader, Settings, topics};
use engine::captured::{CapturedBatch, CapturedFeed};
use engine::ports::{PortError, PortErrorKind};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::stage::{PATIENCE, settings, settled};

/// Settings whose topic of captured rows nobody else has; it is there.
async fn captured() -> Settings {
    let mut settings = settings();
    settings.aggregates_topic = format!("captured-{}", settings.group);
    settings.analytics_topic = format!("captured-2-{}", settings.group);
    let plan = topics::TopicPlan { partitions: 2, replication: 1, retention_hours: 1 };
    settled(|| topics::create(&settings, plan)).await.expect("topics");
    settings
}

/// What Debezium writes of the n-th row of a tenant's only user.
fn created(n: i64) -> String {
    format!(
        r#"{{"before": null, "op": "c", "after": {{
            "incentive_id": "0197a8f5-1c00-8a1b-9c2d-3e4f5a6b7c8d",
            "tenant_id": "7e4a0000-0000-7000-8000-000000000001",
            "user_id": "5f6e0000-0000-8000-8000-000000000002", "user_ref": "ada",
            "campaign_id": "ca3b0000-0000-7000-8000-000000000003", "campaign_version": 3,
            "event_id": "o-1", "type": "CASHBACK", "reward_currency": "EUR",
            "reward_amount": "42.10", "coupon_code": null,
            "issued_at": "2025-06-27T12:34:56.789012Z", "seq": {n}, "source_partition": 5,
            "batch_seq": 19, "ordinal": {n}, "limit_day": 20266}}}}"#
    )
}

async fn send(settings: &Settings, partition: i32, value: Option<&str>) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .expect("a producer");
    let mut record = FutureRecord::<str, str>::to(&settings.aggregates_topic);
    record = record.partition(partition).key("t");
    if let Some(value) = value {
        record = record.payload(value);
    }
    producer.send(record, PATIENCE).await.expect("sent");
}

/// Takes until so many rows came, or an error.
async fn take(reader: &CapturedReader, count: usize) -> Result<CapturedBatch, PortError> {
    let mut all = CapturedBatch::default();
    let taking = async {
        while all.rows.len() < count {
            let more = match reader.take(count - all.rows.len()).await {
                // A broker that has not heard of the topic yet.
                Err(error) if error.kind == PortErrorKind::Unavailable => continue,
                taken => taken?,
            };
            all.rows.extend(more.rows);
            all.offsets.extend(more.offsets);
        }
        Ok(())
    };
    let taken = tokio::time::timeout(PATIENCE, taking).await.expect("in time");
    taken.map(|()| all)
}

fn numbers(batch: &CapturedBatch) -> Vec<u64> {
    batch.rows.iter().map(|row| row.seq).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_behind_what_is_done() {
    let settings = captured().await;
    for n in 1..=5 {
        send(&settings, 0, Some(&created(n))).await;
    }
    let join = || CapturedReader::join(&settings, &settings.aggregates_topic, &settings.group);
    let first = settled(join).await.expect("joins");
    let batch = take(&first, 3).await.expect("takes");
    assert_eq!((numbers(&batch), &batch.offsets), (vec![1, 2, 3], &BTreeMap::from([(0, 3)])));
    settled(|| first.done(&batch.offsets)).await.expect("is remembered");
    // Taken and not done: somebody else gets them.
    assert_eq!(numbers(&take(&first, 2).await.expect("takes")), [4, 5]);
    assert_eq!(settled(|| first.lag()).await.expect("answers"), 0);
    drop(first);
    let second = settled(join).await.expect("joins");
    assert_eq!(numbers(&take(&second, 2).await.expect("takes")), [4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_begins_where_it_is_told() {
    let settings = captured().await;
    for n in 1..=4 {
        send(&settings, 0, Some(&created(n))).await;
    }
    send(&settings, 1, Some(&created(9))).await;
    let offsets = BTreeMap::from([(0, 2)]);
    let topic = settings.aggregates_topic.clone();
    let reader =
        settled(|| CapturedReader::from_offsets(&settings, &topic, &offsets)).await.expect("reads");
    let mut batch = take(&reader, 3).await.expect("takes");
    batch.rows.sort_by_key(|row| row.seq);
    assert_eq!(numbers(&batch), [3, 4, 9], "partitions without an offset from their beginning");
    assert_eq!(batch.offsets, BTreeMap::from([(0, 4), (1, 1)]));

    let gone = BTreeMap::from([(0, 77)]);
    let reader =
        settled(|| CapturedReader::from_offsets(&settings, &topic, &gone)).await.expect("reads");
    let error = take(&reader, 10).await.expect_err("no such offset");
    assert_eq!(error.kind, PortErrorKind::Corrupt, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_halts_and_loses_nothing() {
    let settings = captured().await;
    send(&settings, 0, Some(&created(1))).await;
    send(&settings, 0, None).await;
    send(&settings, 0, Some(r#"{"op": "d", "before": {}, "after": null}"#)).await;
    send(&settings, 0, Some(&created(2))).await;
    send(&settings, 0, Some("no JSON")).await;
    send(&settings, 0, Some(&created(3))).await;
    let join = || CapturedReader::join(&settings, &settings.aggregates_topic, &settings.group);
    let reader = settled(join).await.expect("joins");
    let batch = take(&reader, 2).await.expect("takes what comes before it");
    assert_eq!(numbers(&batch), [1, 2]);
    let until_poison = BTreeMap::from([(0, 4)]);
    settled(|| reader.done(&until_poison)).await.expect("is remembered");
    for _ in 0..2 {
        let error = take(&reader, 1).await.expect_err("halts, and stays so");
        assert_eq!(error.kind, PortErrorKind::Corrupt);
        let place = format!("{}:0@4", settings.aggregates_topic);
        assert!(error.to_string().contains(&place), "{error}");
    }
    drop(reader);
    let again = settled(join).await.expect("joins");
    let error = take(&again, 1).await.expect_err("it is still there");
    assert_eq!(error.kind, PortErrorKind::Corrupt);
}

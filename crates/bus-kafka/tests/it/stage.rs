//! Two fresh topics, and what a test does with them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use bus_kafka::topics::{self, TopicPlan};
use bus_kafka::{KafkaBus, Settings};
use domain::id::TenantId;
use engine::ports::{Appended, Bus, NewRecord, PortError};
use engine::record::{Body, Offered, Taken};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Names that no other test and no other run has.
pub fn settings() -> Settings {
    let unique = RandomState::new().build_hasher().finish();
    let mut settings = Settings::new(&testkit::services::kafka_brokers());
    settings.events_topic = format!("tenant-events-{unique:x}");
    settings.incentives_topic = format!("incentive-generated-{unique:x}");
    settings.group = format!("ic-{unique:x}");
    settings
}

/// Both topics with so many partitions.
pub async fn topics(settings: &Settings, partitions: i32) {
    let plan = TopicPlan { partitions, replication: 1, retention_hours: 1 };
    settled(|| topics::create(settings, plan)).await.expect("topics");
}

/// A bus over fresh topics.
pub async fn bus(partitions: i32) -> (Settings, KafkaBus) {
    let settings = settings();
    topics(&settings, partitions).await;
    let bus = settled(|| KafkaBus::connect(&settings)).await.expect("a bus");
    (settings, bus)
}

pub fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(0x7e4a_0000 + n))
}

/// Appends and returns the offsets.
pub async fn append(bus: &dyn Bus, records: Vec<NewRecord>) -> Vec<i64> {
    let appended = bus.append(records).await.expect("appends");
    let offset = |one: Appended| match one {
        Appended::Accepted { offset } => offset,
        other => panic!("{other:?}"),
    };
    appended.into_iter().map(offset).collect()
}

/// So many records of a partition from an offset on, however many calls it takes.
pub async fn take(bus: &dyn Bus, partition: i32, offset: i64, count: usize) -> Vec<Taken> {
    let mut taken: Vec<Taken> = Vec::new();
    let all = async {
        while taken.len() < count {
            let from = taken.last().map_or(offset, |last| last.offset + 1);
            let more = bus.take(partition, from, count - taken.len()).await.expect("takes");
            if more.is_empty() {
                bus.ready(partition, from).await.expect("waits");
            }
            taken.extend(more);
        }
    };
    let came = tokio::time::timeout(PATIENCE, all).await;
    assert!(came.is_ok(), "{} of {count} records came", taken.len());
    taken
}

/// An error that passes by itself is asked again.
pub async fn settled<T, F>(mut ask: impl FnMut() -> F) -> Result<T, PortError>
where
    F: Future<Output = Result<T, PortError>>,
{
    let asked = async {
        loop {
            match ask().await {
                Err(error) if error.kind == engine::ports::PortErrorKind::Unavailable => {
                    tokio::task::yield_now().await;
                }
                settled => return settled,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer that stays")
}

pub fn offered(taken: &Taken) -> &Offered {
    match &taken.body {
        Body::Offered(offered) => offered,
        other => panic!("not offered: {other:?}"),
    }
}

/// Sends bytes as they are. Returns the offset.
pub async fn send_raw(settings: &Settings, key: Option<&str>, value: &[u8]) -> i64 {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .expect("a producer");
    let mut record =
        FutureRecord::<str, [u8]>::to(&settings.events_topic).partition(0).payload(value);
    if let Some(key) = key {
        record = record.key(key);
    }
    producer.send(record, PATIENCE).await.expect("sent").offset
}

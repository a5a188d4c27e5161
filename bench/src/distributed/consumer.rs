//! Reading `tenant-events`: our reader, which decodes and checks each record, against a bare
//! consumer of the same client library that throws its records away, on the same records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus_kafka::KafkaBus;
use engine::ports::Bus;
use engine::record::Body;
use engine::worker::BATCH_MAX_DEFAULT;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message as _};
use tokio::task::JoinSet;

use super::processor;
use super::stage::{PARTITIONS, Stage};

/// Each is measured so often, in turns; the first time warms the broker's files up.
const ROUNDS: usize = 4;

pub async fn run(events: u64) {
    let stage = Stage::new("consumer".to_owned()).await;
    stage.feed(events).await;
    println!("{events} records on {PARTITIONS} partitions");
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let bare = async |what, keeps| {
            let settings = stage.settings.clone();
            measured(what, events, tokio::task::spawn_blocking(move || bare(&settings, events, keeps))).await
        };
        let keeping = bare("bare consumer that keeps records", true).await;
        let bare = bare("bare consumer", false).await;
        let ours = measured("with decode", events, tokio::spawn(ours(stage.settings.clone(), events))).await;
        if round > 0 {
            ratios.push([bare.0 / ours.0, bare.1 / ours.1, keeping.0 / ours.0, keeping.1 / ours.1]);
        }
    }
    let median = |of: usize| {
        let mut all: Vec<f64> = ratios.iter().map(|r: &[f64; 4]| r[of]).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2] * 100.0
    };
    println!(
        "with decode, of the bare consumer: {:.0} % by time, {:.0} % by processor time (goal: 50 % or more)",
        median(0), median(1)
    );
    println!("of one that keeps a copy of each batch, as ours: {:.0} % by time, {:.0} % by processor time", median(2), median(3));
    stage.end().await;
}

/// Seconds, and seconds of this program's processor time.
async fn measured(what: &str, events: u64, work: tokio::task::JoinHandle<u64>) -> (f64, f64) {
    let used = || processor::used()["this program"];
    let (begun, before) = (Instant::now(), used());
    let bytes = work.await.unwrap();
    let (took, used) = (begun.elapsed().as_secs_f64(), used() - before);
    println!(
        "  {what}: {:.0} records/s, {:.2} us of processor time each, {} bytes each",
        events as f64 / took, used / events as f64 * 1e6, bytes / events
    );
    (took, used)
}

/// Polls until it has them all; how many bytes they had. It `keeps` copies of as many as a batch has,
/// or none.
fn bare(settings: &bus_kafka::Settings, events: u64, keeps: bool) -> u64 {
    let mut kept = Vec::with_capacity(BATCH_MAX_DEFAULT);
    let mut config = ClientConfig::new();
    for (name, value) in [
        ("bootstrap.servers", &*settings.brokers),
        ("group.id", "bench"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // As ours.
        ("fetch.wait.max.ms", "100"),
        ("fetch.queue.backoff.ms", "5"),
        ("queued.max.messages.kbytes", "16384"),
    ] {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(&settings.events_topic, partition, Offset::Offset(0)).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut read, mut bytes) = (0, 0);
    while read < events {
        let Some(record) = consumer.poll(Duration::from_secs(10)) else { panic!("no more than {read} records") };
        let record = record.unwrap();
        bytes += record.payload().map_or(0, <[u8]>::len) as u64;
        if keeps {
            kept.push(record.detach());
            if kept.len() == BATCH_MAX_DEFAULT {
                kept.clear();
            }
        }
        read += 1;
    }
    bytes
}

/// Takes them as calculators do; how many bytes they had.
async fn ours(settings: bus_kafka::Settings, events: u64) -> u64 {
    let bus: Arc<dyn Bus> = Arc::new(KafkaBus::connect(&settings).await.unwrap());
    let mut readers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let bus = bus.clone();
        readers.spawn(async move {
            let (end, mut next, mut read, mut bytes) = (bus.end(partition).await.unwrap(), 0, 0, 0);
            while next < end {
                let records = bus.take(partition, next, BATCH_MAX_DEFAULT).await.unwrap();
                let Some(last) = records.last() else {
                    bus.ready(partition, next).await.unwrap();
                    continue;
                };
                next = last.offset + 1;
                for record in &records {
                    let Body::Offered(offered) = &record.body else { panic!("a record that is no event") };
                    read += 1;
                    bytes += offered.raw.len() as u64;
                }
            }
            (read, bytes)
        });
    }
    let (mut read, mut bytes) = (0, 0);
    while let Some(part) = readers.join_next().await {
        let part = part.unwrap();
        (read, bytes) = (read + part.0, bytes + part.1);
    }
    assert_eq!(read, events);
    bytes
}

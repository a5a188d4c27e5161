//! Producers and consumers in Python and Java, with nothing from us but the `.avsc` files.

use std::process::Command;
use std::sync::Arc;

use bus_kafka::KafkaBus;
use domain::event::RecordKind;
use domain::id::TenantId;
use engine::ports::{Bus, IncentiveEvent, Place};
use testkit::incentive::incentive;

use crate::stage::{bus, offered, take, tenant};

/// Runs a script of `tests/python` and returns what it writes on stdout.
async fn python(script: &str, args: &[&str]) -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(testkit::services::python());
    command.arg(format!("{folder}/tests/python/{script}"));
    command.arg(format!("{folder}/../../schemas/avro")).args(args);
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
    let ended = ended.expect("Python starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).expect("UTF-8")
}

/// Runs the program of `tests/java` and returns what it writes on stdout.
async fn java(verb: &str, args: &[&str]) -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new("java");
    command.args(["-cp", &testkit::services::java(), "-Dfile.encoding=UTF-8"]);
    command.arg(format!("{folder}/tests/java/Foreign.java")).arg(verb);
    command.arg(format!("{folder}/../../schemas/avro")).args(args);
    let ended = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
    let ended = ended.expect("Java starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_python_producer_are_read() {
    let (settings, bus) = bus(1).await;
    let tenant = tenant(1);
    let (topic, id) = (settings.events_topic.clone(), tenant.to_string());
    python("produce_events.py", &[&settings.brokers, &topic, &id, "20"]).await;
    are_read(&bus, tenant, "py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_java_producer_are_read() {
    let (settings, bus) = bus(1).await;
    let tenant = tenant(1);
    let (topic, id) = (settings.events_topic.clone(), tenant.to_string());
    java("produce", &[&settings.brokers, &topic, &id, "20"]).await;
    are_read(&bus, tenant, "java").await;
}

/// Twenty events, as both producers make them.
async fn are_read(bus: &KafkaBus, tenant: TenantId, by: &str) {
    let taken = take(bus, 0, 0, 20).await;
    for (n, taken) in taken.iter().enumerate() {
        let record = &offered(taken).record;
        let event = &record.event;
        assert_eq!((record.kind, event.tenant_id), (RecordKind::Live, tenant));
        assert_eq!(event.event_id.as_str(), format!("{by}-{n}"));
        assert_eq!((event.user_id.as_str(), event.action.as_str()), ("Zoë", "order.paid"));
        assert_eq!(event.event_ts.to_string(), "2026-03-02T10:00:00.000123Z");
        assert_eq!(&*event.payload, r#"{"amount": 42.10, "country": "FR"}"#);
    }
}

/// Publishes five incentives of one user.
async fn announced(bus: &KafkaBus) -> Vec<IncentiveEvent> {
    let grant = |seq: u64| {
        let mut incentive = incentive(tenant(1), "Zoë", seq);
        incentive.amount = "42.10".parse().expect("a number");
        let place = Place { batch_seq: 3, ordinal: i32::try_from(seq).expect("small") };
        IncentiveEvent { incentive: Arc::new(incentive), place }
    };
    let sent: Vec<_> = (1..=5).map(grant).collect();
    bus.publish(0, &sent).await.expect("published");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_are_read_by_a_java_consumer() {
    let (settings, bus) = bus(2).await;
    let sent = announced(&bus).await;
    let args = [&*settings.brokers, &settings.incentives_topic, "5"];
    let read = java("consume", &args).await;
    let expected = sent.iter().map(|event| {
        let incentive = &event.incentive;
        format!(
            "Zoë|{}|{}|{}|42.1|POINTS|{}|{}|0/3/{}",
            incentive.id,
            incentive.tenant,
            incentive.event_id,
            incentive.seq,
            incentive.issued_at,
            event.place.ordinal
        )
    });
    assert_eq!(read.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_are_read_by_a_python_consumer() {
    let (settings, bus) = bus(2).await;
    let sent = announced(&bus).await;
    let read =
        python("consume_incentives.py", &[&settings.brokers, &settings.incentives_topic, "5"])
            .await;
    let expected: Vec<String> = sent
        .iter()
        .map(|event| {
            let incentive = &event.incentive;
            format!(
                "Zoë|{}|{}|{}|42.10000000|POINTS|{}|2025-06-27T12:34:{}+00:00|0/3/{}",
                incentive.id,
                incentive.tenant,
                incentive.event_id,
                incentive.seq,
                56 + incentive.seq,
                event.place.ordinal
            )
        })
        .collect();
    let found: Vec<&str> = read.lines().collect();
    assert_eq!(found[..3], expected[..3]);
    assert_eq!(found.len(), 5);
}

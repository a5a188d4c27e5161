//! What ingestion makes of what comes in.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use domain::event::RecordKind;
use domain::id::TenantId;
use domain::time::Timestamp;
use engine::ingest::{
    EVENTS_MAX, IncomingEvent, Ingest, IngestError, Ingested, NewAttributes, Rejection,
};
use engine::metrics::Metrics;
use engine::ports::{Appended, Bus, IncentiveEvent, NewRecord, PortFuture, Position};
use engine::record::Taken;
use testkit::clock::{CountingIds, ManualClock};
use testkit::event::time;
use tokio::sync::watch;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const NOW: &str = "2026-03-02T12:00:00Z";

/// Takes everything; an event whose id begins with a word of the answers gets that one.
#[derive(Default)]
struct Tape(Mutex<Vec<NewRecord>>);

impl Bus for Tape {
    fn append<'a>(&'a self, records: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        let mut tape = self.0.lock().expect("no panic");
        let answer = |record: &NewRecord| match record.event.event_id.as_str() {
            "known" => Appended::Duplicate { offset: 7 },
            "reused" => Appended::IdReused,
            "wrong mode" => Appended::WrongMode,
            "nobody" => Appended::NoTenant,
            _ => Appended::Accepted { offset: 100 },
        };
        let answers = records.iter().map(answer).collect();
        tape.extend(records);
        Box::pin(async move { Ok(answers) })
    }
    fn take<'a>(&'a self, _: i32, _: i64, _: usize) -> PortFuture<'a, Vec<Taken>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn ready<'a>(&'a self, _: i32, _: i64) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn end<'a>(&'a self, _: i32) -> PortFuture<'a, i64> {
        Box::pin(async { Ok(0) })
    }
    fn verify<'a>(&'a self, _: i32, _: Position) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        watch::Sender::new(BTreeSet::from([0])).subscribe()
    }
    fn publish<'a>(&'a self, _: i32, _: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

struct Desk {
    ingest: Ingest,
    tape: Arc<Tape>,
    clock: Arc<ManualClock>,
}

fn desk() -> Desk {
    let (tape, clock) = (Arc::new(Tape::default()), Arc::new(ManualClock::at(time(NOW))));
    let ids = Arc::new(CountingIds::default());
    let ingest = Ingest::new(tape.clone(), clock.clone(), ids, Metrics::detached());
    Desk { ingest, tape, clock }
}

fn incoming(id: &str, payload: &str) -> IncomingEvent {
    IncomingEvent {
        event_id: id.parse().expect("an id"),
        user_id: "ada".parse().expect("a reference"),
        action: "purchase".parse().expect("an action"),
        event_ts: Some(time("2026-03-01T00:00:00Z")),
        payload: payload.into(),
    }
}

impl Desk {
    async fn accept(&self, events: Vec<IncomingEvent>) -> Vec<Ingested> {
        self.ingest.accept(TENANT, RecordKind::Live, events).await.expect("answers")
    }
    fn taken(&self) -> Vec<NewRecord> {
        std::mem::take(&mut *self.tape.0.lock().expect("no panic"))
    }
}

#[tokio::test]
async fn a_faulty_event_is_told_by_its_place_and_the_others_go_on() {
    let desk = desk();
    let with = |change: fn(&mut IncomingEvent)| {
        let mut event = incoming("x", "{}");
        change(&mut event);
        event
    };
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let deep = incoming("x", &deep);
    let grows = incoming("x", &format!(r#"{{"a":[{}0]}}"#, "1e27,".repeat(50_000)));
    let cases = [
        (with(|e| e.payload = "{".into()), "/payload", "SYNTAX"),
        (with(|e| e.payload = "[]".into()), "/payload", "WRONG_TYPE"),
        (with(|e| e.payload = r#"{"a":{"b":1e999}}"#.into()), "/payload/a/b", "INEXACT"),
        (with(|e| e.payload = r#"{"a":1,"a":2}"#.into()), "/payload", "DUPLICATE"),
        (with(|e| e.payload = format!("{{}}{}", " ".repeat(1 << 18))), "/payload", "TOO_LONG"),
        (deep, "/payload", "TOO_DEEP"),
        // What is stored must be readable again, so its length counts too.
        (grows, "/payload", "TOO_LONG"),
        (with(|e| e.event_ts = Some(time("2026-03-02T12:05:01Z"))), "/eventTs", "OUT_OF_RANGE"),
        (with(|e| e.action = "$user.updated".parse().expect("one")), "/action", "NOT_ALLOWED"),
    ];
    for (event, pointer, code) in cases {
        let shown = event.payload.chars().take(40).collect::<String>();
        let results = desk.accept(vec![incoming("a", "{}"), event, incoming("b", "{}")]).await;
        let Ingested::Rejected(Rejection::Faulty(fault)) = &results[1] else {
            panic!("{shown}: {:?}", results[1]);
        };
        assert!(fault.pointer.starts_with(pointer), "{shown}: {fault:?}");
        assert_eq!(fault.code.as_str(), code, "{shown}: {fault:?}");
        let accepted = Ingested::Accepted { offset: 100 };
        assert_eq!((&results[0], &results[2]), (&accepted, &accepted));
        assert_eq!(desk.taken().len(), 2, "what is faulty does not reach the log");
    }
    let soon = with(|e| e.event_ts = Some(time("2026-03-02T12:05:00Z")));
    assert_eq!(desk.accept(vec![soon]).await[0].as_str(), "ACCEPTED", "clocks differ a little");
}

#[tokio::test]
async fn the_answers_of_the_log_come_back_in_place() {
    let desk = desk();
    let ids = ["known", "x", "reused", "wrong mode", "nobody"];
    let mut events: Vec<_> = ids.iter().map(|id| incoming(id, "{}")).collect();
    events.insert(1, incoming("bad", "{"));
    let found: Vec<_> = desk
        .accept(events)
        .await
        .into_iter()
        .map(|result| match &result {
            Ingested::Rejected(rejection) => (result.as_str(), rejection.code(), None),
            _ => (result.as_str(), "", result.offset()),
        })
        .collect();
    let expected = [
        ("DUPLICATE", "", Some(7)),
        ("REJECTED", "INVALID", None),
        ("ACCEPTED", "", Some(100)),
        ("REJECTED", "ID_REUSED", None),
        ("REJECTED", "WRONG_MODE", None),
        ("REJECTED", "NO_TENANT", None),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_hash_is_that_of_what_the_sender_meant() {
    let desk = desk();
    let hash = async |event: IncomingEvent, now: &str| {
        desk.clock.set(time(now));
        desk.accept(vec![event]).await;
        desk.taken().remove(0).content_hash
    };
    let at = |ts: Option<&str>, payload: &str| IncomingEvent {
        event_ts: ts.map(time),
        ..incoming("x", payload)
    };
    let (later, given) = ("2026-03-02T13:00:00Z", Some(NOW));
    let none = hash(at(None, r#"{"a":1,"b":2.50}"#), NOW).await;
    assert_eq!(none, hash(at(None, r#"{ "b": 25e-1, "a": 1.0 }"#), later).await, "a retry");
    let with = hash(at(given, r#"{"a":1,"b":2.50}"#), NOW).await;
    assert_eq!(with, hash(at(given, r#"{"b":2.5,"a":1}"#), later).await, "a retry with its time");
    assert_ne!(none, with, "a time that was given is part of what was sent");
    let mut other = at(None, r#"{"a":1,"b":2.50}"#);
    other.user_id = "bob".parse().expect("a reference");
    let mut another = at(None, r#"{"a":1,"b":2.50}"#);
    another.action = "refund".parse().expect("an action");
    for other in [other, another, at(None, r#"{"a":1,"b":2.51}"#)] {
        assert_ne!(hash(other, NOW).await, none);
    }
}

#[tokio::test]
async fn what_is_stored_is_compact_and_has_a_time() {
    let desk = desk();
    let event =
        IncomingEvent { event_ts: None, ..incoming("x", "{ \"a\" : [ 1.50 , \"ü\" ] }\n") };
    desk.accept(vec![event]).await;
    let stored = desk.taken().remove(0).event;
    assert_eq!((&*stored.payload, stored.event_ts), (r#"{"a":[1.50,"ü"]}"#, time(NOW)));
}

#[tokio::test]
async fn attributes_become_an_event() {
    let desk = desk();
    let put = |attributes: &str, event_ts: Option<Timestamp>| {
        let user_id = "ada".parse().expect("a reference");
        let new = NewAttributes { user_id, event_ts, attributes: attributes.into() };
        desk.ingest.put_user_attributes(TENANT, RecordKind::Live, new)
    };
    let results = [
        put(r#"{"tier": "gold"}"#, None).await.expect("answers"),
        put(r#"{"tier": "gold"}"#, Some(time(NOW))).await.expect("answers"),
    ];
    assert!(results.iter().all(|(_, r)| r.as_str() == "ACCEPTED"), "{results:?}");
    let taken = desk.taken();
    let event = &taken[0].event;
    assert_eq!(results[0].0.as_ref(), Some(&event.event_id));
    assert_eq!((event.action.as_str(), &*event.payload), ("$user.updated", r#"{"tier":"gold"}"#));
    assert_ne!(event.event_id, taken[1].event.event_id, "setting the same twice is two events");

    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(17_000));
    for (attributes, pointer) in
        [("{", "/attributes"), (r#"{"a":1e999}"#, "/attributes/a"), (&long, "/attributes")]
    {
        match put(attributes, None).await.expect("answers").1 {
            Ingested::Rejected(Rejection::Faulty(fault)) => assert_eq!(fault.pointer, pointer),
            other => panic!("{other:?}"),
        }
    }
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn a_call_is_bounded() {
    let desk = desk();
    let events = |n| vec![incoming("x", "{}"); n];
    assert_eq!(desk.accept(events(EVENTS_MAX)).await.len(), EVENTS_MAX);
    desk.taken();
    let refused = desk.ingest.accept(TENANT, RecordKind::Live, events(EVENTS_MAX + 1)).await;
    assert!(matches!(refused, Err(IngestError::TooMany(n)) if n == EVENTS_MAX + 1));
    assert!(desk.taken().is_empty());
    assert_eq!(desk.accept(Vec::new()).await, []);
}

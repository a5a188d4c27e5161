//! The contract of a log.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use domain::config::TenantMode;
use domain::event::{Record, RecordKind};
use domain::id::TenantId;
use engine::ports::{Appended, Bus, NewRecord};
use engine::record::{Body, Taken};
use uuid::Uuid;

use super::{Subject, Table};
use crate::event::{event, time};

/// Makes a test of each case for the subject that `$make` (a future) gives.
#[macro_export]
macro_rules! bus_contract {
    ($make:expr) => {
        $crate::contract_tests! { $make, $crate::contract::bus:
            offsets_are_dense_and_the_order_is_kept
            an_event_is_taken_once
            a_reused_id_is_refused_and_its_content_kept
            ids_of_different_tenants_do_not_meet
            append_time_never_goes_back
            a_replay_takes_replayed_events_and_no_live_ones
            unknown_and_suspended_tenants_are_refused
            a_record_comes_back_as_it_was_sent
            take_is_bounded_by_count_and_by_bytes
            ready_wakes_when_there_is_something
            what_was_answered_survives_a_restart
            parallel_senders_of_the_same_events_lose_and_double_nothing
        }
    };
}

async fn append(bus: &dyn Bus, records: Vec<NewRecord>) -> Vec<Appended> {
    bus.append(records).await.expect("appends")
}

async fn take_all(bus: &dyn Bus) -> Vec<Record> {
    take(bus, 0, 10_000).await
}

async fn take(bus: &dyn Bus, offset: i64, max: usize) -> Vec<Record> {
    let taken = bus.take(0, offset, max).await.expect("takes");
    let record = |one: Taken| match one.body {
        Body::Admitted(record) => record,
        other => panic!("not admitted: {other:?}"),
    };
    taken.into_iter().map(record).collect()
}

fn accepted(offset: i64) -> Appended {
    Appended::Accepted { offset }
}

fn duplicate(offset: i64) -> Appended {
    Appended::Duplicate { offset }
}

fn ids(records: &[Record]) -> Vec<(i64, &str)> {
    records.iter().map(|r| (r.offset, r.event.event_id.as_str())).collect()
}

/// Offsets count up from 0 over calls and tenants; what is refused leaves no gap.
pub async fn offsets_are_dense_and_the_order_is_kept(s: &mut dyn Subject) {
    let (a, b, bus) = (tenant(s).await, tenant(s).await, s.bus());
    let first = vec![event(a, "1").record(), event(b, "2").record(), event(a, "1").record()];
    assert_eq!(append(&*bus, first).await, [accepted(0), accepted(1), duplicate(0)]);
    assert_eq!(append(&*bus, vec![event(b, "3").record()]).await, [accepted(2)]);
    assert_eq!(append(&*bus, Vec::new()).await, []);
    let records = take_all(&*bus).await;
    assert_eq!(ids(&records), [(0, "1"), (1, "2"), (2, "3")]);
    assert_eq!(bus.end(0).await.expect("an end"), 3);
}

/// A retry finds the first one, in the same call or later.
pub async fn an_event_is_taken_once(s: &mut dyn Subject) {
    let (t, bus) = (tenant(s).await, s.bus());
    let twice = || vec![event(t, "x").record(), event(t, "y").record(), event(t, "x").record()];
    assert_eq!(append(&*bus, twice()).await, [accepted(0), accepted(1), duplicate(0)]);
    assert_eq!(append(&*bus, twice()).await, [duplicate(0), duplicate(1), duplicate(0)]);
    assert_eq!(take_all(&*bus).await.len(), 2);
}

/// The same id with another content is no retry.
pub async fn a_reused_id_is_refused_and_its_content_kept(s: &mut dyn Subject) {
    let (t, bus) = (tenant(s).await, s.bus());
    let other = || event(t, "x").payload(r#"{"amount":42.10}"#).record();
    let same_call = vec![event(t, "x").record(), other()];
    assert_eq!(append(&*bus, same_call).await, [accepted(0), Appended::IdReused]);
    assert_eq!(append(&*bus, vec![other()]).await, [Appended::IdReused]);
    let kept = s.rows(Table::DeadLetters).await.expect("rows");
    assert_eq!(kept.len(), 1, "a retry of the same wrong content is one dead letter: {kept:?}");
    for part in ["ID_REUSED", r#""payload":{"amount":42.10}"#, r#""eventId":"x""#, "offset 0"] {
        assert!(kept[0].contains(part), "{part} in {}", kept[0]);
    }
    assert_eq!(take_all(&*bus).await.len(), 1);
}

/// Two tenants may use the same id.
pub async fn ids_of_different_tenants_do_not_meet(s: &mut dyn Subject) {
    let (a, b, bus) = (tenant(s).await, tenant(s).await, s.bus());
    let both = vec![event(a, "x").record(), event(b, "x").payload(r#"{"n":1}"#).record()];
    assert_eq!(append(&*bus, both).await, [accepted(0), accepted(1)]);
}

/// A clock that is set back does not set the log back.
pub async fn append_time_never_goes_back(s: &mut dyn Subject) {
    let (t, bus, clock) = (tenant(s).await, s.bus(), s.clock());
    let times = ["2026-03-02T12:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T13:00:00Z"].map(time);
    for (id, now) in ["1", "2", "3"].into_iter().zip(times) {
        clock.set(now);
        append(&*bus, vec![event(t, id).record()]).await;
    }
    let taken: Vec<_> = take_all(&*bus).await.into_iter().map(|r| r.append_time).collect();
    assert_eq!(taken, [times[0], times[0], times[2]]);
    // Another tenant's log has a time of its own.
    clock.set(times[1]);
    let other = tenant(s).await;
    append(&*bus, vec![event(other, "1").record()]).await;
    assert_eq!(take_all(&*bus).await[3].append_time, times[1]);
}

/// In a replay the log's time is the event's own, and history does not move it.
pub async fn a_replay_takes_replayed_events_and_no_live_ones(s: &mut dyn Subject) {
    use RecordKind::{History, Live, Replay};
    let (t, bus) = (tenant(s).await, s.bus());
    let at = |id: &str, ts: &str, kind| event(t, id).ts(time(ts)).kind(kind).record();
    let offered = |n: &str| {
        vec![
            at(&format!("live{n}"), "1997-01-01T00:00:00Z", Live),
            at(&format!("history{n}"), "1997-01-02T00:00:00Z", History),
            at(&format!("replay{n}"), "1997-01-03T00:00:00Z", Replay),
            at(&format!("late{n}"), "1997-01-01T00:00:00Z", Replay),
        ]
    };
    let wrong = Appended::WrongMode;
    s.set_mode(t, TenantMode::Replay).await.expect("switches");
    let replayed = append(&*bus, offered("1")).await;
    assert_eq!(replayed, [wrong.clone(), accepted(0), accepted(1), accepted(2)]);
    s.set_mode(t, TenantMode::Live).await.expect("switches");
    let live = append(&*bus, offered("2")).await;
    assert_eq!(live, [accepted(3), accepted(4), wrong.clone(), wrong]);

    let taken = take_all(&*bus).await;
    let found: Vec<_> = taken.iter().map(|r| (r.kind, r.append_time)).collect();
    let (begin, replay) = (time("1970-01-01T00:00:00Z"), time("1997-01-03T00:00:00Z"));
    let now = time("2026-03-02T12:00:00Z");
    let expected =
        [(History, begin), (Replay, replay), (Replay, replay), (Live, now), (History, now)];
    assert_eq!(found, expected);
}

/// Nothing is kept for a tenant that is not there or is suspended.
pub async fn unknown_and_suspended_tenants_are_refused(s: &mut dyn Subject) {
    let (t, bus) = (tenant(s).await, s.bus());
    let nobody = TenantId(Uuid::from_u128(0xdead));
    append(&*bus, vec![event(t, "1").record()]).await;
    s.suspend(t).await.expect("suspends");
    let offered = vec![event(t, "2").record(), event(nobody, "3").record()];
    assert_eq!(append(&*bus, offered).await, [Appended::NoTenant, Appended::NoTenant]);
    assert_eq!(s.rows(Table::EventIds).await.expect("rows").len(), 1);
}

/// Nothing is changed on the way, whatever the characters.
pub async fn a_record_comes_back_as_it_was_sent(s: &mut dyn Subject) {
    let (t, bus) = (tenant(s).await, s.bus());
    let long = format!(r#"{{"long":"{}"}}"#, "x".repeat(60_000));
    let sent = [
        event(t, "id with : { } % and 🎁").user("Zoë|{}:'\"").action("order.paid"),
        event(t, &"i".repeat(128)).payload(r#"{"amount":42.10,"n":12345678901234567890.0}"#),
        event(t, "3").payload(r#"{"text":"\u0001 ' \" ; drop table events --"}"#),
        event(t, "4").payload(&long).kind(RecordKind::History),
        event(t, "5").ts(time("1970-01-01T00:00:00Z")),
    ];
    append(&*bus, sent.iter().cloned().map(|e| e.record()).collect()).await;
    let taken = take_all(&*bus).await;
    assert_eq!(taken.len(), sent.len());
    // A log that remembers what it was just given says the same when it has forgotten.
    assert_eq!(take_all(&*bus).await, taken);
    for (record, sent) in taken.into_iter().zip(sent) {
        let offered = sent.record();
        assert_eq!((record.kind, record.event), (offered.kind, offered.event));
    }
}

/// A batch fits into memory however large its events are, and there is always progress.
pub async fn take_is_bounded_by_count_and_by_bytes(s: &mut dyn Subject) {
    let (t, bus) = (tenant(s).await, s.bus());
    let big = format!(r#"{{"big":"{}"}}"#, "x".repeat(200 * 1024));
    for n in 0..5 {
        let records =
            (0..30).map(|i| event(t, &format!("{n}-{i}")).payload(&big).record()).collect();
        append(&*bus, records).await;
    }
    let taken = take(&*bus, 7, 3).await;
    assert_eq!(ids(&taken), [(7, "0-7"), (8, "0-8"), (9, "0-9")]);
    let taken = take(&*bus, 0, 10_000).await;
    assert!((1..150).contains(&taken.len()), "{} records of 200 KiB at once", taken.len());
    assert_eq!(take(&*bus, 150, 10).await, []);
}

/// Whoever waits for the next record is told.
pub async fn ready_wakes_when_there_is_something(s: &mut dyn Subject) {
    let (t, bus) = (tenant(s).await, s.bus());
    append(&*bus, vec![event(t, "1").record()]).await;
    bus.ready(0, 0).await.expect("there is one");
    let waiting = tokio::spawn({
        let bus = s.bus();
        async move {
            while bus.take(0, 1, 1).await.expect("takes").is_empty() {
                bus.ready(0, 1).await.expect("waits");
            }
        }
    });
    append(&*bus, vec![event(t, "2").record()]).await;
    waiting.await.expect("it was woken");
}

/// An answer is a promise.
pub async fn what_was_answered_survives_a_restart(s: &mut dyn Subject) {
    let t = tenant(s).await;
    let records = || (0..50).map(|n| event(t, &n.to_string()).record()).collect::<Vec<_>>();
    append(&*s.bus(), records()).await;
    let before = take_all(&*s.bus()).await;
    s.restart().await.expect("starts again");
    assert_eq!(take_all(&*s.bus()).await, before);
    let again = append(&*s.bus(), records()).await;
    assert_eq!(again, (0..50).map(duplicate).collect::<Vec<_>>());
    assert_eq!(append(&*s.bus(), vec![event(t, "new").record()]).await, [accepted(50)]);
}

/// Eight senders send the same hundred events, each in an order of its own.
pub async fn parallel_senders_of_the_same_events_lose_and_double_nothing(s: &mut dyn Subject) {
    let t = tenant(s).await;
    let sender = |seed: usize| {
        let bus = s.bus();
        async move {
            let mut results = Vec::new();
            for n in (0..100).map(|i| (i * 37 + seed * 13) % 100) {
                let mut one = append(&*bus, vec![event(t, &n.to_string()).record()]).await;
                results.push((n, one.remove(0)));
            }
            results
        }
    };
    let senders: Vec<_> = (0..8).map(|seed| tokio::spawn(sender(seed))).collect();
    let mut first = vec![None; 100];
    let mut offsets = Vec::new();
    for sender in senders {
        for (n, result) in sender.await.expect("sends") {
            let offset = match result {
                Appended::Accepted { offset } => {
                    offsets.push(offset);
                    offset
                }
                Appended::Duplicate { offset } => offset,
                other => panic!("{n}: {other:?}"),
            };
            assert_eq!(*first[n].get_or_insert(offset), offset, "event {n} lies at one place");
        }
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
}

async fn tenant(s: &dyn Subject) -> TenantId {
    s.tenant().await.expect("a tenant")
}

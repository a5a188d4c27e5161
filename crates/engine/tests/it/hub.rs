//! The hub against a store in memory.

use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef, user_id};
use domain::incentive::{Incentive, RewardType};
use domain::time::Timestamp;
use engine::hub::{
    Capacity, Delivery, Dialect, End, Frame, Hub, HubSettings, Presence, QuestProgress, Resumed,
    Session, StepProgress,
};
use engine::ports::{Announce as _, IncentiveEvent};
use rust_decimal::Decimal;
use testkit::inbox::MemoryInbox;
use testkit::random::Random;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

fn user(name: &str) -> UserId {
    user_id(TENANT, &UserRef::new(name).unwrap())
}

fn incentive(name: &str, seq: u64) -> Incentive {
    Incentive {
        id: IncentiveId(Uuid::from_u128(0x1000 + u128::from(seq))),
        issued_at: "2025-06-27T12:34:56Z".parse().unwrap(),
        ..testkit::incentive::incentive(TENANT, name, seq)
    }
}

/// The store, with one tenant.
#[derive(Default)]
struct Ledger(MemoryInbox);

impl Ledger {
    fn commit(&self, user: &str, seq: u64) -> IncentiveEvent {
        self.0.commit(TENANT, user, seq)
    }
}

fn hub() -> (Arc<Hub>, Ledger) {
    let ledger = Ledger::default();
    let settings = HubSettings { devices_per_user: 3, sessions: 8, page: 4, reads: 2 };
    (Hub::new(ledger.0.clone(), settings), ledger)
}

async fn live(hub: &Arc<Hub>, name: &str, capacity: Capacity) -> Session {
    let mut session = hub.subscribe(TENANT, user(name), capacity).unwrap();
    session.start().await.unwrap();
    session.release();
    session
}

/// What a session has to give, without waiting: the numbers given out, and its end.
async fn drain(session: &mut Session) -> (Vec<u64>, Option<End>) {
    drain_some(session, usize::MAX).await
}

/// The same, at most so many.
async fn drain_some(session: &mut Session, most: usize) -> (Vec<u64>, Option<End>) {
    let mut seen = Vec::new();
    while seen.len() < most {
        // Enough turns for the slowest read of these tests.
        let mut ready = Poll::Pending;
        for _ in 0..40 {
            let mut wait = std::pin::pin!(session.ready());
            ready = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if ready.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        match ready {
            Poll::Pending => return (seen, None),
            Poll::Ready(Err(end)) => return (seen, Some(end)),
            Poll::Ready(Ok(())) => {}
        }
        while let Some(delivery) = session.next_ready() {
            match delivery {
                Delivery::Incentive(frame) => seen.push(frame.seq()),
                Delivery::Hole { from, to } => panic!("hole from {from} to {to}"),
                Delivery::Progress(_) => {}
            }
            if seen.len() == most {
                break;
            }
        }
    }
    (seen, None)
}

#[test]
fn the_plain_frame_is_what_was_promised() {
    let mut one = incentive("u1", 3);
    one.id = IncentiveId("0197b2d6-0000-8000-8000-000000000001".parse().unwrap());
    one.campaign = CampaignId("0197b2d6-0000-7000-8000-000000000002".parse().unwrap());
    let start = concat!(
        r#"{"type":"INCENTIVE_NOTIFICATION","incentiveId":"0197b2d6-0000-8000-8000-000000000001","#,
        r#""campaignId":"0197b2d6-0000-7000-8000-000000000002","reward":{"currency":"POINTS","#,
        r#""amount":"#
    );
    for (amount, number) in [
        ("50", "50"),
        ("50.00", "50"),
        ("42.10", "42.1"),
        ("0.000001", "0.000001"),
        ("79228162514264337593543950335", "79228162514264337593543950335"),
        ("1000000", "1000000"),
    ] {
        one.amount = amount.parse().unwrap();
        let text = Frame::new(Arc::new(one.clone())).text(Dialect::Plain);
        let expected = format!(r#"{start}{number}}},"issuedAt":"2025-06-27T12:34:56Z"}}"#);
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    }
}

#[test]
fn the_v1_frame_says_more() {
    let mut one = incentive("u1", 3);
    one.kind = RewardType::Coupon;
    one.coupon_code = Some("SAVE-\"10\"".into());
    one.event_id = EventId::new("o-47\\11 é").unwrap();
    one.issued_at = "2025-06-27T12:34:56.789Z".parse().unwrap();
    let frame = Frame::new(Arc::new(one));
    let text = frame.text(Dialect::V1);
    let text = std::str::from_utf8(&text).unwrap();
    let tail = concat!(
        r#","issuedAt":"2025-06-27T12:34:56.789Z","seq":3,"eventId":"o-47\\11 é","kind":"COUPON","#,
        r#""couponCode":"SAVE-\"10\""}"#
    );
    assert!(text.ends_with(tail), "{text}");
    serde_json::from_str::<serde_json::Value>(text).unwrap();
    // The plain one keeps to whole seconds, as in its promise.
    assert!(frame.text(Dialect::Plain).ends_with(br#""issuedAt":"2025-06-27T12:34:56Z"}"#));
}

#[test]
fn a_frame_is_never_longer_than_its_weight() {
    let mut one = incentive("u1", u64::MAX);
    one.amount = Decimal::from_str_exact("0.0000000000000000000000000001").unwrap();
    one.issued_at = "9999-12-29T21:59:59.999999Z".parse().unwrap();
    one.kind = RewardType::Cashback;
    one.event_id = EventId::new(&"\"".repeat(128)).unwrap();
    one.coupon_code = Some("\u{1}".repeat(64));
    one.currency = "\\".repeat(32);
    for one in [one, incentive("u1", 1)].map(Arc::new) {
        let frame = Frame::new(one.clone());
        for dialect in [Dialect::Plain, Dialect::V1] {
            let text = frame.text(dialect);
            assert!(text.len() <= frame.weight());
            for frame in [&frame, &Frame::for_several(one.clone())] {
                let mut out = BytesMut::from("before");
                frame.append_to(dialect, &mut out);
                assert_eq!(out.strip_prefix(b"before").unwrap(), text);
            }
        }
    }
}

#[test]
fn times_are_written_as_everywhere_else() {
    let mut random = Random(7);
    let day = 86_400 * 1_000_000;
    let some = [0, 1, 999_999, 1_000_000, 59 * day, 951_782_399_999_999, 253_402_128_000_000_000];
    // Around each end of February and of the year up to 2800, and anywhere.
    let years = (0..830).map(|year| year * 365 * day + year / 4 * day);
    let edges = years.flat_map(|at| (-2..=62).map(move |days| at + days * day - 1));
    let anywhere = (0..20_000).map(|n| {
        let at = random.between(0, 253_402_128_000_000_000);
        // Fractions of every length.
        at - at % 10_i64.pow(n % 7)
    });
    for micros in some.into_iter().chain(edges).chain(anywhere).filter(|at| *at >= 0) {
        let at = Timestamp::from_stored(micros);
        let mut one = incentive("u1", 1);
        one.issued_at = at;
        let frame = Frame::new(Arc::new(one));
        let text = frame.text(Dialect::V1);
        let wanted = format!(r#","issuedAt":"{at}","seq":1,"#);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains(&wanted), "{text} lacks {wanted}");
    }
}

#[test]
fn progress_has_its_frame() {
    let progress = QuestProgress {
        user: user("u1"),
        campaign: CampaignId(Uuid::from_u128(7)),
        cycle: 2,
        steps: vec![
            StepProgress { step: "buy".into(), value: Decimal::from(3), is_done: true },
            StepProgress { step: "spend".into(), value: Decimal::new(1050, 2), is_done: false },
        ],
    };
    let text = progress.text();
    assert_eq!(
        text,
        concat!(
            r#"{"type":"PROGRESS","campaignId":"00000000-0000-0000-0000-000000000007","cycle":2,"#,
            r#""steps":[{"step":"buy","value":3,"done":true},"#,
            r#"{"step":"spend","value":10.5,"done":false}]}"#
        )
    );
    assert!(text.len() <= progress.weight());
}

#[tokio::test]
async fn only_the_users_own_sessions_hear() {
    let (hub, ledger) = hub();
    let mut first = live(&hub, "u1", Capacity::default()).await;
    let mut second = live(&hub, "u1", Capacity::default()).await;
    let mut other = live(&hub, "u2", Capacity::default()).await;
    hub.announce(&[ledger.commit("u1", 1), ledger.commit("u3", 1), ledger.commit("u1", 2)]);
    assert_eq!(drain(&mut first).await, (vec![1, 2], None));
    assert_eq!(drain(&mut second).await, (vec![1, 2], None));
    assert_eq!(drain(&mut other).await, (vec![], None));
}

#[tokio::test]
async fn devices_share_the_written_frame() {
    let (hub, ledger) = hub();
    let mut sessions =
        [live(&hub, "u1", Capacity::default()).await, live(&hub, "u1", Capacity::default()).await];
    hub.announce(&[ledger.commit("u1", 1)]);
    let mut texts = Vec::new();
    for session in &mut sessions {
        session.ready().await.unwrap();
        let Some(Delivery::Incentive(frame)) = session.next_ready() else { panic!("nothing") };
        texts.push(frame.text(Dialect::V1));
    }
    assert_eq!(texts[0].as_ptr(), texts[1].as_ptr());
}

#[test]
fn a_frame_for_several_has_the_text_of_a_frame_for_one() {
    for dialect in [Dialect::Plain, Dialect::V1] {
        let one = Arc::new(incentive("u1", 1));
        let shared = Frame::for_several(one.clone());
        let text = shared.clone().text(dialect);
        assert_eq!(shared.text(dialect).as_ptr(), text.as_ptr());
        assert_eq!(Frame::new(one).text(dialect), text);
    }
}

#[tokio::test]
async fn a_session_wakes_up() {
    let (hub, ledger) = hub();
    let mut session = live(&hub, "u1", Capacity::default()).await;
    let waiting = tokio::spawn(async move { session.ready().await.map(|()| session) });
    tokio::task::yield_now().await;
    hub.announce(&[ledger.commit("u1", 1)]);
    let mut session = waiting.await.unwrap().unwrap();
    assert_eq!(drain(&mut session).await.0, [1]);
}

/// Announcements lost, repeated, late and in bursts, reads of any slowness, queues of any size,
/// resumes at any moment: each `seq` once and in order.
#[tokio::test]
async fn nothing_twice_nothing_lost_whatever_happens() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let (hub, ledger) = hub();
        let before = random.below(12);
        for seq in 1..=before {
            ledger.commit("u1", seq);
        }
        let capacity = Capacity { frames: 1 + random.size(6), bytes: 400 + random.size(4000) };
        let mut session = live(&hub, "u1", capacity).await;
        let mut seen = before;
        let mut late = Vec::new();
        let last = before + 40;
        for seq in before + 1..=last {
            ledger.0.set_turns(random.size(4));
            let event = ledger.commit("u1", seq);
            match random.below(8) {
                0 => late.push(event),
                1 => hub.announce(&[event.clone(), event]),
                2 => {}
                _ => hub.announce(&[event]),
            }
            if random.below(4) == 0 {
                hub.announce(&std::mem::take(&mut late));
            }
            if random.below(10) == 0 {
                let after = random.below(seen + 1);
                assert_eq!(session.resume(after).await, Ok(Resumed { after, last: seq }));
                seen = after;
            }
            if random.below(2) == 0 {
                for got in drain_some(&mut session, 1 + random.size(9)).await.0 {
                    assert_eq!(got, seen + 1, "seed {seed}");
                    seen = got;
                }
            }
        }
        // The last announcement comes, so that nothing may be missing in the end.
        let end = ledger.commit("u1", last + 1);
        hub.announce(&[end]);
        for got in drain(&mut session).await.0 {
            assert_eq!(got, seen + 1, "seed {seed}");
            seen = got;
        }
        assert_eq!(seen, last + 1, "seed {seed}");
    }
}

#[tokio::test]
async fn a_frozen_reader_costs_no_more_than_its_bound() {
    let (hub, ledger) = hub();
    let capacity = Capacity { frames: 5, bytes: 100_000 };
    let mut frozen = live(&hub, "u1", capacity).await;
    let mut other = live(&hub, "u1", Capacity { frames: 2000, bytes: 1 << 20 }).await;
    let events: Vec<_> = (1..=1000).map(|seq| ledger.commit("u1", seq)).collect();
    let weak = Arc::downgrade(&events[0].incentive);
    hub.announce(&events);
    assert_eq!(hub.metrics().lagging.get(), 1);
    assert_eq!(drain(&mut other).await.0, (1..=1000).collect::<Vec<_>>());
    drop(events);
    ledger.0.purge(1);
    assert!(weak.upgrade().is_none(), "the dropped queue still holds frames");
    ledger.commit("u1", 1);
    assert_eq!(drain(&mut frozen).await.0, (1..=1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn bytes_are_bounded_as_well() {
    let (hub, ledger) = hub();
    let weight = Frame::new(Arc::new(incentive("u1", 1))).weight();
    let mut session = live(&hub, "u1", Capacity { frames: 100, bytes: 2 * weight }).await;
    hub.announce(&[ledger.commit("u1", 1), ledger.commit("u1", 2)]);
    assert_eq!(hub.metrics().lagging.get(), 0);
    hub.announce(&[ledger.commit("u1", 3)]);
    assert_eq!(hub.metrics().lagging.get(), 1);
    assert_eq!(drain(&mut session).await.0, [1, 2, 3]);
}

#[tokio::test]
async fn what_the_store_no_longer_has_is_named() {
    let (hub, ledger) = hub();
    for seq in 1..=10 {
        ledger.commit("u1", seq);
    }
    ledger.0.purge(6);
    let mut session = live(&hub, "u1", Capacity::default()).await;
    assert_eq!(session.resume(2).await, Ok(Resumed { after: 2, last: 10 }));
    session.ready().await.unwrap();
    let first = session.next_ready();
    assert!(matches!(first, Some(Delivery::Hole { from: 3, to: 6 })), "{first:?}");
    assert_eq!(drain(&mut session).await.0, [7, 8, 9, 10]);
    // A hole right before a live one: nothing was kept at all.
    session.resume(8).await.unwrap();
    let event = ledger.commit("u1", 11);
    ledger.0.purge(11);
    hub.announce(&[event]);
    session.ready().await.unwrap();
    let hole = session.next_ready();
    assert!(matches!(hole, Some(Delivery::Hole { from: 9, to: 10 })), "{hole:?}");
    assert_eq!(drain(&mut session).await.0, [11]);
}

#[tokio::test]
async fn a_client_ahead_of_the_store_is_told() {
    let (hub, ledger) = hub();
    ledger.commit("u1", 1);
    let mut session = live(&hub, "u1", Capacity::default()).await;
    assert_eq!(session.resume(99).await, Ok(Resumed { after: 1, last: 1 }));
    hub.announce(&[ledger.commit("u1", 2)]);
    assert_eq!(drain(&mut session).await.0, [2]);
}

#[tokio::test]
async fn a_held_session_keeps_what_comes() {
    let (hub, ledger) = hub();
    let mut session = hub.subscribe(TENANT, user("u1"), Capacity::default()).unwrap();
    assert_eq!(session.start().await, Ok(0));
    hub.announce(&[ledger.commit("u1", 1)]);
    assert!(session.is_held());
    assert_eq!(drain(&mut session).await, (vec![], None));
    session.release();
    assert_eq!(drain(&mut session).await, (vec![1], None));
    let mut held = hub.subscribe(TENANT, user("u1"), Capacity::default()).unwrap();
    hub.revoke_user(user("u1"));
    assert_eq!(held.ready().await, Err(End::Revoked));
}

#[tokio::test]
async fn one_device_too_many_ends_the_oldest() {
    let (hub, _) = hub();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(live(&hub, "u1", Capacity::default()).await);
    }
    assert_eq!(drain(&mut sessions[0]).await.1, Some(End::TooManyDevices));
    assert_eq!(drain(&mut sessions[1]).await.1, None);
    let ids = |hub: &Hub| hub.presence(user("u1")).iter().map(|p| p.session).collect::<Vec<_>>();
    assert_eq!(ids(&hub), [2, 3, 4]);
    sessions.remove(0);
    assert_eq!(ids(&hub), [2, 3, 4]);
    sessions.remove(0);
    assert_eq!(ids(&hub), [3, 4]);
    drop(sessions);
    assert_eq!((hub.sessions(), hub.metrics().sessions.get()), (0, 0));
}

#[tokio::test]
async fn the_process_has_a_bound() {
    let (hub, _) = hub();
    let subscribe = |n: usize| hub.subscribe(TENANT, user(&format!("u{n}")), Capacity::default());
    let mut sessions: Vec<_> = (0..8).map(|n| subscribe(n).unwrap()).collect();
    assert_eq!(subscribe(8).err(), Some(End::Full));
    sessions.pop();
    assert!(subscribe(8).is_ok());
}

#[tokio::test]
async fn acknowledgements_are_cumulative_and_honest() {
    let (hub, ledger) = hub();
    ledger.commit("u1", 1);
    let mut session = live(&hub, "u1", Capacity::default()).await;
    hub.announce(&[ledger.commit("u1", 2), ledger.commit("u1", 3), ledger.commit("u1", 4)]);
    assert_eq!(session.acknowledge(2), None, "it was not given out yet");
    assert_eq!(drain(&mut session).await.0, [2, 3, 4]);
    assert_eq!(session.acknowledge(3), Some(2));
    assert_eq!(session.acknowledge(2), Some(0));
    assert_eq!(session.acknowledge(5), None);
    let expected = Presence { session: 1, delivered: 4, acknowledged: 3 };
    assert_eq!(hub.presence(user("u1")), [expected]);
    assert_eq!(hub.metrics().acknowledged.get(), 2);
}

#[tokio::test]
async fn a_store_that_is_down_ends_with_resume() {
    let (hub, ledger) = hub();
    let mut session = live(&hub, "u1", Capacity { frames: 1, bytes: 100_000 }).await;
    hub.announce(&[ledger.commit("u1", 1), ledger.commit("u1", 2)]);
    ledger.0.set_down(true);
    assert_eq!(drain(&mut session).await, (vec![], Some(End::Unavailable)));
    let mut next = hub.subscribe(TENANT, user("u1"), Capacity::default()).unwrap();
    assert_eq!(next.start().await, Err(End::Unavailable));
    assert_eq!(next.resume(0).await, Err(End::Unavailable));
}

#[tokio::test]
async fn revoking_and_draining() {
    let (hub, ledger) = hub();
    let mut revoked = live(&hub, "u1", Capacity::default()).await;
    let mut kept = live(&hub, "u2", Capacity::default()).await;
    hub.revoke_user(user("u1"));
    assert_eq!(drain(&mut revoked).await.1, Some(End::Revoked));
    hub.revoke_tenant(TenantId(Uuid::from_u128(2)));
    assert_eq!(drain(&mut kept).await.1, None);

    hub.announce(&[ledger.commit("u2", 1)]);
    hub.drain();
    let refused = hub.subscribe(TENANT, user("u3"), Capacity::default());
    assert_eq!(refused.err(), Some(End::GoingAway));
    // What was queued is still given out.
    assert_eq!(drain(&mut kept).await, (vec![1], Some(End::GoingAway)));
    let emptied = tokio::spawn({
        let hub = hub.clone();
        async move { hub.emptied().await }
    });
    tokio::task::yield_now().await;
    assert!(!emptied.is_finished());
    drop((kept, revoked));
    emptied.await.unwrap();
}

#[tokio::test]
async fn revoking_a_tenant_leaves_the_others() {
    let (hub, _) = hub();
    let mut ours = live(&hub, "u1", Capacity::default()).await;
    let theirs = TenantId(Uuid::from_u128(2));
    let mut other = hub.subscribe(theirs, UserId(Uuid::from_u128(9)), Capacity::default()).unwrap();
    hub.revoke_tenant(theirs);
    assert_eq!(drain(&mut other).await.1, Some(End::Revoked));
    assert_eq!(drain(&mut ours).await.1, None);
}

#[tokio::test]
async fn progress_reaches_who_is_there_and_never_makes_it_lag() {
    let (hub, ledger) = hub();
    let mut session = live(&hub, "u1", Capacity { frames: 2, bytes: 100_000 }).await;
    let mut plain = live(&hub, "u1", Capacity { frames: 2, bytes: 100_000 }).await;
    assert!(!hub.follows_progress(user("u1")));
    session.follow_progress();
    assert!(hub.follows_progress(user("u1")) && !hub.follows_progress(user("u2")));
    let progress = Arc::new(QuestProgress {
        user: user("u1"),
        campaign: CampaignId(Uuid::from_u128(7)),
        cycle: 1,
        steps: Vec::new(),
    });
    hub.announce_progress(&[progress.clone(), progress.clone(), progress.clone()]);
    assert_eq!(hub.metrics().lagging.get(), 0);
    session.ready().await.unwrap();
    assert!(matches!(session.next_ready(), Some(Delivery::Progress(p)) if *p == *progress));
    assert!(matches!(session.next_ready(), Some(Delivery::Progress(_))));
    assert!(session.next_ready().is_none());
    hub.announce(&[ledger.commit("u1", 1)]);
    assert_eq!(drain(&mut session).await.0, [1]);
    // Who does not follow it was given no progress, and had room for what it is there for.
    assert!(
        matches!(plain.ready().await.map(|()| plain.next_ready()), Ok(Some(Delivery::Incentive(f))) if f.seq() == 1)
    );
}

#[test]
fn its_counters_can_be_read() {
    let mut registry = prometheus_client::registry::Registry::default();
    let (hub, _) = hub();
    let _session = hub.subscribe(TENANT, user("u1"), Capacity::default()).unwrap();
    hub.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("\nincent_push_sessions 1\n"), "{text}");
    assert!(text.contains("\nincent_push_delivered_total 0\n"), "{text}");
}

#[test]
fn a_time_before_any_is_still_a_frame() {
    let mut one = incentive("u1", 1);
    one.issued_at = Timestamp::default();
    let text = Frame::new(Arc::new(one)).text(Dialect::Plain);
    assert!(text.ends_with(br#""issuedAt":"1970-01-01T00:00:00Z"}"#));
}

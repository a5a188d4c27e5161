//! What is said, word by word.

use std::time::Duration;

use domain::id::{CampaignId, IncentiveId};
use domain::incentive::{Incentive, RewardType};
use engine::hub::{Presence, QuestProgress, StepProgress};
use engine::ports::Announce as _;
use http::push::PushSettings;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::world::{Client, TENANT, World, quiet};

fn coupon() -> Incentive {
    Incentive {
        id: IncentiveId("0197b2d6-0000-8000-8000-000000000001".parse().unwrap()),
        campaign: CampaignId("0197b2d6-0000-7000-8000-000000000002".parse().unwrap()),
        kind: RewardType::Coupon,
        currency: "EUR".into(),
        amount: "12.50".parse().unwrap(),
        coupon_code: Some("SAVE-1".into()),
        issued_at: "2025-06-27T12:34:56.250Z".parse().unwrap(),
        ..testkit::incentive::incentive(TENANT, "u1", 1)
    }
}

#[tokio::test]
async fn a_plain_client_gets_exactly_the_notification() {
    let world = World::new(quiet()).await;
    let mut client = world.plain("u1").await;
    world.hub.announce(&[world.store.commit_this(coupon())]);
    assert_eq!(
        client.text().await,
        concat!(
            r#"{"type":"INCENTIVE_NOTIFICATION","#,
            r#""incentiveId":"0197b2d6-0000-8000-8000-000000000001","#,
            r#""campaignId":"0197b2d6-0000-7000-8000-000000000002","#,
            r#""reward":{"currency":"EUR","amount":12.5},"issuedAt":"2025-06-27T12:34:56Z"}"#
        )
    );
    world.grant("u1", [2]);
    let second = client.json().await;
    assert_eq!(second["reward"], json!({"currency": "POINTS", "amount": 50}));
    let fields: Vec<_> = second.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["campaignId", "incentiveId", "issuedAt", "reward", "type"]);
}

#[tokio::test]
async fn a_v1_client_gets_more() {
    let world = World::new(quiet()).await;
    let (mut client, hello) = world.v1("u1").await;
    assert_eq!(
        hello,
        json!({"type": "HELLO", "userId": "u1", "lastSeq": 0, "pingSeconds": 25,
               "expiresAt": "2025-06-27T12:59:30Z"})
    );
    assert_eq!(client.resume(0).await, (0, 0));
    world.hub.announce(&[world.store.commit_this(coupon())]);
    assert_eq!(
        client.json().await,
        json!({
            "type": "INCENTIVE_NOTIFICATION",
            "incentiveId": "0197b2d6-0000-8000-8000-000000000001",
            "campaignId": "0197b2d6-0000-7000-8000-000000000002",
            "reward": {"currency": "EUR", "amount": 12.5},
            "issuedAt": "2025-06-27T12:34:56.25Z",
            "seq": 1, "eventId": "e-1", "kind": "COUPON", "couponCode": "SAVE-1",
        })
    );
    world.hub.announce_progress(&[std::sync::Arc::new(QuestProgress {
        user: World::user("u1"),
        campaign: coupon().campaign,
        cycle: 1,
        steps: vec![StepProgress { step: "buy".into(), value: 2.into(), is_done: false }],
    })]);
    assert_eq!(
        client.json().await,
        json!({
            "type": "PROGRESS",
            "campaignId": "0197b2d6-0000-7000-8000-000000000002",
            "cycle": 1,
            "steps": [{"step": "buy", "value": 2, "done": false}],
        })
    );
}

#[tokio::test]
async fn a_plain_client_is_told_nothing_else() {
    let world = World::new(quiet()).await;
    let mut client = world.plain("u1").await;
    client.say("how are you?").await;
    client.say(r#"{"type":"ACK","seq":99}"#).await;
    world.hub.announce_progress(&[std::sync::Arc::new(QuestProgress {
        user: World::user("u1"),
        campaign: coupon().campaign,
        cycle: 1,
        steps: Vec::new(),
    })]);
    world.grant("u1", [1]);
    assert_eq!(client.json().await["type"], "INCENTIVE_NOTIFICATION");
}

#[tokio::test]
async fn without_a_resume_it_goes_on_with_what_is_new() {
    let settings = PushSettings { resume_within: Duration::from_millis(20), ..quiet() };
    let world = World::new(settings).await;
    world.grant("u1", 1..=3);
    let (mut client, hello) = world.v1("u1").await;
    assert_eq!(hello["lastSeq"], 3);
    world.grant("u1", 4..=6);
    assert_eq!(client.seqs(3).await, [4, 5, 6]);
}

#[tokio::test]
async fn acknowledgements_can_be_seen() {
    let world = World::new(quiet()).await;
    let (mut client, _) = world.v1("u1").await;
    client.resume(0).await;
    world.grant("u1", 1..=3);
    assert_eq!(client.seqs(3).await, [1, 2, 3]);
    client.say(r#"{"type":"ACK","seq":2}"#).await;
    client.say(r#"{"type":"ACK","seq":4}"#).await;
    let error = client.json().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("ERROR"), &json!("ACK_AHEAD")));
    let presence = world.hub.presence(World::user("u1"));
    assert_eq!(presence, [Presence { session: 1, delivered: 3, acknowledged: 2 }]);
    assert_eq!(world.hub.metrics().acknowledged.get(), 2);
}

#[tokio::test]
async fn a_message_that_is_none_is_answered() {
    let world = World::new(quiet()).await;
    let (mut client, _) = world.v1("u1").await;
    for text in ["ping", "[]", r#"{"type":"SUBSCRIBE"}"#, r#"{"type":"RESUME","afterSeq":-1}"#] {
        client.say(text).await;
        let error = client.json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("ERROR"), &json!("BAD_MESSAGE")));
        assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    assert_eq!(client.resume(0).await, (0, 0));
}

#[tokio::test]
async fn a_ping_of_the_client_is_answered() {
    use futures_util::{SinkExt as _, StreamExt as _};
    let world = World::new(quiet()).await;
    let Client(mut socket) = world.plain("u1").await;
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    let answer = super::world::soon("a pong", socket.next()).await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("are you there".into()));
}

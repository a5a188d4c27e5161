//! Who may listen, how they show it, and for how long.

use std::time::Duration;

use engine::hub::HubSettings;
use http::push::{Close, Origins, PushSettings};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::world::{World, hub_settings, quiet, soon};

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn a_token_among_the_subprotocols() {
    let world = World::new(quiet()).await;
    for (offered, answered) in [
        ("incent.v1, bearer.good.u1", Some("incent.v1")),
        ("bearer.good.u1, incent.v1", Some("incent.v1")),
        ("incent.plain, bearer.good.u1", Some("incent.plain")),
    ] {
        let (mut client, response) =
            world.try_connect("/ws", &[(PROTOCOL, offered)]).await.unwrap();
        let chosen = response.headers().get(PROTOCOL).map(|value| value.to_str().unwrap());
        assert_eq!(chosen, answered, "{offered}");
        if answered == Some("incent.v1") {
            assert_eq!(client.json().await["userId"], "u1");
        }
    }
}

#[tokio::test]
async fn a_token_as_the_first_message() {
    let world = World::new(quiet()).await;
    let (mut client, _) = world.try_connect("/ws", &[(PROTOCOL, "incent.v1")]).await.unwrap();
    assert_eq!(world.hub.sessions(), 0);
    client.say(r#"{"type":"AUTH","token":"good.u1"}"#).await;
    assert_eq!(client.json().await["userId"], "u1");
    // The cursor can come along.
    world.grant("u1", 1..=3);
    let (mut next, _) = world.try_connect("/ws", &[(PROTOCOL, "incent.v1")]).await.unwrap();
    next.say(r#"{"type":"AUTH","token":"good.u1","afterSeq":1}"#).await;
    assert_eq!(next.json().await["lastSeq"], 3);
    assert_eq!(next.json().await["type"], "RESUMED");
    assert_eq!(next.seqs(2).await, [2, 3]);
}

#[tokio::test]
async fn bad_tokens_are_refused_wherever_they_stand() {
    let world = World::new(quiet()).await;
    let tokens = [
        ("nonsense.7f3a", 401, Close::TokenRefused),
        ("expired.7f3a", 401, Close::TokenExpired),
        ("brief.7f3a.0", 401, Close::TokenExpired),
        ("brief.7f3a.-1000", 401, Close::TokenExpired),
        ("down.7f3a", 503, Close::Unavailable),
    ];
    for (token, status, close) in tokens {
        let header = format!("Bearer {token}");
        let (got, problem) = world.refused("/ws", &[("authorization", &header)]).await;
        assert_eq!(got, status, "{token}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(!problem.to_string().contains("7f3a"), "the answer repeats the token");

        let offered = format!("incent.v1, bearer.{token}");
        let (mut client, response) =
            world.try_connect("/ws", &[(PROTOCOL, &offered)]).await.unwrap();
        assert_eq!(response.headers()[PROTOCOL], "incent.v1");
        let expected = (close.code(), close.reason().to_owned());
        assert_eq!(client.closed().await, expected, "{token}");

        let (mut client, _) = world.try_connect("/ws", &[]).await.unwrap();
        client.say(&format!(r#"{{"type":"AUTH","token":"{token}"}}"#)).await;
        assert_eq!(client.closed().await, expected, "{token}");
    }
    assert_eq!(world.hub.sessions(), 0);
}

#[tokio::test]
async fn what_is_no_credential_is_refused() {
    let world = World::new(quiet()).await;
    for headers in [
        vec![("authorization", "")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Basic good.u1")],
        vec![("authorization", "good.u1")],
        vec![("authorization", "Bearer good.u1"), ("authorization", "Bearer good.u2")],
        vec![(PROTOCOL, "incent.v1, bearer.")],
        vec![(PROTOCOL, "incent.v1, bearer.good.u1, bearer.good.u2")],
        // The header counts when there is one.
        vec![("authorization", "Bearer no"), (PROTOCOL, "incent.v1, bearer.good.u1")],
    ] {
        let (status, problem) = world.refused("/ws", &headers).await;
        assert_eq!((status, problem["code"].as_str()), (401, Some("UNAUTHENTICATED")));
    }
    // A token in the address is none: it would end up in logs.
    let (mut client, _) = world.try_connect("/ws?token=good.u1", &[]).await.unwrap();
    client.say(r#"{"type":"RESUME","afterSeq":0}"#).await;
    assert_eq!(client.closed().await.0, 4100);
}

#[tokio::test]
async fn the_first_message_must_be_a_token() {
    let world = World::new(quiet()).await;
    for (message, code) in [
        (Message::text("hello"), 4104),
        (Message::text(r#"{"type":"AUTH"}"#), 4104),
        (Message::text(r#"{"type":"ACK","seq":1}"#), 4100),
        (Message::binary("AUTH"), 4104),
    ] {
        use futures_util::SinkExt as _;
        let (mut client, _) = world.try_connect("/ws", &[]).await.unwrap();
        client.0.send(message.clone()).await.unwrap();
        assert_eq!(client.closed().await.0, code, "{message:?}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_come_in_time() {
    let world =
        World::new(PushSettings { auth_within: Duration::from_millis(30), ..quiet() }).await;
    let (mut client, _) = world.try_connect("/ws", &[]).await.unwrap();
    assert_eq!(client.closed().await.0, 4004);
}

#[tokio::test]
async fn those_without_a_token_are_few() {
    let world = World::new(PushSettings { unauthenticated: 1, ..quiet() }).await;
    let (mut client, _) = world.try_connect("/ws", &[]).await.unwrap();
    let (status, problem) = world.refused("/ws", &[]).await;
    assert_eq!((status, &problem["retryable"]), (503, &true.into()), "{problem}");
    client.say(r#"{"type":"AUTH","token":"good.u1"}"#).await;
    world.grant("u1", [1]);
    // Its place is free as soon as it has shown its token.
    let (mut next, _) = soon("a free place", async {
        loop {
            match world.try_connect("/ws", &[]).await {
                Ok(taken) => return taken,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    next.say(r#"{"type":"AUTH","token":"good.u2"}"#).await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let world = World::new(quiet()).await;
    let headers = [("authorization", "Bearer brief.u1.60")];
    let (mut client, _) = world.try_connect("/ws", &headers).await.unwrap();
    assert_eq!(client.closed().await.0, 4101);
    world.emptied().await;
}

#[tokio::test]
async fn a_newer_token_counts_from_then_on() {
    let world = World::new(quiet()).await;
    let headers = [("authorization", "Bearer brief.u1.60000"), (PROTOCOL, "incent.v1")];
    let (mut client, _) = world.try_connect("/ws", &headers).await.unwrap();
    client.json().await;
    client.say(r#"{"type":"AUTH","token":"brief.u1.3600000"}"#).await;
    let renewed = client.json().await;
    assert_eq!(renewed["type"], "RENEWED");
    assert_eq!(renewed["expiresAt"], "2025-06-27T12:59:30Z");
    // And a shorter one shortens it.
    client.say(r#"{"type":"AUTH","token":"brief.u1.1"}"#).await;
    assert_eq!(client.json().await["type"], "RENEWED");
    assert_eq!(client.closed().await.0, 4101);
}

#[tokio::test]
async fn a_newer_token_must_be_the_same_users() {
    let world = World::new(quiet()).await;
    for token in ["good.u2", "nonsense"] {
        let (mut client, _) = world.v1("u1").await;
        client.say(&format!(r#"{{"type":"AUTH","token":"{token}"}}"#)).await;
        assert_eq!(client.closed().await.0, 4100, "{token}");
    }
}

#[tokio::test]
async fn only_listed_web_pages() {
    let listed = Origins::Listed(["https://shop.example".to_owned()].into());
    let world = World::new(PushSettings { origins: listed, ..quiet() }).await;
    let token = ("authorization", "Bearer good.u1");
    for (origin, taken) in [
        (None, true),
        (Some("https://shop.example"), true),
        (Some("https://SHOP.example"), true),
        (Some("http://shop.example"), false),
        (Some("https://shop.example.evil.example"), false),
        (Some("null"), false),
    ] {
        let headers: Vec<_> = [token].into_iter().chain(origin.map(|o| ("origin", o))).collect();
        if taken {
            world.try_connect("/ws", &headers).await.unwrap();
        } else {
            assert_eq!(world.refused("/ws", &headers).await.0, 403, "{origin:?}");
        }
    }
}

#[tokio::test]
async fn one_device_too_many_signs_the_oldest_out() {
    let world = World::new(quiet()).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(world.plain("u1").await);
    }
    let mut other = world.plain("u2").await;
    assert_eq!(clients[0].closed().await.0, 4103);
    world.grant("u1", [1]);
    world.grant("u2", [1]);
    for client in clients[1..].iter_mut().chain([&mut other]) {
        assert_eq!(client.json().await["type"], "INCENTIVE_NOTIFICATION");
    }
}

#[tokio::test]
async fn a_full_server_says_so() {
    let hub = HubSettings { sessions: 1, ..hub_settings() };
    let world = World::with(hub, quiet()).await;
    let _first = world.plain("u1").await;
    let (status, _) = world.refused("/ws", &[("authorization", "Bearer good.u2")]).await;
    assert_eq!(status, 503);
    let offered = [(PROTOCOL, "incent.plain, bearer.good.u2")];
    let (mut client, _) = world.try_connect("/ws", &offered).await.unwrap();
    assert_eq!(client.closed().await.0, 4005);
}

#[tokio::test]
async fn revoking_ends_it_for_good() {
    let world = World::new(quiet()).await;
    let mut client = world.plain("u1").await;
    world.hub.revoke_user(World::user("u1"));
    let (code, _) = client.closed().await;
    assert_eq!(code, 4102);
}

#[tokio::test]
async fn draining_says_resume() {
    let world = World::new(quiet()).await;
    let mut plain = world.plain("u1").await;
    let (mut v1, _) = world.v1("u2").await;
    // This one has not shown its token yet.
    let (mut late, _) = world.try_connect("/ws", &[]).await.unwrap();
    let drained = tokio::spawn({
        let push = world.push.clone();
        async move { push.drain().await }
    });
    assert_eq!(plain.closed().await.0, 4000);
    assert_eq!(v1.closed().await.0, 4000);
    soon("the drain", drained).await.unwrap();
    late.say(r#"{"type":"AUTH","token":"good.u3"}"#).await;
    assert_eq!(late.closed().await.0, 4000);
    assert_eq!(world.refused("/ws", &[("authorization", "Bearer good.u1")]).await.0, 503);
}

#[test]
fn codes_keep_to_their_ranges() {
    let reconnect = [
        Close::GoingAway,
        Close::SlowReader,
        Close::Silent,
        Close::Unavailable,
        Close::AuthTimeout,
        Close::Full,
    ];
    let stop = [
        Close::TokenRefused,
        Close::TokenExpired,
        Close::Revoked,
        Close::TooManyDevices,
        Close::BadMessage,
        Close::TooManyMessages,
    ];
    for close in reconnect {
        assert!((4000..4100).contains(&close.code()) && close.says_reconnect(), "{close:?}");
    }
    for close in stop {
        assert!((4100..4200).contains(&close.code()) && !close.says_reconnect(), "{close:?}");
    }
    for close in reconnect.into_iter().chain(stop) {
        assert!(close.reason().len() <= 123, "{close:?}");
    }
}

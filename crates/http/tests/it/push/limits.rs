//! What a client may send.

use std::time::Duration;

use futures_util::SinkExt as _;
use http::push::PushSettings;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::world::{World, quiet};

fn strict() -> PushSettings {
    PushSettings {
        message_bytes: 1024,
        messages_per_second: 1,
        messages_burst: 5,
        close_within: Duration::from_secs(10),
        ..quiet()
    }
}

#[tokio::test]
async fn large_messages() {
    let world = World::new(strict()).await;
    let fits = format!(r#"{{"type":"RESUME","afterSeq":{}}}"#, " ".repeat(990) + "0");
    assert!(fits.len() <= 1024);
    for protocol in ["incent.v1", "incent.plain"] {
        let headers = [("authorization", "Bearer good.u1"), ("sec-websocket-protocol", protocol)];
        let (mut client, _) = world.try_connect("/ws", &headers).await.unwrap();
        client.say(&fits).await;
        client.say(&"x".repeat(1025)).await;
        assert_eq!(client.closed().await.0, 1009, "{protocol}");
    }
    // Before the token as well.
    let (mut client, _) = world.try_connect("/ws", &[]).await.unwrap();
    client.say(&"x".repeat(1025)).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn whoever_acknowledges_each_frame_may_do_so_as_fast_as_they_come() {
    let world = World::new(strict()).await;
    let (mut client, _) = world.v1("u1").await;
    client.resume(0).await;
    world.grant("u1", 1..=200);
    for seq in client.seqs(200).await {
        client.say(&format!(r#"{{"type":"ACK","seq":{seq}}}"#)).await;
    }
    world.grant("u1", 201..=201);
    assert_eq!(client.seqs(1).await, [201]);
    // What acknowledges nothing new counts as any other message.
    for _ in 0..20 {
        if client.0.send(Message::text(r#"{"type":"ACK","seq":200}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(client.closed().await.0, 4105);
    assert_eq!(world.hub.metrics().acknowledged.get(), 200);
}

#[tokio::test]
async fn too_many_messages() {
    let world = World::new(strict()).await;
    for message in [
        Message::text(r#"{"type":"ACK","seq":0}"#),
        Message::text("nonsense"),
        Message::Ping("x".into()),
        Message::Pong("x".into()),
    ] {
        let mut client = world.plain("u1").await;
        for _ in 0..20 {
            // It may be closed before the last one is sent.
            if client.0.send(message.clone()).await.is_err() {
                break;
            }
        }
        assert_eq!(client.closed().await.0, 4105, "{message:?}");
    }
    // Before the token as well.
    let (mut client, _) = world.try_connect("/ws", &[]).await.unwrap();
    for _ in 0..20 {
        if client.0.send(Message::Ping("x".into())).await.is_err() {
            break;
        }
    }
    assert_eq!(client.closed().await.0, 4105);
}

#[tokio::test]
async fn binary_messages() {
    let world = World::new(quiet()).await;
    let mut client = world.plain("u1").await;
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.closed().await.0, 4104);
}

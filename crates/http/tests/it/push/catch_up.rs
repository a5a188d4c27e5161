//! Each incentive once, in order, without a hole: whatever the connection goes through.

use std::sync::Arc;

use engine::hub::HubSettings;
use engine::ports::Announce as _;
use testkit::random::Random;

use super::world::{World, hub_settings, narrow, quiet};

#[tokio::test]
async fn resume_reads_page_by_page_and_goes_live() {
    let world = World::new(quiet()).await;
    world.grant("u1", 1..=23);
    let (mut client, hello) = world.v1("u1").await;
    assert_eq!(hello["lastSeq"], 23);
    assert_eq!(client.resume(2).await, (2, 23));
    assert_eq!(client.seqs(21).await, (3..=23).collect::<Vec<_>>());
    world.grant("u1", 24..=25);
    assert_eq!(client.seqs(2).await, [24, 25]);
    // Once more, from further back.
    assert_eq!(client.resume(20).await, (20, 25));
    assert_eq!(client.seqs(5).await, (21..=25).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_address_can_say_from_where() {
    let world = World::new(quiet()).await;
    world.grant("u1", 1..=3);
    let headers = [("authorization", "Bearer good.u1"), ("sec-websocket-protocol", "incent.v1")];
    let (mut client, _) = world.try_connect("/ws?afterSeq=1", &headers).await.unwrap();
    assert_eq!(client.json().await["type"], "HELLO");
    assert_eq!(client.json().await["type"], "RESUMED");
    assert_eq!(client.seqs(2).await, [2, 3]);
    for bad in ["/ws?afterSeq=", "/ws?afterSeq=-1", "/ws?afterSeq=x", "/ws?afterSeq=1&afterSeq=2"] {
        let (status, problem) = world.refused(bad, &headers).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &"/afterSeq".into()), "{bad}");
    }
}

#[tokio::test]
async fn a_client_ahead_of_the_store_is_set_back() {
    let world = World::new(quiet()).await;
    world.grant("u1", [1]);
    let (mut client, _) = world.v1("u1").await;
    assert_eq!(client.resume(99).await, (1, 1));
    world.grant("u1", [2]);
    assert_eq!(client.seqs(1).await, [2]);
}

#[tokio::test]
async fn what_is_past_the_retention_is_named() {
    let world = World::new(quiet()).await;
    world.grant("u1", 1..=9);
    world.store.purge(6);
    let (mut client, _) = world.v1("u1").await;
    client.resume(2).await;
    let missing = client.json().await;
    let expected = serde_json::json!({"type": "MISSING", "fromSeq": 3, "toSeq": 6});
    assert_eq!(missing, expected);
    assert_eq!(client.seqs(3).await, [7, 8, 9]);
}

#[tokio::test]
async fn a_store_that_is_down() {
    let world = World::new(narrow(1)).await;
    let (mut client, _) = world.v1("u1").await;
    world.store.set_down(true);
    let authorization = ("authorization", "Bearer good.u1");
    assert_eq!(world.refused("/ws", &[authorization]).await.0, 503);
    client.say(r#"{"type":"RESUME","afterSeq":0}"#).await;
    assert_eq!(client.closed().await.0, 4003);
    world.store.set_down(false);
    let (mut client, _) = world.v1("u1").await;
    world.grant("u1", 1..=3);
    client.resume(0).await;
    assert_eq!(client.seqs(3).await, [1, 2, 3]);
}

/// Clients that come and go while incentives are granted without a pause, with announcements that
/// come twice, late or never, and queues far too small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hole_under_live_traffic() {
    const LAST: u64 = 1500;
    // A connection that a client dropped counts as a device until the server notices.
    let hub_settings = HubSettings { devices_per_user: 10_000, ..hub_settings() };
    let world = Arc::new(World::with(hub_settings, narrow(8)).await);
    let traffic = tokio::spawn({
        let world = world.clone();
        async move {
            let mut random = Random(1);
            let mut late = Vec::new();
            for seq in 1..LAST {
                let event = world.commit("u1", seq);
                match random.below(8) {
                    0 => late.push(event),
                    1 => world.hub.announce(&[event.clone(), event]),
                    2 => {}
                    _ => world.hub.announce(&[event]),
                }
                if random.below(16) == 0 {
                    world.hub.announce(&std::mem::take(&mut late));
                }
                if random.below(4) == 0 {
                    tokio::task::yield_now().await;
                }
            }
            world.grant("u1", [LAST]);
        }
    });
    let clients = (0..3).map(|number| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut random = Random(100 + number);
            let mut seen = 0;
            while seen < LAST {
                let (mut client, _) = world.v1("u1").await;
                assert_eq!(client.resume(seen).await.0, seen);
                for _ in 0..1 + random.below(400).min(LAST - seen - 1) {
                    let seq = client.seqs(1).await[0];
                    assert_eq!(seq, seen + 1, "client {number}");
                    seen = seq;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    traffic.await.unwrap();
}

#[tokio::test]
async fn a_lagging_reader_gets_everything_in_order_and_harms_nobody() {
    const LAST: u64 = 30_000;
    let world = World::new(narrow(64)).await;
    let (mut frozen, _) = world.v1("u1").await;
    frozen.resume(0).await;
    let (mut reader, _) = world.v1("u1").await;
    reader.resume(0).await;
    // More than any socket buffers: the frozen one cannot be written to for long.
    for start in (1..=LAST).step_by(50) {
        world.grant("u1", start..start + 50);
        assert_eq!(reader.seqs(50).await, (start..start + 50).collect::<Vec<_>>());
    }
    assert!(world.hub.metrics().lagging.get() >= 1);
    let [slow, _] = world.hub.presence(World::user("u1"))[..] else { panic!("two sessions") };
    assert!(slow.delivered < LAST, "it was not frozen");
    for start in (1..=LAST).step_by(50) {
        assert_eq!(frozen.seqs(50).await, (start..start + 50).collect::<Vec<_>>());
    }
}

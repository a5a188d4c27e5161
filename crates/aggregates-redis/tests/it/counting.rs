//! Rows are counted once, whoever delivers them how often.

use engine::aggregates::{Aggregates as _, Leaderboard};

use crate::stage::{LONG, OTHER, Stage, TENANT, campaign};

const EVER: std::time::Duration = LONG.saturating_mul(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_and_leaders_are_those_of_the_rows() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let batch = [
        ("ada", 1, 10, "EUR", "2.11"),
        ("bob", 1, 10, "EUR", "0.00000001"),
        ("ada", 2, 10, "POINTS", "50"),
        ("ada|}{*", 2, 11, "air miles", "12345678901234567890.12345678"),
        ("bob", 1, 11, "EUR", "2.10999999"),
        ("eve", 1, 12, "EUR", "2.11"),
    ];
    let rows = stage.rows.grant(TENANT, 0, &batch);
    stage.feed.deliver(&rows[..2]).await;
    stage.feed.deliver(&rows[2..]).await;
    stage.agrees(TENANT).await;
    // Bob, Eve and Ada have the same: Ada was there first, Bob next.
    let board = Leaderboard { campaign: Some(campaign(1)), day: None, currency: "EUR".to_owned() };
    let leaders = stage.keeper.leaders(TENANT, &board, 9).await.expect("leaders").rows;
    let names: Vec<&str> = leaders.iter().map(|leader| leader.user.as_str()).collect();
    assert_eq!(names, ["ada", "bob", "eve"]);
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_again_is_not_counted_again() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let first =
        stage.rows.grant(TENANT, 0, &[("ada", 1, 10, "EUR", "1"), ("bob", 1, 10, "EUR", "2")]);
    let other = stage.rows.grant(OTHER, 0, &[("ada", 3, 10, "EUR", "7")]);
    let moved = stage.rows.grant(TENANT, 1, &[("ada", 1, 10, "EUR", "4")]);
    let all = [&first[..], &other, &moved].concat();
    stage.feed.deliver(&all).await;
    for again in [&all[..], &first[1..], &moved, &other, &all] {
        stage.feed.deliver(again).await;
    }
    let later = stage.rows.grant(TENANT, 0, &[("ada", 2, 11, "EUR", "8")]);
    stage.feed.deliver(&[&later[..], &all, &later].concat()).await;
    stage.agrees(TENANT).await;
    stage.agrees(OTHER).await;
    aggregator.stop().await;
}

/// One that hung and wakes up, beside the one that has taken its work over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_count_once() {
    let stage = Stage::new();
    let aggregators = [stage.aggregator(EVER), stage.aggregator(EVER), stage.aggregator(EVER)];
    let users: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    for day in 0..10 {
        let batch: Vec<_> = users.iter().map(|u| (u.as_str(), 1, day, "EUR", "0.1")).collect();
        let rows = stage.rows.grant(TENANT, day % 2, &batch);
        tokio::join!(
            stage.feed.deliver(&rows),
            stage.feed.deliver(&rows),
            stage.feed.deliver(&rows[..20])
        );
    }
    stage.agrees(TENANT).await;
    for aggregator in aggregators {
        aggregator.stop().await;
    }
}

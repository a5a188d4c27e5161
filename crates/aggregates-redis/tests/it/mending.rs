//! What is missing or wrong is noticed, and made anew from the ledger.

use std::time::Duration;

use aggregates_redis::Comparison;

use crate::stage::{LONG, OTHER, Stage, TENANT, until};

const EVER: Duration = LONG.saturating_mul(60);
const OFTEN: Duration = Duration::from_millis(20);

fn eur<'a>(user: &'a str, day: i32, amount: &'a str) -> (&'a str, u128, i32, &'a str, &'a str) {
    (user, 1, day, "EUR", amount)
}

/// F: Redis is emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_filled_again_with_the_next_row() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1"), eur("bob", 1, "2")]);
    stage.feed.deliver(&rows).await;
    stage.server.ask(&["flushall"]);
    let rows = stage.rows.grant(TENANT, 0, &[eur("eve", 2, "3")]);
    stage.feed.deliver(&rows).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_noticed_without_any_row() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(OFTEN);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1"), eur("bob", 1, "2")]);
    stage.feed.deliver(&rows).await;
    stage.server.ask(&["flushall"]);
    mended(&stage).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

async fn mended(stage: &Stage) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let right = async {
        loop {
            ticks.tick().await;
            let compared = stage.keeper.compare(TENANT, None).await.expect("compares");
            if compared.comparison == Comparison::Right && compared.behind == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, right).await.expect("mended by itself");
}

/// Redis comes back with an old copy of its data: rows counted since are gone, and nobody delivers
/// them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_is_noticed_by_the_users_numbers() {
    let mut stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1"), eur("bob", 1, "2")]);
    stage.feed.deliver(&rows).await;
    stage.server.keep_copy();
    let lost = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "10"), eur("bob", 1, "20")]);
    stage.feed.deliver(&lost).await;
    stage.server.restart();
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 2, "100")]);
    stage.feed.deliver(&rows).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

/// F21: the slot was dropped. Whoever earns again tells that rows are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_never_came_are_noticed_at_the_users_next() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1"), eur("bob", 1, "2")]);
    stage.feed.deliver(&rows).await;
    stage.rows.grant(TENANT, 0, &[eur("ada", 1, "10"), eur("bob", 1, "20")]);
    let rows = stage.rows.grant(TENANT, 0, &[eur("bob", 2, "3")]);
    stage.feed.deliver(&rows).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

/// The same, of a user who earns nothing more: the comparison with the ledger tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_never_came_are_drift() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1"), eur("bob", 1, "2")]);
    stage.feed.deliver(&rows).await;
    stage.rows.grant(TENANT, 0, &[eur("ada", 1, "10"), eur("ada", 1, "20")]);
    let rows = stage.rows.grant(TENANT, 0, &[eur("bob", 2, "3")]);
    stage.feed.deliver(&rows).await;
    let compared = stage.keeper.compare(TENANT, None).await.expect("compares");
    assert_eq!((compared.comparison, compared.behind), (Comparison::Drift(2), 0));
    aggregator.stop().await;

    let aggregator = stage.aggregator(OFTEN);
    mended(&stage).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

/// The connector stands still: what it does not bring is read from the ledger, and counts once when
/// it comes after all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_stands_still_is_made_up_for() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(OFTEN);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1")]);
    stage.feed.deliver(&rows).await;
    let stuck = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "10"), eur("bob", 1, "20")]);
    mended(&stage).await;
    stage.feed.deliver(&stuck).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

/// Made anew while rows are counted, again and again, by two at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn making_anew_loses_nothing_that_is_counted_meanwhile() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let users: Vec<String> = (0..30).map(|n| format!("u{n}")).collect();
    let rows = stage.rows.grant(TENANT, 0, &[eur("u0", 0, "1")]);
    stage.feed.deliver(&rows).await;
    let counting = async {
        for day in 0..30 {
            let batch: Vec<_> = users.iter().map(|user| eur(user, day, "1.5")).collect();
            let rows = stage.rows.grant(TENANT, day % 3, &batch);
            stage.feed.deliver(&rows).await;
        }
    };
    let making = async {
        for _ in 0..15 {
            // One of two that begin at the same time is told that the other does it.
            let (one, other) =
                tokio::join!(stage.keeper.rebuild(TENANT), stage.keeper.rebuild(TENANT));
            assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        }
    };
    tokio::join!(counting, making);
    stage.agrees(TENANT).await;
    // Nothing is left of those that are not in use.
    let keys = stage.server.ask(&["keys", "agg:*:g:*"]);
    let mut generations: Vec<&str> =
        keys.iter().filter_map(|key| key.split(":g:").nth(1)?.split(':').next()).collect();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), 1, "{generations:?}");
    aggregator.stop().await;
}

/// One that died in the middle of making anew: its keys go with the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_left_is_removed() {
    let stage = Stage::new();
    stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1")]);
    stage.rows.grant(OTHER, 0, &[eur("ada", 1, "1")]);
    let dead = format!("agg:{{{TENANT}}}:g:dead:days");
    let others = format!("agg:{{{OTHER}}}:g:dead:days");
    for key in [&dead, &others] {
        stage.server.ask(&["hset", key, "*|1|EUR", "9 9 9"]);
    }
    stage.server.ask(&["set", &format!("agg:{{{TENANT}}}:unclean"), "1"]);
    stage.keeper.rebuild(TENANT).await.expect("made anew");
    assert_eq!(stage.server.ask(&["exists", &dead]), ["0"]);
    assert_eq!(stage.server.ask(&["exists", &others]), ["1"], "another tenant's");
    stage.agrees(TENANT).await;
    until("nobody makes one any more", || {
        stage.server.ask(&["exists", &format!("agg:{{{TENANT}}}:making")]) == ["0"]
    })
    .await;
}

/// Somebody has written what no program of ours can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_made_anew() {
    let stage = Stage::new();
    let aggregator = stage.aggregator(EVER);
    let rows = stage.rows.grant(TENANT, 0, &[eur("ada", 1, "1")]);
    stage.feed.deliver(&rows).await;
    let key = stage.server.ask(&["keys", "agg:*:g:*:days"]).remove(0);
    let field = stage.server.ask(&["hkeys", &key]).remove(0);
    stage.server.ask(&["hset", &key, &field, "rubbish"]);
    let compared = stage.keeper.compare(TENANT, None).await.expect("compares");
    assert_eq!(compared.comparison, Comparison::Drift(1));
    let rows = stage.rows.grant(TENANT, 0, &[eur("bob", 1, "1")]);
    stage.feed.deliver(&rows).await;
    stage.agrees(TENANT).await;
    aggregator.stop().await;
}

//! Redis emptied, set back, gone, slow, frozen and full: never an error, and right again by itself.

use std::time::Duration;

use engine::ports::{Advice, LimitGate as _};
use testkit::proxy::{FaultProxy, Target};
use testkit::redis::RedisServer;

use crate::gate::stage;
use crate::stage::{Caps, Gate, LONG, Ledger, now, reserved, settings, shown, until};

/// Decides and commits one batch, whatever Redis says.
async fn decide(gate: &Gate, ledger: &Ledger, batch: i64, grants: &[(u128, &str)]) -> Advice {
    let batch = ledger.plan((0, 1, batch), grants);
    let advice = gate.reserve(&batch).await;
    ledger.commit(&batch);
    gate.limits.settle(batch);
    advice
}

/// Decides batches of one incentive for Ada until one of them has an answer.
async fn asked_again(gate: &Gate, ledger: &Ledger, batch: &mut i64) {
    let answered = async {
        loop {
            *batch += 1;
            let id = 1_000_000 + u128::try_from(*batch).expect("positive");
            if decide(gate, ledger, *batch, &[(id, "ada")]).await == Advice::Room {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, answered).await.expect("it is asked again");
    gate.barrier().await;
}

/// Decides batches of one incentive for Ada, each following on `batch`, until Redis shows what the
/// tenant has used: what was left out is made up for by a later batch. Each is given its time, for a
/// batch at every look would keep Redis one batch behind for ever.
async fn settles_again(server: &RedisServer, ledger: &Ledger, gate: &Gate, mut batch: i64) {
    const LOOKS: u32 = 200;
    let is_right =
        || shown(server).get("daily").is_some_and(|used| used.parse() == Ok(ledger.tenant_used()));
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let settled = async {
        loop {
            batch += 1;
            let id = 2_000_000 + u128::try_from(batch).expect("positive");
            decide(gate, ledger, batch, &[(id, "ada")]).await;
            for _ in 0..LOOKS {
                if is_right() {
                    return;
                }
                ticks.tick().await;
            }
        }
    };
    tokio::time::timeout(LONG, settled).await.expect("it is right again");
}

#[track_caller]
fn assert_right(server: &RedisServer, ledger: &Ledger, users: &[&str]) {
    let shown = shown(server);
    assert_eq!(shown["daily"], ledger.tenant_used().to_string());
    for user in users {
        assert_eq!(shown[&format!("{{{user}}}:daily")], ledger.used(user).to_string(), "{user}");
    }
    assert_eq!(reserved(server, ledger), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_it_is_right_with_the_next_batch() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    decide(&gate, &ledger, 1, &[(1, "ada"), (2, "bob")]).await;
    gate.barrier().await;
    for (n, command) in [(2, "flushall"), (4, "flushdb"), (6, "script flush")] {
        server.ask(&command.split(' ').collect::<Vec<_>>());
        let id = u128::try_from(n * 10).expect("positive");
        assert_eq!(decide(&gate, &ledger, n, &[(id, "ada")]).await, Advice::Room, "{command}");
        // In the middle of a batch, too.
        let batch = ledger.plan((0, 1, n + 1), &[(id + 1, "ada")]);
        gate.reserve(&batch).await;
        server.ask(&command.split(' ').collect::<Vec<_>>());
        ledger.commit(&batch);
        gate.settle(&batch).await;
        assert_right(&server, &ledger, &["ada"]);
    }
    assert!(gate.metrics.limits_events("unknown") >= 2);
    assert_eq!(gate.metrics.limits_events("lost"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_back_to_an_old_copy_it_is_found_out_and_set_right() {
    let (mut server, ledger, gate) = stage(Caps::default()).await;
    decide(&gate, &ledger, 1, &[(1, "ada"), (2, "bob"), (3, "eve")]).await;
    gate.barrier().await;
    // A copy with a reservation in it that will long be settled.
    let batch = ledger.plan((0, 1, 2), &[(4, "bob")]);
    gate.reserve(&batch).await;
    server.keep_copy();
    ledger.commit(&batch);
    gate.settle(&batch).await;
    decide(&gate, &ledger, 3, &[(5, "ada"), (6, "eve")]).await;
    gate.barrier().await;
    server.restart();
    assert_eq!(shown(&server)["{eve}:daily"], "1", "the copy is old");
    // The connection broke; whoever notices gives it up.
    asked_again(&gate, &ledger, &mut 3).await;
    // Ada's use came along; Bob's and Eve's are compared.
    gate.scrub().await;
    until("the old reservation is gone", || reserved(&server, &ledger) == 0).await;
    gate.barrier().await;
    assert_right(&server, &ledger, &["ada", "bob", "eve"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_back_while_nobody_earns_anything_it_is_set_right() {
    let mut server = RedisServer::start(&[]);
    let ledger = Ledger::on(now(&server), Caps::default());
    let settings =
        limits_redis::Settings { look_every: Duration::from_millis(20), ..settings(&server.url()) };
    let gate = Gate::open(&settings, ledger.clone(), now(&server)).await;
    decide(&gate, &ledger, 1, &[(1, "ada"), (2, "bob")]).await;
    gate.barrier().await;
    server.keep_copy();
    decide(&gate, &ledger, 2, &[(3, "ada"), (4, "bob")]).await;
    gate.barrier().await;
    server.restart();
    let used = |who: &str| shown(&server).get(who).cloned().unwrap_or_default();
    assert_eq!(used("daily"), "2", "the copy is old");
    until("it is right again", || {
        ["daily", "{ada}:daily", "{bob}:daily"].map(used) == ["4", "2", "2"]
    })
    .await;
    assert_right(&server, &ledger, &["ada", "bob"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_back_behind_a_connection_that_holds_it_is_found_out_by_the_sequence() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    decide(&gate, &ledger, 1, &[(1, "ada")]).await;
    decide(&gate, &ledger, 2, &[(2, "ada"), (3, "bob")]).await;
    gate.barrier().await;
    let state = format!("limit:{{{}}}:state", crate::stage::TENANT);
    let fields = server.ask(&["hgetall", &state]);
    // The same state again with an older sequence, as a copy would hold it.
    let sequence = fields.iter().position(|f| f == "sequence:0").expect("a sequence");
    let older = fields[sequence + 1].parse::<u64>().expect("a number") - 1;
    server.ask(&["hset", &state, "sequence:0", &older.to_string()]);
    assert_eq!(decide(&gate, &ledger, 3, &[(4, "ada")]).await, Advice::Room);
    gate.barrier().await;
    assert_eq!(gate.metrics.limits_events("stale"), 1);
    let renewed = server.ask(&["hget", &state, "generation"]);
    assert!(!fields.contains(&renewed[0]), "a generation of its own: {fields:?}");
    assert_right(&server, &ledger, &["ada", "bob"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_it_costs_nothing_and_comes_back_by_itself() {
    let (mut server, ledger, gate) = stage(Caps::default()).await;
    decide(&gate, &ledger, 1, &[(1, "ada"), (2, "bob")]).await;
    gate.barrier().await;
    server.kill();
    for n in 2..40 {
        assert_eq!(decide(&gate, &ledger, n, &[(n as u128 * 10, "ada")]).await, Advice::Silent);
    }
    assert!(!gate.limits.is_asking());
    assert!(gate.metrics.limits_events("lost") > 0);
    server.restart();
    gate.is_connected().await;
    assert_eq!(decide(&gate, &ledger, 40, &[(400, "ada")]).await, Advice::Room);
    gate.barrier().await;
    assert_right(&server, &ledger, &["ada"]);
    assert_eq!(shown(&server)["{ada}:daily"], "40");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_there_at_first_it_is_used_from_then_on() {
    let mut server = RedisServer::start(&[]);
    let (now, url) = (now(&server), server.url());
    let ledger = Ledger::on(now, Caps::default());
    server.kill();
    let gate = Gate::closed(&settings(&url), ledger.clone(), now);
    assert_eq!(decide(&gate, &ledger, 1, &[(1, "ada")]).await, Advice::Silent);
    server.restart();
    gate.is_connected().await;
    assert_eq!(decide(&gate, &ledger, 2, &[(2, "ada")]).await, Advice::Room);
    gate.barrier().await;
    assert_right(&server, &ledger, &["ada"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_waits_for_a_slow_redis_a_moment_and_the_next_not_at_all() {
    let server = RedisServer::start(&[]);
    let way = FaultProxy::to(Target::Unix(server.socket()));
    let url = format!("redis://127.0.0.1:{}", way.port());
    let ledger = Ledger::on(now(&server), Caps::default());
    let settings = limits_redis::Settings { patience: Duration::from_millis(10), ..settings(&url) };
    let gate = Gate::open(&settings, ledger.clone(), now(&server)).await;
    gate.barrier().await;
    way.delay(Duration::from_millis(60));
    // Its answers come, but later than a batch waits; what it is told is done all the same.
    for n in 1..=5 {
        let advice = decide(&gate, &ledger, n, &[(n as u128, "ada")]).await;
        assert_eq!(advice, Advice::Silent);
    }
    assert!(gate.limits.is_asking());
    until("all is settled", || shown(&server).get("daily").is_some_and(|used| used == "5")).await;
    until("nothing waits", || reserved(&server, &ledger) == 0).await;
    way.delay(Duration::ZERO);
    asked_again(&gate, &ledger, &mut 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_it_is_given_up() {
    let server = RedisServer::start(&[]);
    let ledger = Ledger::on(now(&server), Caps::default());
    let settings = limits_redis::Settings {
        patience: Duration::from_millis(10),
        answer_within: Duration::from_millis(300),
        ..settings(&server.url())
    };
    let gate = Gate::open(&settings, ledger.clone(), now(&server)).await;
    server.freeze(true);
    let mut n = 0;
    while gate.limits.is_asking() {
        n += 1;
        assert_eq!(decide(&gate, &ledger, n, &[(n as u128, "ada")]).await, Advice::Silent);
        tokio::task::yield_now().await;
    }
    server.freeze(false);
    settles_again(&server, &ledger, &gate, n).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_it_writes_all_of_a_call_or_nothing() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    decide(&gate, &ledger, 1, &[(1, "ada")]).await;
    gate.barrier().await;
    let before = shown(&server);
    server.ask(&["config", "set", "maxmemory", "1"]);
    assert_eq!(decide(&gate, &ledger, 2, &[(2, "ada"), (3, "bob")]).await, Advice::Silent);
    until("it is given up", || gate.metrics.limits_events("lost") > 0).await;
    assert_eq!(shown(&server), before);
    assert_eq!(reserved(&server, &ledger), 0);
    server.ask(&["config", "set", "maxmemory", "0"]);
    settles_again(&server, &ledger, &gate, 2).await;
    assert_eq!(shown(&server)["{ada}:daily"], ledger.used("ada").to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evicted_keys_come_back_with_their_use() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    decide(&gate, &ledger, 1, &[(1, "ada"), (2, "bob")]).await;
    gate.barrier().await;
    let tag = format!("limit:{{{}}}", crate::stage::TENANT);
    for (n, key) in [(2, "daily"), (3, "{ada}:daily"), (4, "state")] {
        server.ask(&["del", &format!("{tag}:{key}")]);
        decide(&gate, &ledger, n, &[(n as u128 * 10, "ada")]).await;
        gate.barrier().await;
        assert_right(&server, &ledger, &["ada", "bob"]);
    }
    // What somebody else wrote there is no number, or no use of today.
    for text in ["12x", "-5", "900"] {
        server.ask(&["set", &format!("{tag}:{{bob}}:daily"), text]);
        gate.scrub().await;
        assert_right(&server, &ledger, &["ada", "bob"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_is_left_out_and_made_up_for() {
    let server = RedisServer::start(&[]);
    let ledger = Ledger::on(now(&server), Caps::default());
    let settings = limits_redis::Settings { patience: Duration::ZERO, ..settings(&server.url()) };
    let gate = Gate::open(&settings, ledger.clone(), now(&server)).await;
    server.freeze(true);
    for n in 1..=500 {
        decide(&gate, &ledger, n, &[(n as u128, "ada"), (1000 + n as u128, "bob")]).await;
    }
    server.freeze(false);
    settles_again(&server, &ledger, &gate, 500).await;
    assert!(gate.metrics.limits_events("missed") > 0);
    // No further batch comes: the rest is what is done from time to time.
    gate.scrub().await;
    assert_right(&server, &ledger, &["ada", "bob"]);
}

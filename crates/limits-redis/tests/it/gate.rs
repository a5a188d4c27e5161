//! What Redis holds after each thing that a gate is told, and what it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::time::Day;
use engine::ports::{Advice, LimitGate as _};
use testkit::redis::RedisServer;

use crate::stage::{Caps, Gate, Ledger, TENANT, now, reserved, settings, shown};

/// A server, a ledger of this day and one gate.
pub async fn stage(caps: Caps) -> (RedisServer, Arc<Ledger>, Gate) {
    let server = RedisServer::start(&[]);
    let ledger = Ledger::on(now(&server), caps);
    let gate = Gate::open(&settings(&server.url()), ledger.clone(), now(&server)).await;
    (server, ledger, gate)
}

fn map<const N: usize>(of: [(&str, &str); N]) -> BTreeMap<String, String> {
    of.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

const THREE: [(u128, &str); 3] = [(1, "ada"), (2, "bob"), (3, "ada")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_plain_integers_that_expire_with_the_day() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    let batch = ledger.plan((0, 1, 1), &THREE);
    assert_eq!(gate.reserve(&batch).await, Advice::Room);
    let expected = map([("daily", "3"), ("{ada}:daily", "2"), ("{bob}:daily", "1")]);
    assert_eq!(shown(&server), expected);
    assert_eq!(reserved(&server, &ledger), 3);
    ledger.commit(&batch);
    gate.settle(&batch).await;
    assert_eq!(shown(&server), expected);
    assert_eq!(reserved(&server, &ledger), 0);
    let end = ledger.zone.start_of(Day(ledger.day.0 + 1)).micros() / 1000;
    for key in ["daily", "{ada}:daily"] {
        let key = format!("limit:{{{TENANT}}}:{key}");
        assert_eq!(server.ask(&["pexpiretime", &key]), [end.to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_incentive_is_counted_once() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    let batch = ledger.plan((0, 1, 1), &THREE);
    for _ in 0..3 {
        assert_eq!(gate.reserve(&batch).await, Advice::Room);
        assert_eq!(shown(&server)["daily"], "3");
    }
    // The owner dies and the next one decides the same records.
    let next = Gate::open(&settings(&server.url()), ledger.clone(), now(&server)).await;
    let again = ledger.plan((0, 2, 1), &THREE);
    assert_eq!(next.reserve(&again).await, Advice::Room);
    assert_eq!((shown(&server)["daily"].as_str(), reserved(&server, &ledger)), ("3", 3));
    ledger.commit(&again);
    next.settle(&again).await;
    // One that was on its way all the time.
    assert_eq!(next.reserve(&again).await, Advice::Room);
    assert_eq!((shown(&server)["daily"].as_str(), reserved(&server, &ledger)), ("3", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_decided_again_gives_back_what_it_grants_no_more() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    gate.reserve(&ledger.plan((0, 1, 1), &THREE)).await;
    let again = ledger.plan((0, 1, 1), &[(2, "bob"), (4, "eve")]);
    assert_eq!(gate.reserve(&again).await, Advice::Room);
    let (ada, bob) = (("{ada}:daily", "0"), ("{bob}:daily", "1"));
    assert_eq!(shown(&server), map([("daily", "2"), ada, bob, ("{eve}:daily", "1")]));
    ledger.commit(&again);
    gate.settle(&again).await;
    assert_eq!((shown(&server)["daily"].as_str(), reserved(&server, &ledger)), ("2", 0));
}

/// Decided again it may grant nothing at all: then no other reservation follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_refused_gives_back_what_it_has_reserved() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    let other = ledger.plan((1, 1, 1), &[(5, "eve")]);
    gate.reserve(&other).await;
    let refused = ledger.plan((0, 1, 1), &THREE);
    assert_eq!(gate.reserve(&refused).await, Advice::Room);
    gate.limits.give_back(refused.clone());
    gate.barrier().await;
    let none = [("{ada}:daily", "0"), ("{bob}:daily", "0")];
    assert_eq!(shown(&server), map([("daily", "1"), none[0], none[1], ("{eve}:daily", "1")]));
    assert_eq!(reserved(&server, &ledger), 1, "that of the other partition");
    // Said too late it changes nothing.
    let again = ledger.plan((0, 1, 1), &[(2, "bob")]);
    assert_eq!(gate.reserve(&again).await, Advice::Room);
    gate.limits.give_back(refused);
    gate.barrier().await;
    assert_eq!((shown(&server)["daily"].as_str(), reserved(&server, &ledger)), ("2", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_reserved_leaves_less_room() {
    for (caps, no_room) in [
        ([Some(5), None, None, None], 2),
        ([None, Some(6), None, None], 1),
        ([None, None, Some(2), None], 2),
        ([None, None, None, Some(3)], 1),
        ([Some(7), Some(7), Some(4), Some(4)], 0),
    ] {
        let (server, ledger, gate) = stage(Caps(caps)).await;
        let first = ledger.plan((0, 1, 1), &[(1, "ada"), (2, "ada"), (3, "bob"), (4, "bob")]);
        let second = ledger.plan((1, 1, 1), &[(5, "ada"), (6, "ada"), (7, "eve")]);
        assert_eq!(gate.reserve(&first).await, Advice::Room);
        let expected = if no_room == 0 { Advice::Room } else { Advice::NoRoom(no_room) };
        assert_eq!(gate.reserve(&second).await, expected, "{caps:?}");
        // What found no room is not counted.
        assert_eq!(shown(&server)["daily"], (7 - no_room).to_string());
        // The store decides: the first batch is never committed, the second one is.
        ledger.commit(&second);
        gate.settle(&second).await;
        assert_eq!(shown(&server)["{eve}:daily"], "1");
        gate.reserve(&ledger.plan((0, 1, 1), &[])).await;
        gate.barrier().await;
        assert_eq!(shown(&server)["daily"], "3");
        assert_eq!(shown(&server)["{ada}:daily"], "2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_owner_changes_nothing() {
    let (server, ledger, zombie) = stage(Caps::default()).await;
    let old = ledger.plan((0, 1, 1), &THREE);
    zombie.reserve(&old).await;
    let owner = Gate::open(&settings(&server.url()), ledger.clone(), now(&server)).await;
    owner.limits.taken_over(0, 2);
    let batch = ledger.plan((0, 2, 1), &THREE);
    assert_eq!(owner.reserve(&batch).await, Advice::Room);
    let before = shown(&server);
    assert_eq!(zombie.reserve(&ledger.plan((0, 1, 1), &[(9, "eve")])).await, Advice::Silent);
    zombie.settle(&old).await;
    assert_eq!(shown(&server), before);
    assert_eq!(reserved(&server, &ledger), 3, "its release frees nobody's reservation");
    assert!(zombie.metrics.limits_events("fenced") > 0);
    // Not even where Redis has lost the fence.
    server.ask(&["flushall"]);
    owner.reserve(&batch).await;
    zombie.settle(&old).await;
    assert_eq!(shown(&server), before);
    assert_eq!(reserved(&server, &ledger), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_owner_left_behind_is_given_back_by_the_next() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    let committed = ledger.plan((0, 1, 1), &[(1, "ada")]);
    gate.reserve(&committed).await;
    ledger.commit(&committed);
    // It dies after the commit of the first batch, and after reserving the second.
    gate.reserve(&ledger.plan((0, 1, 2), &[(2, "ada"), (3, "bob")])).await;
    drop(gate);
    let next = Gate::open(&settings(&server.url()), ledger.clone(), now(&server)).await;
    next.limits.taken_over(0, 2);
    next.reserve(&ledger.plan((0, 2, 2), &[(4, "eve")])).await;
    crate::stage::until("the leaks are gone", || reserved(&server, &ledger) == 1).await;
    next.barrier().await;
    let (ada, bob) = (("{ada}:daily", "1"), ("{bob}:daily", "0"));
    assert_eq!(shown(&server), map([("daily", "2"), ada, bob, ("{eve}:daily", "1")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_ids_are_text_and_nothing_else() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    server.ask(&["set", "canary", "alive"]);
    let long = "é".repeat(64);
    let hostile = [
        "}:{daily",
        "ada}:daily",
        "*",
        "'..redis.call('FLUSHALL')..'",
        "$6 FLUSHALL",
        "a:b%3Ab",
        "\\",
        "\" \" \"",
        "{}",
        long.as_str(),
        "-1",
        "daily",
    ];
    let grants: Vec<_> = (1..).zip(hostile).collect();
    let batch = ledger.plan((0, 1, 1), &grants);
    assert_eq!(gate.reserve(&batch).await, Advice::Room);
    ledger.commit(&batch);
    gate.settle(&batch).await;
    let expected = [
        "{%7D%3A%7Bdaily}:daily",
        "{ada%7D%3Adaily}:daily",
        "{*}:daily",
        "{'..redis.call('FLUSHALL')..'}:daily",
        "{$6 FLUSHALL}:daily",
        "{a%3Ab%253Ab}:daily",
        "{\\}:daily",
        "{\" \" \"}:daily",
        "{%7B%7D}:daily",
        &format!("{{{long}}}:daily"),
        "{-1}:daily",
        "{daily}:daily",
    ];
    let mut expected = expected.map(|key| (key.to_owned(), "1".to_owned())).to_vec();
    expected.push(("daily".to_owned(), "12".to_owned()));
    assert_eq!(shown(&server), expected.into_iter().collect());
    assert_eq!(server.ask(&["get", "canary"]), ["alive"]);
    // The canary, the uses, the state.
    assert_eq!(server.ask(&["dbsize"]), ["15"]);
    // They are found again by name.
    server.ask(&["set", &format!("limit:{{{TENANT}}}:{{%7B%7D}}:daily"), "7"]);
    gate.scrub().await;
    assert_eq!(shown(&server)["{%7B%7D}:daily"], "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_goes_in_calls_of_a_hundred() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    let names: Vec<String> = (0..250).map(|n| format!("user-{}", n % 170)).collect();
    let grants: Vec<_> = (1..).zip(names.iter().map(String::as_str)).collect();
    let batch = ledger.plan((0, 1, 1), &grants);
    server.ask(&["config", "resetstat"]);
    assert_eq!(gate.reserve(&batch).await, Advice::Room);
    ledger.commit(&batch);
    gate.settle(&batch).await;
    assert_eq!(shown(&server)["daily"], "250");
    assert_eq!(shown(&server)["{user-3}:daily"], "2");
    assert_eq!(shown(&server)["{user-169}:daily"], "1");
    assert_eq!(reserved(&server, &ledger), 0);
    let calls = server.ask(&["info", "commandstats"]);
    let evalsha = calls.iter().find(|line| line.starts_with("cmdstat_evalsha:"));
    let evalsha = evalsha.expect("scripts were called");
    assert!(evalsha.contains("calls=7,"), "one to meet, three and three: {evalsha}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_is_over_leaves_nothing_behind() {
    let (server, ledger, gate) = stage(Caps::default()).await;
    let yesterday = Ledger::of(Day(ledger.day.0 - 1), ledger.zone.clone(), ledger.caps);
    let batch = yesterday.plan((0, 1, 1), &THREE);
    assert_eq!(gate.reserve(&batch).await, Advice::Silent);
    gate.settle(&batch).await;
    assert_eq!(server.ask(&["dbsize"]), ["0"]);
    assert_eq!(gate.metrics.limits_events("lost"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_day_begins_at_nothing() {
    let (server, today, gate) = stage(Caps::default()).await;
    let batch = today.plan((0, 1, 1), &THREE);
    gate.reserve(&batch).await;
    today.commit(&batch);
    // The broker's clock is ahead: yesterday's keys have not expired, and its batch not settled.
    let tomorrow = Ledger::of(Day(today.day.0 + 1), today.zone.clone(), today.caps);
    let first = tomorrow.plan((0, 1, 2), &[(8, "bob")]);
    gate.reserve(&first).await;
    assert_eq!(shown(&server)["daily"], "1");
    assert_eq!(shown(&server)["{bob}:daily"], "1");
    gate.settle(&batch).await;
    assert_eq!(shown(&server)["daily"], "1", "what was settled late is of yesterday");
    assert_eq!(reserved(&server, &today), 0);
    assert_eq!(reserved(&server, &tomorrow), 1);
}

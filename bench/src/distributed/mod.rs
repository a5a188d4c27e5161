//! The distributed profile end to end, every event granting: from records in Kafka to incentives
//! committed, published and logged, by processes of the real binary on the real services, against
//! plain writes of the same rows on the same PostgreSQL in the same run. Everything shares the
//! machine's processors.

pub mod consumer;
pub mod live;
mod plain;
mod processor;
mod stage;
pub mod takeover;

use std::collections::BTreeMap;

use engine::ports::Clock as _;

pub use stage::Now;
use stage::{CONNECTORS, Connector, PARTITIONS, Stage, TENANTS};

pub async fn run(events: u64, only: Option<&str>) {
    println!("{events} records of {TENANTS} tenants on {PARTITIONS} partitions, every one granting");
    let is_wanted = |what: &str| only.is_none_or(|only| only == what);
    let mut rates = Vec::new();
    for (what, title, calculators) in [("one", "one calculator", 1), ("two", "two calculators", 2)] {
        if is_wanted(what) {
            rates.push(measure(events, title, calculators, false).await);
        }
    }
    if let [one, two] = rates[..] {
        println!("two calculators against one: {:.2} x (goal: 0.9 or more)\n", two / one);
    }
    if is_wanted("all") {
        measure(events, "one calculator, all other roles and both connectors", 1, true).await;
    }
}

/// Runs and reports; gives events a second.
async fn measure(events: u64, title: &str, calculators: usize, with_all: bool) -> f64 {
    let stage = Stage::new(if with_all { "all".to_owned() } else { format!("ic{calculators}") }).await;
    let connectors: Vec<_> = if with_all {
        CONNECTORS.iter().map(|(file, topic)| Connector::start(&stage, file, topic)).collect()
    } else {
        Vec::new()
    };
    for connector in &connectors {
        connector.wait(&stage).await;
    }
    stage.feed(events).await;
    let _others = with_all.then(|| stage.serve("dcm,aggregator,analytics", "others"));

    let before = processor::used();
    let processes: Vec<_> = (0..calculators).map(|n| stage.serve("ic", &format!("ic-{n}"))).collect();
    stage.decided(events).await;
    let done = Now.now().micros();
    let used: BTreeMap<_, _> = processor::used()
        .into_iter()
        .map(|(service, seconds)| (service, seconds - before.get(service).copied().unwrap_or_default()))
        .collect();
    let begun = (0..calculators).map(|n| stage.taken_over_at(&format!("ic-{n}"))).min().unwrap();
    let ours = (done - begun) as f64 / 1e6;
    if with_all {
        let lag = stage.captured().await;
        println!("{title}: both connectors had captured all {lag:.1} s after the last commit");
    }
    let shares = stage.shares().await;
    drop(processes);
    drop(_others);
    drop(connectors);

    let bare = stage.another_database().await;
    let plain = plain::write(&stage.db, &bare).await.as_secs_f64();
    let goal = if with_all { 40 } else { 60 };
    let (ours, plain) = (events as f64 / ours, events as f64 / plain);
    println!(
        "{title}: {ours:.0} ev/s, plain writes {plain:.0} ev/s: {:.0} % (goal: {goal} % or more)",
        ours / plain * 100.0
    );
    println!("  seconds of processor time: {}", listed(&used));
    println!("  incentives by partition: {shares:?}\n");
    drop(bare);
    stage.end().await;
    ours
}

fn listed(used: &BTreeMap<&str, f64>) -> String {
    used.iter().map(|(service, seconds)| format!("{service} {seconds:.1}")).collect::<Vec<_>>().join(", ")
}


//! How long things stand still when something goes away, with two calculators at work: one of them
//! is killed, or frozen inside a transaction, or Redis is emptied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::ports::Clock as _;
use redis::Commands as _;
use testkit::services::redis_url;
use tokio::task::JoinHandle;

use super::stage::{Now, Process, Stage, TENANTS};

/// Each thing is done so often.
const ROUNDS: usize = 3;
/// Events that each tenant is sent at once, and the pause after them: 4,000 a second in all or
/// fewer, which one calculator bears.
const AT_ONCE: u64 = 6;
const PAUSE: Duration = Duration::from_millis(25);
const USERS: u64 = 1000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A transaction that rests so long is that of a frozen process.
const RESTS: &str = "select count(*) from pg_stat_activity where datname = current_database()
    and state = 'idle in transaction' and state_change < clock_timestamp() - interval '100 ms'";

pub async fn run() {
    let stage = Arc::new(Stage::new("takeover".to_owned()).await);
    stage.open_shops(&stage.db).await;
    let feeding = feed(stage.clone());
    let mut calculators = Calculators { stage: stage.clone(), started: 0, running: Vec::new() };
    calculators.start().await;
    calculators.start().await;

    let mut worst: BTreeMap<&str, f64> = BTreeMap::new();
    let mut note = |what, seconds: f64| {
        println!("{what}: {:.0} ms", seconds * 1e3);
        let worst = worst.entry(what).or_default();
        *worst = worst.max(seconds);
    };
    for _ in 0..ROUNDS {
        let since = Now.now().micros();
        calculators.running[0].1.signal("-KILL");
        note("a calculator killed, from assignment to first commit", calculators.taken_over(since).await);
        calculators.running.remove(0);
        calculators.start().await;
    }
    for _ in 0..ROUNDS {
        let since = Now.now().micros();
        calculators.freeze_in_transaction().await;
        note("a calculator frozen in a transaction, from assignment to first commit", calculators.taken_over(since).await);
        let hung = stage.logged(&calculators.running[1].0, "the old owner hung inside a transaction");
        println!("  transactions of it that had to be ended: {}", hung.len());
        calculators.running[0].1.signal("-CONT");
        calculators.running.remove(0);
        calculators.start().await;
    }
    for _ in 0..ROUNDS {
        let (right, pause) = emptied(&stage).await;
        note("Redis emptied, until all tenants' counters are right", right);
        note("Redis emptied, longest time without a commit", pause);
    }
    feeding.abort();
    drop(calculators);
    for (what, seconds) in worst {
        println!("worst of {ROUNDS}, {what}: {:.0} ms", seconds * 1e3);
    }
    println!("(goals: 2 s killed, 4 s frozen, 1 s for Redis)");
    let _aborted = feeding.await;
    let Ok(stage) = Arc::try_unwrap(stage) else { panic!("somebody still uses the stage") };
    stage.end().await;
}

/// Sends events until it is stopped.
fn feed(stage: Arc<Stage>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let ingest = stage.ingest().await;
        for n in 0.. {
            let calls = (0..TENANTS).map(|tenant| stage.send(&ingest, tenant, n * AT_ONCE..(n + 1) * AT_ONCE, USERS));
            futures_util::future::join_all(calls).await;
            // tidy-allow(sleep-in-test): the schedule of a benchmark
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Processes that decide.
struct Calculators {
    stage: Arc<Stage>,
    started: usize,
    /// The one that has run longest first.
    running: Vec<(String, Process)>,
}

impl Calculators {
    /// Starts one more, and waits until it has commits of its own.
    async fn start(&mut self) {
        let name = format!("ic-{}", self.started);
        self.started += 1;
        let process = self.stage.serve("ic", &name);
        let begun = Instant::now();
        while self.first_commits(&name, 0).await.is_none() {
            assert!(begun.elapsed() < PATIENCE, "{name} decides nothing");
            look().await;
        }
        self.running.push((name, process));
    }

    /// By assignment since then, how long a process took until the first commit of each partition
    /// that came; `None` before there are any, or while one of them has no commit.
    async fn first_commits(&self, name: &str, since: i64) -> Option<Vec<f64>> {
        let come = self.stage.logged(name, "partitions come");
        let taken = self.stage.logged(name, "the partition is taken over");
        let client = self.stage.db.client().await.unwrap();
        let mut took = Vec::new();
        for (at, line) in come.into_iter().filter(|(at, _)| *at > since) {
            for partition in numbers(&line) {
                let (_, line) = taken.iter().find(|(taken, line)| *taken >= at && line["partition"] == partition)?;
                let first = "select (extract(epoch from min(committed_at)) * 1000000)::bigint from batches
                    where partition = $1 and epoch = $2";
                let of = (partition as i32, line["epoch"].as_i64().unwrap());
                let committed: Option<i64> = client.query_one(first, &[&of.0, &of.1]).await.unwrap().get(0);
                took.push((committed? - at) as f64 / 1e6);
            }
        }
        (!took.is_empty()).then_some(took)
    }

    /// Seconds from an assignment since then to the last first commit, of the process that stays.
    async fn taken_over(&self, since: i64) -> f64 {
        let name = &self.running[1].0;
        let begun = Instant::now();
        loop {
            if let Some(took) = self.first_commits(name, since).await {
                return took.into_iter().fold(0.0, f64::max);
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not take over");
            look().await;
        }
    }

    /// Freezes the first one while it has a transaction open.
    async fn freeze_in_transaction(&self) {
        let process = &self.running[0].1;
        let begun = Instant::now();
        loop {
            process.signal("-STOP");
            // tidy-allow(sleep-in-test): what rests is told from what works by time alone
            tokio::time::sleep(Duration::from_millis(250)).await;
            if self.stage.number(RESTS).await > 0 {
                return;
            }
            process.signal("-CONT");
            assert!(begun.elapsed() < PATIENCE, "it is never inside a transaction");
            look().await;
        }
    }
}

/// The partitions that a line of the log names.
fn numbers(line: &serde_json::Value) -> Vec<i64> {
    let text = line["partitions"].as_str().map_or_else(|| line["partitions"].to_string(), str::to_owned);
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// Empties Redis. Seconds until each tenant's counter is what was committed when it was read, or
/// more; and the longest time between two commits of a partition meanwhile and for a second more.
async fn emptied(stage: &Stage) -> (f64, f64) {
    let client = redis::Client::open(redis_url()).unwrap();
    let mut redis = client.get_connection().unwrap();
    let database = stage.db.client().await.unwrap();
    let (begun, since) = (Instant::now(), Now.now().micros());
    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    for n in 0..TENANTS {
        let tenant = stage.tenant(n).0;
        let granted = "select coalesce(max(used), 0)::bigint from limit_usage where tenant_id = $1 and limit_key = 'tenant'";
        loop {
            let granted: i64 = database.query_one(granted, &[&tenant]).await.unwrap().get(0);
            let shown: Option<i64> = redis.get(format!("limit:{{{tenant}}}:daily")).unwrap();
            if shown.is_some_and(|shown| shown >= granted) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{tenant}: Redis shows {shown:?}, {granted} are granted");
            // tidy-allow(sleep-in-test): a benchmark that polls a service
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let right = begun.elapsed().as_secs_f64();
    // tidy-allow(sleep-in-test): it looks back at a second
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gaps = "select coalesce(max(extract(epoch from gap)), 0)::float8 from (
        select committed_at - lag(committed_at) over (partition by partition order by batch_seq) as gap, committed_at
        from batches) g where committed_at > to_timestamp($1::bigint / 1e6)";
    (right, database.query_one(gaps, &[&since]).await.unwrap().get(0))
}

async fn look() {
    // tidy-allow(sleep-in-test): a benchmark that polls a database
    tokio::time::sleep(Duration::from_millis(20)).await;
}

//! The engine as it is, worker and relay of several processes, over a world that is simulated: a
//! log on one or two partitions, a store that holds what the commit promises and nothing more, and
//! dice that decide between any two calls who fails, dies, stands still or is taken over from. Time
//! is simulated too, so a seed tells all that will happen.
//!
//! At the end the store holds what a slow reference decides record by record in the order in which
//! batches were committed, whatever befell the processes.

mod ports;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::decide::StoredOutcome;
use domain::event::Record;
use domain::incentive::Incentive;
use engine::metrics::Metrics;
use engine::policy::Health;
use engine::worker::{Ports, Worker};
use testkit::reference::{Counting, Reference, is_granted};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use ports::{Fate, Process};
use world::{Guard, Happening, World};

/// Seeds that are always run.
const SEEDS: u64 = 20_000;
/// Longer than any world needs in its own time.
const TIME_MAX: Duration = Duration::from_secs(600);
/// Longer than the longest pause after a failure, several times over.
const WELL_WITHIN: Duration = Duration::from_secs(60);

type Met = BTreeMap<String, u64>;

#[test]
fn whatever_befalls_the_processes_the_ledger_is_that_of_the_reference() {
    #[expect(clippy::disallowed_methods, reason = "to show a seed again")]
    let seed = std::env::var("INCENT_SIMULATION_SEED").ok();
    let seeds = seed.map(|seed| {
        let seed: u64 = seed.parse().expect("a seed");
        seed..seed + 1
    });
    let met = across(seeds.clone().unwrap_or(0..SEEDS), |seed, met| {
        if let Err(why) = run(seed, Guard::ALL, met) {
            panic!("seed {seed} (INCENT_SIMULATION_SEED={seed} shows it again): {why}");
        }
        true
    });
    if seeds.is_none() {
        is_enough(&met);
    }
}

/// What cannot be done without. Epoch and position are two guards against the same: with either of
/// them alone the ledger is right, and the epoch makes an old owner stop.
const NEEDED: [&[Guard]; 3] =
    [&[Guard::Epoch, Guard::Position], &[Guard::Configuration], &[Guard::Lane]];

#[test]
fn without_its_guards_it_is_not() {
    for off in NEEDED {
        let on: Vec<_> = Guard::ALL.iter().copied().filter(|guard| !off.contains(guard)).collect();
        let found = (0..SEEDS).find(|seed| run(*seed, &on, &mut Met::new()).is_err());
        assert!(found.is_some(), "nothing shows that {off:?} is needed");
    }
}

/// Runs seeds on two threads until one is answered with false; what they met, together.
fn across(seeds: std::ops::Range<u64>, check: impl Fn(u64, &mut Met) -> bool + Sync) -> Met {
    const THREADS: usize = 2;
    let of_thread = |first: u64| {
        let mut met = Met::new();
        for seed in (seeds.start + first..seeds.end).step_by(THREADS) {
            if !check(seed, &mut met) {
                break;
            }
        }
        met
    };
    let of_thread = &of_thread;
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS as u64).map(|n| scope.spawn(move || of_thread(n))).collect();
        threads.into_iter().map(|t| t.join().expect("no seed is wrong")).collect::<Vec<_>>()
    });
    let mut sum = Met::new();
    for (what, times) in all.into_iter().flatten() {
        *sum.entry(what).or_default() += times;
    }
    sum
}

/// Everything that can happen has happened, or the seeds would show nothing.
fn is_enough(met: &Met) {
    let calls = ["take_over", "load", "commit", "published", "take", "publish", "config"];
    let fates = [Fate::Fails, Fate::AnswerLost, Fate::DiesBefore, Fate::DiesAfter, Fate::Freezes];
    let of_calls = fates.iter().flat_map(|fate| calls.map(|call| format!("{fate:?} {call}")));
    let others = [
        "change of the configuration",
        "a stale batch",
        "an overtaken batch",
        "a batch of an old owner",
        "a take-over from a living owner",
        "Fails unpublished",
    ];
    for what in of_calls.chain(others.map(str::to_owned)) {
        assert!(met.contains_key(&what), "never: {what}; but {met:#?}");
    }
}

/// One world to its end. Errors: what is wrong, in words.
fn run(seed: u64, guards: &[Guard], met: &mut Met) -> Result<(), String> {
    let world = Arc::new(Mutex::new(World::random(seed, guards)));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let lived = runtime.block_on(async { tokio::time::timeout(TIME_MAX, live(&world)).await });
    drop(runtime);
    let world = Arc::into_inner(world).expect("nobody is left").into_inner().expect("no panic");
    for (what, times) in &world.met {
        *met.entry(what.clone()).or_default() += times;
    }
    lived.map_err(|_| "it comes to no end".to_owned())??;
    compare(&world)
}

/// A process that owns a partition.
struct Owner {
    process: Arc<Process>,
    worker: JoinHandle<Health>,
    relay: JoinHandle<Health>,
    healths: [watch::Receiver<Health>; 2],
}

impl Owner {
    fn start(world: &Arc<Mutex<World>>, partition: i32) -> Self {
        let process = Process::new(world);
        let ports = Ports {
            bus: process.clone(),
            store: process.clone(),
            control: process.clone(),
            clock: process.clone(),
            limits: None,
        };
        let batch_max = 1 + process.world().dice().size(9);
        let mut worker = Worker::new(partition, batch_max, ports, Metrics::detached());
        let relay = worker.relay();
        let healths = [worker.health(), relay.health()];
        let relay = tokio::spawn(relay.run(CancellationToken::new()));
        let worker = tokio::spawn(worker.run(CancellationToken::new()));
        Self { process, worker, relay, healths }
    }

    /// Whether it has ended, or has got over what befell it.
    async fn is_well_again(&mut self) -> bool {
        for health in &mut self.healths {
            let over = health.wait_for(|health| !matches!(health, Health::Waiting(_)));
            match tokio::time::timeout(WELL_WITHIN, over).await {
                Ok(_) => {}
                Err(_) => return self.process.is_gone(),
            }
        }
        true
    }

    fn end(&self) {
        self.process.kill();
        self.worker.abort();
        self.relay.abort();
    }
}

/// Runs processes until all is decided and published.
async fn live(world: &Arc<Mutex<World>>) -> Result<(), String> {
    let lock = || world.lock().expect("no panic");
    let mut owners: BTreeMap<i32, Owner> = BTreeMap::new();
    let mut old: Vec<Owner> = Vec::new();
    while !lock().is_over() {
        if let Some(wrong) = lock().wrong.clone() {
            return Err(wrong);
        }
        let partitions = lock().partitions();
        for partition in partitions {
            let is_gone = owners.get(&partition).is_none_or(|owner| {
                owner.process.is_gone() || owner.worker.is_finished() || owner.relay.is_finished()
            });
            // Now and then somebody takes over from an owner who is well.
            let is_replaced = !is_gone && lock().dice().one_in(40);
            if is_replaced {
                lock().meet("a take-over from a living owner");
            }
            if is_gone || is_replaced {
                old.extend(owners.insert(partition, Owner::start(world, partition)));
            }
        }
        let (pause, thaws, changes) = {
            let mut world = lock();
            let dice = world.dice();
            (1 + dice.below(20), dice.one_in(5), dice.one_in(10))
        };
        if thaws {
            old.iter().for_each(|owner| owner.process.thaw());
        }
        if changes {
            lock().change();
        }
        // tidy-allow(sleep-in-test): its time is simulated
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    // Nothing more will come, and yet nobody goes on saying that it waits.
    for (partition, owner) in &mut owners {
        owner.process.thaw();
        if !owner.is_well_again().await {
            return Err(format!("partition {partition}: still {:?}", owner.healths));
        }
    }
    // The frozen wake up to a world that has gone on.
    old.extend(owners.into_values());
    old.iter().for_each(|owner| owner.process.thaw());
    // tidy-allow(sleep-in-test): its time is simulated
    tokio::time::sleep(Duration::from_millis(200)).await;
    let halted = |health: &Health| matches!(health, Health::Halted(_));
    let mut wrong = lock().wrong.clone();
    for owner in old {
        owner.end();
        for part in [owner.worker, owner.relay] {
            match part.await {
                Ok(health) if halted(&health) => wrong = wrong.or(Some(format!("{health:?}"))),
                Err(error) if error.is_panic() => wrong = wrong.or(Some(error.to_string())),
                Ok(_) | Err(_) => {}
            }
        }
    }
    wrong.map_or(Ok(()), Err)
}

/// Compares what the store holds with what the reference decides in the order of the commits.
fn compare(world: &World) -> Result<(), String> {
    let mut happened = world.happened.iter();
    let Some(Happening::Changed(first)) = happened.next() else { return Err("no setting".into()) };
    let mut reference = Reference::new((**first).clone(), Counting::Slow);
    let mut granted: Vec<Arc<Incentive>> = Vec::new();
    let mut completions = Vec::new();
    for happening in happened {
        match happening {
            Happening::Changed(setting) => reference.set((**setting).clone()),
            Happening::Committed(batch) => {
                for write in &batch.events {
                    let record: &Record = &write.record;
                    // Numbers are compared by value: 0 is 0.00.
                    let wanted = StoredOutcome::parse(&reference.decide(record).to_stored());
                    let got = StoredOutcome::parse(&write.outcome);
                    same(record.event.event_id.as_str(), &got, &wanted)?;
                }
                granted.extend(batch.incentives.iter().cloned());
                completions.extend(batch.completions.iter().map(|(_, done)| done.clone()));
            }
        }
    }
    for (got, wanted) in granted.iter().zip(reference.incentives()) {
        if !is_granted(got, wanted) {
            return Err(format!("incentive\n   decided {got:?}\n reference {wanted:?}"));
        }
    }
    same("incentives", &granted.len(), &reference.incentives().count())?;
    same("completions", &&completions[..], &reference.completions())?;
    let wanted = reference.usage();
    let mut usage = world.shelf.usage();
    usage.retain(|key, _| wanted.contains_key(key));
    same("usage", &usage, &wanted)?;
    same("events decided", &world.decided(), &world.sent())?;
    for (partition, granted) in world.granted() {
        same("what is heard", &world.heard(partition), &granted)?;
    }
    let granted: BTreeSet<_> = granted.iter().map(|i| i.id).collect();
    same("what is recorded", &world.recorded, &granted)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    match got == wanted {
        true => Ok(()),
        false => Err(format!("{what}\n       is {got:?}\n   wanted {wanted:?}")),
    }
}

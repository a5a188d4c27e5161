//! The crew over simulated ports: partitions come and go, owners fence each other, parts break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::config::TenantConfig;
use domain::decide::{Loaded, Needs};
use domain::id::{CohortId, EventId, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::crew::{Board, Crew, CrewSettings, Gear, Standing};
use engine::metrics::Metrics;
use engine::policy::{Backoff, Health};
use engine::ports::{
    Appended, BatchCommit, Bus, Committed, ControlPlane, HotStore, IncentiveEvent, NewRecord,
    Place, PortError, PortErrorKind, PortFuture, Position,
};
use engine::record::Taken;
use engine::worker::Ports;
use testkit::clock::ManualClock;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the ports do when they are asked next.
#[derive(Clone, Copy)]
enum Answer {
    Fail(PortErrorKind),
    Panic,
}

/// A log without records and a store without rows, for many partitions.
struct Sim {
    assigned: watch::Sender<BTreeSet<i32>>,
    /// Partitions whose owner is to be told that it has been replaced.
    replaced: watch::Sender<BTreeSet<i32>>,
    take_overs: Mutex<BTreeMap<i32, VecDeque<Answer>>>,
    epochs: Mutex<BTreeMap<i32, i64>>,
    /// What a former owner committed and did not publish.
    unpublished: Mutex<Vec<IncentiveEvent>>,
    unpublished_panics: bool,
    /// Publishing waits for it.
    gate: watch::Sender<bool>,
    publishing: Notify,
    /// How recording fails, while it does.
    recording: watch::Sender<Option<PortErrorKind>>,
    recorded: Mutex<Vec<IncentiveId>>,
}

impl Sim {
    fn new(assigned: impl IntoIterator<Item = i32>) -> Self {
        Self {
            assigned: watch::Sender::new(assigned.into_iter().collect()),
            replaced: watch::Sender::default(),
            take_overs: Mutex::default(),
            epochs: Mutex::default(),
            unpublished: Mutex::default(),
            unpublished_panics: false,
            gate: watch::Sender::new(true),
            publishing: Notify::new(),
            recording: watch::Sender::new(None),
            recorded: Mutex::default(),
        }
    }

    fn take_over_answers(self, partition: i32, answers: impl IntoIterator<Item = Answer>) -> Self {
        lock(&self.take_overs).insert(partition, answers.into_iter().collect());
        self
    }

    /// With an incentive that was committed and not announced, and a bus that is in no hurry.
    fn with_unpublished(self) -> Self {
        let incentive = testkit::incentive::incentive(TenantId(Uuid::from_u128(1)), "ada", 1);
        let place = Place { batch_seq: 1, ordinal: 0 };
        lock(&self.unpublished).push(IncentiveEvent { incentive: Arc::new(incentive), place });
        self.gate.send_replace(false);
        self
    }

    fn start(self, settings: CrewSettings) -> (Arc<Self>, Crew) {
        let sim = Arc::new(self);
        let clock = Arc::new(ManualClock::at(Timestamp::from_stored(0)));
        let ports = Ports {
            bus: sim.clone(),
            store: sim.clone(),
            control: sim.clone(),
            clock,
            limits: None,
        };
        let gear = Gear { ports, metrics: Metrics::detached(), hub: None, settings };
        (sim, Crew::start(gear))
    }

    fn assign(&self, partitions: impl IntoIterator<Item = i32>) {
        self.assigned.send_replace(partitions.into_iter().collect());
    }

    fn epoch(&self, partition: i32) -> i64 {
        lock(&self.epochs).get(&partition).copied().unwrap_or(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bus for Sim {
    fn append<'a>(&'a self, _: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        unreachable!("nothing is sent here")
    }
    fn take<'a>(&'a self, _: i32, _: i64, _: usize) -> PortFuture<'a, Vec<Taken>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn ready<'a>(&'a self, partition: i32, _: i64) -> PortFuture<'a, ()> {
        Box::pin(async move {
            let mut replaced = self.replaced.subscribe();
            replaced.wait_for(|all| all.contains(&partition)).await.expect("a sender");
            self.replaced.send_modify(|all| _ = all.remove(&partition));
            Err(error(PortErrorKind::Fenced))
        })
    }
    fn end<'a>(&'a self, _: i32) -> PortFuture<'a, i64> {
        Box::pin(async { Ok(0) })
    }
    fn verify<'a>(&'a self, _: i32, _: Position) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.assigned.subscribe()
    }
    fn publish<'a>(&'a self, _: i32, _: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.publishing.notify_one();
            let mut gate = self.gate.subscribe();
            gate.wait_for(|is_open| *is_open).await.expect("a sender");
            Ok(())
        })
    }
}

impl HotStore for Sim {
    fn take_over<'a>(&'a self, partition: i32) -> PortFuture<'a, Position> {
        Box::pin(async move {
            let answer = lock(&self.take_overs).get_mut(&partition).and_then(VecDeque::pop_front);
            let epoch = {
                let mut epochs = lock(&self.epochs);
                let epoch = epochs.entry(partition).or_default();
                *epoch += 1;
                *epoch
            };
            match answer {
                Some(Answer::Fail(kind)) => return Err(error(kind)),
                Some(Answer::Panic) => panic!("the test wants it so"),
                None => {}
            }
            let batch_seq = i64::from(!lock(&self.unpublished).is_empty());
            let published = Place::BEFORE_ALL;
            Ok(Position { epoch, next_offset: 0, batch_seq, published, mark: None })
        })
    }
    fn load<'a>(&'a self, _: Arc<Needs>) -> PortFuture<'a, Loaded> {
        unreachable!("there are no records")
    }
    fn commit<'a>(&'a self, _: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        unreachable!("there are no records")
    }
    fn unpublished<'a>(
        &'a self,
        _: i32,
        after: Place,
        _: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        assert!(!self.unpublished_panics, "the test wants it so");
        let all = lock(&self.unpublished).clone();
        Box::pin(async move { Ok(all.into_iter().filter(|event| event.place > after).collect()) })
    }
    fn published<'a>(
        &'a self,
        _: i32,
        events: Arc<Vec<(IncentiveId, UserId)>>,
        _: Place,
        _: Timestamp,
    ) -> PortFuture<'a, ()> {
        let fails = *self.recording.borrow();
        if fails.is_none() {
            lock(&self.recorded).extend(events.iter().map(|(id, _)| *id));
        }
        Box::pin(async move { fails.map_or(Ok(()), |kind| Err(error(kind))) })
    }
    fn missed<'a>(&'a self, _: UserId, _: u64, _: usize) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        unreachable!("nobody is connected")
    }
    fn last_seq<'a>(&'a self, _: UserId) -> PortFuture<'a, u64> {
        unreachable!("nobody is connected")
    }
    fn outcome<'a>(&'a self, _: TenantId, _: &'a EventId) -> PortFuture<'a, Option<String>> {
        unreachable!("nobody asks")
    }
}

impl ControlPlane for Sim {
    fn config<'a>(&'a self, _: TenantId) -> PortFuture<'a, Option<TenantConfig>> {
        unreachable!("there are no records")
    }
    fn refresh_cohort<'a>(&'a self, _: TenantId, _: CohortId, _: Timestamp) -> PortFuture<'a, ()> {
        unreachable!("there are no records")
    }
}

fn error(kind: PortErrorKind) -> PortError {
    PortError { kind, message: "the test wants it so".to_owned() }
}

fn quick() -> CrewSettings {
    let moment = Duration::from_millis(1);
    CrewSettings {
        taken_back: Backoff { first: moment, most: moment },
        relay_within: PATIENCE,
        ..CrewSettings::default()
    }
}

/// Waits until a partition is taken over under this epoch.
async fn taken_over(board: &Board, partition: i32, epoch: i64) {
    let mut progress = board.progress(partition);
    let wanted = progress.wait_for(|p| p.is_some_and(|p| p.epoch == epoch));
    let came = tokio::time::timeout(PATIENCE, wanted).await;
    assert!(came.is_ok(), "partition {partition} is not taken over; {:?}", board.standings());
}

/// Waits until the standings are as wanted.
async fn standing(board: &Board, wanted: impl Fn(&BTreeMap<i32, Standing>) -> bool) {
    let mut standings = board.standings();
    let came = tokio::time::timeout(PATIENCE, standings.wait_for(|all| wanted(all))).await;
    assert!(came.is_ok(), "it stays with {:?}", board.standings().borrow());
}

fn halted(all: &BTreeMap<i32, Standing>, partition: i32) -> bool {
    all.get(&partition).is_some_and(|s| matches!(s.calculator, Health::Halted(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_come_and_go() {
    let (sim, crew) = Sim::new([0, 1]).start(quick());
    let board = crew.board().clone();
    taken_over(&board, 0, 1).await;
    taken_over(&board, 1, 1).await;

    sim.assign([1, 2]);
    taken_over(&board, 2, 1).await;
    standing(&board, |all| all.keys().eq(&[1, 2])).await;
    assert_eq!(*board.progress(0).borrow(), None, "it is not ours to tell");

    sim.assign([0, 1, 2]);
    taken_over(&board, 0, 2).await;
    assert_eq!(sim.epoch(1), 1, "who stays is not disturbed");
    assert_eq!(board.check(), Ok(()));

    crew.stop().await;
    assert!(board.standings().borrow().is_empty());
    assert!(board.progress(1).borrow().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_comes_back_while_it_is_left_has_one_worker() {
    let (sim, crew) = Sim::new([0]).with_unpublished().start(quick());
    let board = crew.board().clone();
    taken_over(&board, 0, 1).await;
    sim.publishing.notified().await;
    // The relay is busy, so leaving takes its time.
    sim.assign([]);
    standing(&board, |all| all.get(&0).is_some_and(|s| s.calculator == Health::Stopped)).await;
    sim.assign([0]);
    sim.assign([0, 1]);
    taken_over(&board, 1, 1).await;
    assert_eq!(sim.epoch(0), 1, "the first one has not left yet");
    sim.gate.send_replace(true);
    taken_over(&board, 0, 2).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_lost_to_another_owner_is_taken_back_while_it_is_ours() {
    let fenced = Answer::Fail(PortErrorKind::Fenced);
    let (sim, crew) = Sim::new([0]).take_over_answers(0, [fenced, fenced]).start(quick());
    let board = crew.board().clone();
    taken_over(&board, 0, 3).await;
    sim.replaced.send_replace([0].into());
    taken_over(&board, 0, 4).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_back_waits_and_says_so_and_can_be_left() {
    let long = Duration::from_secs(3600);
    let taken_back = Backoff { first: long, most: long };
    let (sim, crew) = Sim::new([0]).start(CrewSettings { taken_back, ..quick() });
    let board = crew.board().clone();
    taken_over(&board, 0, 1).await;
    sim.replaced.send_replace([0].into());
    standing(&board, |all| matches!(&all[&0].calculator, Health::Waiting(_))).await;
    let why = board.check().expect_err("it is not at work");
    assert!(why.contains("partition 0: the calculator waits: another process"), "{why}");
    tokio::time::timeout(PATIENCE, crew.stop()).await.expect("the pause does not hold it up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_halted_stays_so_until_it_is_assigned_anew() {
    let corrupt = Answer::Fail(PortErrorKind::Corrupt);
    let (sim, crew) = Sim::new([0]).take_over_answers(0, [corrupt]).start(quick());
    let board = crew.board().clone();
    standing(&board, |all| halted(all, 0)).await;
    let why = board.check().expect_err("it has halted");
    assert!(why.starts_with("partition 0: the calculator has halted: "), "{why}");

    sim.assign([0, 1]);
    taken_over(&board, 1, 1).await;
    assert_eq!(sim.epoch(0), 1, "nobody has tried again");
    sim.assign([1]);
    standing(&board, |all| !all.contains_key(&0)).await;
    assert_eq!(board.check(), Ok(()));
    sim.assign([0, 1]);
    taken_over(&board, 0, 2).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_breaks_off_is_seen() {
    let (_sim, crew) = Sim::new([0, 1]).take_over_answers(0, [Answer::Panic]).start(quick());
    let board = crew.board().clone();
    standing(&board, |all| halted(all, 0)).await;
    taken_over(&board, 1, 1).await;
    crew.stop().await;

    let mut sim = Sim::new([0]).with_unpublished();
    sim.unpublished_panics = true;
    let (_sim, crew) = sim.start(quick());
    let board = crew.board().clone();
    let relay_halted = |s: &Standing| matches!(s.relay, Health::Halted(_));
    standing(&board, |all| all.get(&0).is_some_and(relay_halted)).await;
    let why = board.check().expect_err("nothing is announced");
    assert!(why.contains("partition 0: the relay has halted"), "{why}");
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_stops_first_and_the_relay_when_all_is_announced() {
    let (sim, crew) = Sim::new([0]).with_unpublished().start(quick());
    let board = crew.board().clone();
    sim.publishing.notified().await;
    let stopped = tokio::spawn(crew.stop());
    standing(&board, |all| all[&0].calculator == Health::Stopped).await;
    assert!(!stopped.is_finished(), "what is committed is not announced yet");
    sim.gate.send_replace(true);
    tokio::time::timeout(PATIENCE, stopped).await.expect("in time").expect("no panic");
    assert_eq!(lock(&sim.recorded).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_cannot_publish_does_not_hold_up_the_end() {
    let settings = CrewSettings { relay_within: Duration::from_millis(1), ..quick() };
    let (sim, crew) = Sim::new([0]).with_unpublished().start(settings);
    sim.publishing.notified().await;
    tokio::time::timeout(PATIENCE, crew.stop()).await.expect("it is cut off");
    assert!(lock(&sim.recorded).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_could_not_record_is_well_again_without_another_grant() {
    let sim = Sim::new([0]).with_unpublished();
    sim.recording.send_replace(Some(PortErrorKind::Full));
    let (sim, crew) = sim.start(quick());
    let board = crew.board().clone();
    sim.gate.send_replace(true);
    let waits = |s: &Standing| matches!(s.relay, Health::Waiting(_));
    standing(&board, |all| all.get(&0).is_some_and(waits)).await;
    assert!(board.check().is_err(), "it is told");
    sim.recording.send_replace(None);
    standing(&board, |all| all[&0].relay == Health::Working).await;
    assert_eq!(board.check(), Ok(()));
    assert_eq!(lock(&sim.recorded).len(), 1);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_can_never_record_has_halted_before_the_next_grant() {
    let sim = Sim::new([0]).with_unpublished();
    sim.recording.send_replace(Some(PortErrorKind::Corrupt));
    sim.gate.send_replace(true);
    let (_sim, crew) = sim.start(quick());
    let board = crew.board().clone();
    let halted = |s: &Standing| matches!(s.relay, Health::Halted(_));
    standing(&board, |all| all.get(&0).is_some_and(halted)).await;
    let why = board.check().expect_err("nothing is recorded");
    assert!(why.contains("partition 0: the relay has halted"), "{why}");
    crew.stop().await;
}

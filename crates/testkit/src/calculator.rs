//! Worker and relay over an adapter's ports, run to the end of the log, with faults at scripted
//! places: a port that fails for good stands for the process that dies there.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use domain::decide::{Loaded, Needs};
use domain::id::{EventId, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::metrics::Metrics;
use engine::policy::Health;
use engine::ports::{
    Appended, BatchCommit, Bus, Committed, HotStore, IncentiveEvent, NewRecord, Place, PortError,
    PortErrorKind, PortFuture, Position,
};
use engine::record::Taken;
use engine::worker::{Ports, Worker};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ends {
    /// The worker.
    pub worker: Health,
    /// The relay.
    pub relay: Health,
}

impl Ends {
    /// True when both stopped because there was nothing left to do.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self { worker: Health::Stopped, relay: Health::Stopped }
    }
}

/// Decides what is in the log now in batches of at most `batch_max` and publishes what is granted,
/// or ends earlier by a fault.
///
/// # Panics
/// When a part panics.
pub async fn run_to_end(ports: &Ports, batch_max: usize) -> Ends {
    let end = ports.bus.end(0).await.expect("an end");
    let mut worker = Worker::new(0, batch_max, ports.clone(), Metrics::detached());
    let mut progress = worker.progress();
    let relay = worker.relay();
    let stop = CancellationToken::new();
    let mut relay = tokio::spawn(relay.run(CancellationToken::new()));
    let mut worker = tokio::spawn(worker.run(stop.clone()));
    let decided = async {
        // Otherwise the worker is gone.
        let _position = progress.wait_for(|p| p.is_some_and(|p| p.next_offset >= end)).await;
    };
    tokio::select! {
        () = decided => stop.cancel(),
        relay = &mut relay => {
            // One process: what kills one part kills the other.
            worker.abort();
            return Ends { worker: ended(worker.await), relay: ended(relay) };
        }
    }
    let worker = ended((&mut worker).await);
    if worker != Health::Stopped {
        relay.abort();
    }
    // Without its worker the relay ends when all is published.
    Ends { worker, relay: ended(relay.await) }
}

fn ended(joined: Result<Health, tokio::task::JoinError>) -> Health {
    match joined {
        Ok(health) => health,
        Err(error) if error.is_cancelled() => Health::Stopped,
        Err(error) => panic!("a part panicked: {error}"),
    }
}

domain::choice! {
    /// A step at which a run can be made to die.
    pub enum Step {
        /// Before records are taken.
        Take = "take",
        /// Before the batch is loaded.
        Load = "load",
        /// Before the batch is written.
        BeforeCommit = "before commit",
        /// After it is written; nobody hears of it.
        AfterCommit = "after commit",
        /// Before incentives are published.
        BeforePublish = "before publish",
        /// After; nobody hears of it.
        AfterPublish = "after publish",
        /// Before the publication is recorded.
        BeforeRecord = "before record",
        /// After; nobody hears of it.
        AfterRecord = "after record",
    }
}

/// What is to happen, and what has happened.
#[derive(Debug, Default)]
pub struct Script {
    /// Die at this step, at its n-th time from 1.
    plan: Mutex<Option<(Step, usize)>>,
    published: Mutex<Vec<(Place, IncentiveId)>>,
}

impl Script {
    /// Dies at the n-th time of a step from now, from 1.
    pub fn die_at(&self, step: Step, nth: usize) {
        *lock(&self.plan) = Some((step, nth));
    }

    /// True when the step planned was never reached.
    pub fn is_unspent(&self) -> bool {
        lock(&self.plan).is_some()
    }

    /// All that was published so far, repeats included.
    pub fn published(&self) -> Vec<(Place, IncentiveId)> {
        lock(&self.published).clone()
    }

    fn pass(&self, here: Step) -> Result<(), PortError> {
        let mut plan = lock(&self.plan);
        match &mut *plan {
            Some((step, nth)) if *step == here && *nth == 1 => *plan = None,
            Some((step, nth)) if *step == here => {
                *nth -= 1;
                return Ok(());
            }
            _ => return Ok(()),
        }
        Err(PortError { kind: PortErrorKind::Corrupt, message: format!("it dies {here}") })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log or a store that follows a script.
pub struct Scripted<P: ?Sized> {
    inner: Arc<P>,
    script: Arc<Script>,
}

/// The same ports, following a script.
#[must_use]
pub fn scripted(ports: &Ports, script: &Arc<Script>) -> Ports {
    Ports {
        bus: Arc::new(Scripted { inner: ports.bus.clone(), script: script.clone() }),
        store: Arc::new(Scripted { inner: ports.store.clone(), script: script.clone() }),
        ..ports.clone()
    }
}

impl Bus for Scripted<dyn Bus> {
    fn append<'a>(&'a self, records: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        self.inner.append(records)
    }
    fn take<'a>(&'a self, partition: i32, from: i64, max: usize) -> PortFuture<'a, Vec<Taken>> {
        Box::pin(async move {
            self.script.pass(Step::Take)?;
            self.inner.take(partition, from, max).await
        })
    }
    fn ready<'a>(&'a self, partition: i32, offset: i64) -> PortFuture<'a, ()> {
        self.inner.ready(partition, offset)
    }
    fn end<'a>(&'a self, partition: i32) -> PortFuture<'a, i64> {
        self.inner.end(partition)
    }
    fn verify<'a>(&'a self, partition: i32, position: Position) -> PortFuture<'a, ()> {
        self.inner.verify(partition, position)
    }
    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.inner.assigned()
    }
    fn publish<'a>(&'a self, partition: i32, events: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.script.pass(Step::BeforePublish)?;
            self.inner.publish(partition, events).await?;
            let places = events.iter().map(|e| (e.place, e.incentive.id));
            lock(&self.script.published).extend(places);
            self.script.pass(Step::AfterPublish)
        })
    }
}

impl HotStore for Scripted<dyn HotStore> {
    fn take_over<'a>(&'a self, partition: i32) -> PortFuture<'a, Position> {
        self.inner.take_over(partition)
    }
    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded> {
        Box::pin(async move {
            self.script.pass(Step::Load)?;
            self.inner.load(needs).await
        })
    }
    fn commit<'a>(&'a self, batch: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        Box::pin(async move {
            self.script.pass(Step::BeforeCommit)?;
            let committed = self.inner.commit(batch).await?;
            self.script.pass(Step::AfterCommit)?;
            Ok(committed)
        })
    }
    fn unpublished<'a>(
        &'a self,
        partition: i32,
        after: Place,
        max: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        self.inner.unpublished(partition, after, max)
    }
    fn published<'a>(
        &'a self,
        partition: i32,
        events: Arc<Vec<(IncentiveId, UserId)>>,
        up_to: Place,
        at: Timestamp,
    ) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.script.pass(Step::BeforeRecord)?;
            self.inner.published(partition, events, up_to, at).await?;
            self.script.pass(Step::AfterRecord)
        })
    }
    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        self.inner.missed(user, after, max)
    }
    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64> {
        self.inner.last_seq(user)
    }
    fn outcome<'a>(
        &'a self,
        tenant: TenantId,
        event: &'a EventId,
    ) -> PortFuture<'a, Option<String>> {
        self.inner.outcome(tenant, event)
    }
}

//! The ports of one process. Between any two calls, and between a call's effect and its answer, the
//! process may be late, be told that the call failed, be frozen, or die.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::config::TenantConfig;
use domain::decide::{Loaded, Needs};
use domain::id::{CohortId, EventId, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::time::Timestamp;
use engine::ports::{
    Appended, BatchCommit, Bus, Clock, Committed, ControlPlane, HotStore, IncentiveEvent,
    NewRecord, Place, PortError, PortErrorKind, PortFuture, Position,
};
use engine::record::Taken;
use tokio::sync::watch;

use super::world::World;

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Nothing.
    Passes,
    /// It fails before it has an effect.
    Fails,
    /// It has its effect, and its caller hears that it failed.
    AnswerLost,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
    /// The process stands still before it, for so long that another one takes over.
    Freezes,
}

/// One process' view of the world.
pub struct Process {
    pub world: Arc<Mutex<World>>,
    dead: AtomicBool,
    frozen: AtomicBool,
    assigned: watch::Sender<BTreeSet<i32>>,
}

impl Process {
    pub fn new(world: &Arc<Mutex<World>>) -> Arc<Self> {
        let assigned = watch::Sender::new(BTreeSet::new());
        let (dead, frozen) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { world: world.clone(), dead, frozen, assigned })
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic")
    }

    /// Nothing that it has begun goes on.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
    }

    /// True when somebody else must go on in its place.
    pub fn is_gone(&self) -> bool {
        self.dead.load(Ordering::SeqCst) || self.frozen.load(Ordering::SeqCst)
    }

    /// A dead process does nothing more, a frozen one nothing for now.
    async fn lives(&self) {
        while self.frozen.load(Ordering::SeqCst) && !self.dead.load(Ordering::SeqCst) {
            // tidy-allow(sleep-in-test): its time is simulated
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    async fn call<T>(
        &self,
        what: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let (fate, before, after) = self.world().fate(what);
        // tidy-allow(sleep-in-test): its time is simulated
        tokio::time::sleep(before).await;
        match fate {
            Fate::Fails => return Err(unavailable(what)),
            Fate::DiesBefore => self.kill(),
            Fate::Freezes => self.frozen.store(true, Ordering::SeqCst),
            Fate::Passes | Fate::AnswerLost | Fate::DiesAfter => {}
        }
        self.lives().await;
        let answer = effect(&mut self.world())?;
        if fate == Fate::DiesAfter {
            self.kill();
        }
        // tidy-allow(sleep-in-test): its time is simulated
        tokio::time::sleep(after).await;
        self.lives().await;
        match fate {
            Fate::AnswerLost => Err(unavailable(what)),
            _ => Ok(answer),
        }
    }
}

fn unavailable(what: &str) -> PortError {
    PortError { kind: PortErrorKind::Unavailable, message: format!("{what} failed") }
}

impl HotStore for Process {
    fn take_over<'a>(&'a self, partition: i32) -> PortFuture<'a, Position> {
        Box::pin(self.call("take_over", move |world| Ok(world.take_over(partition))))
    }
    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded> {
        Box::pin(self.call("load", move |world| Ok(world.load(&needs))))
    }
    fn commit<'a>(&'a self, batch: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        Box::pin(self.call("commit", move |world| world.commit(&batch)))
    }
    fn unpublished<'a>(
        &'a self,
        partition: i32,
        after: Place,
        max: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        let read = move |world: &mut World| Ok(world.unpublished(partition, after, max));
        Box::pin(self.call("unpublished", read))
    }
    fn published<'a>(
        &'a self,
        partition: i32,
        events: Arc<Vec<(IncentiveId, UserId)>>,
        up_to: Place,
        _: Timestamp,
    ) -> PortFuture<'a, ()> {
        let record = move |world: &mut World| {
            world.record(partition, &events, up_to);
            Ok(())
        };
        Box::pin(self.call("published", record))
    }
    fn missed<'a>(&'a self, _: UserId, _: u64, _: usize) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn last_seq<'a>(&'a self, _: UserId) -> PortFuture<'a, u64> {
        Box::pin(async { Ok(0) })
    }
    fn outcome<'a>(&'a self, _: TenantId, _: &'a EventId) -> PortFuture<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }
}

impl Bus for Process {
    fn append<'a>(&'a self, _: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn take<'a>(&'a self, partition: i32, offset: i64, max: usize) -> PortFuture<'a, Vec<Taken>> {
        Box::pin(self.call("take", move |world| Ok(world.take(partition, offset, max))))
    }
    fn ready<'a>(&'a self, _: i32, _: i64) -> PortFuture<'a, ()> {
        Box::pin(async move {
            // tidy-allow(sleep-in-test): its time is simulated
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.lives().await;
            Ok(())
        })
    }
    fn end<'a>(&'a self, partition: i32) -> PortFuture<'a, i64> {
        Box::pin(async move { Ok(self.world().end(partition)) })
    }
    fn verify<'a>(&'a self, _: i32, _: Position) -> PortFuture<'a, ()> {
        Box::pin(self.call("verify", |_| Ok(())))
    }
    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.assigned.subscribe()
    }
    fn publish<'a>(&'a self, partition: i32, events: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        let publish = move |world: &mut World| {
            world.publish(partition, events);
            Ok(())
        };
        Box::pin(self.call("publish", publish))
    }
}

impl ControlPlane for Process {
    fn config<'a>(&'a self, tenant: TenantId) -> PortFuture<'a, Option<TenantConfig>> {
        Box::pin(self.call("config", move |world| Ok(world.config(tenant))))
    }
    fn refresh_cohort<'a>(&'a self, _: TenantId, _: CohortId, _: Timestamp) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Clock for Process {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

//! Push fan-out: announced incentives to the sessions of their users, inside this process.
//!
//! Two things hold, whatever a client does. **Announcing never waits**: a session whose queue is
//! full loses the queue, not the data; it is marked lagging and reads on from the store at its own
//! pace. **A session sees each `seq` once and in order**: what it gets is decided by its own cursor
//! alone, so repeated, late or lost announcements do no harm ([`Session`]).
//!
//! Devices: a user may have [`HubSettings::devices_per_user`] sessions. One more ends the oldest,
//! because on a phone network the oldest is most likely a dead connection nobody has noticed yet.
//!
//! Read [`frame`] first, then [`mailbox`], then [`session`].

pub mod frame;
mod mailbox;
mod metrics;
pub mod session;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::{TenantId, UserId};
use domain::incentive::Incentive;
use tokio::sync::{Notify, Semaphore};

use crate::ports::{Announce, HotStore, IncentiveEvent, PortFuture};

pub use frame::{Dialect, Frame, QuestProgress, StepProgress};
pub use metrics::HubMetrics;
pub use session::{Delivery, Resumed, Session};

use mailbox::Mailbox;

/// Where a session reads what its client missed.
pub trait Inbox: Send + Sync {
    /// A user's incentives with `seq` above `after`, ascending, at most `max`.
    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>>;
    /// The `seq` of a user's last incentive; 0 = none yet.
    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64>;
}

impl Inbox for Arc<dyn HotStore> {
    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        (**self).missed(user, after, max)
    }
    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64> {
        (**self).last_seq(user)
    }
}

/// Bounds of a hub.
#[derive(Clone, Copy, Debug)]
pub struct HubSettings {
    /// Most sessions of one user; one more ends the oldest.
    pub devices_per_user: usize,
    /// Most sessions of all users together.
    pub sessions: usize,
    /// Incentives per read of the store.
    pub page: usize,
    /// Reads of the store at the same time, by all sessions together.
    pub reads: usize,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self { devices_per_user: 10, sessions: 200_000, page: 64, reads: 16 }
    }
}

/// Bounds of one session's queue. Past either of them the session lags.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Most frames waiting.
    pub frames: usize,
    /// Most bytes waiting, as the frames will be on the wire.
    pub bytes: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { frames: 256, bytes: 64 * 1024 }
    }
}

/// Why a session ended, or could not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum End {
    /// The server stops; another one, or this one restarted, takes over.
    #[error("the server is going away; reconnect and resume")]
    GoingAway,
    /// The store cannot be read at the moment.
    #[error("missed incentives cannot be read at the moment; reconnect and resume")]
    Unavailable,
    /// A newer session of the same user took its place.
    #[error("too many devices of this user; the oldest was signed out")]
    TooManyDevices,
    /// Its right to listen was withdrawn.
    #[error("access was revoked")]
    Revoked,
    /// This process holds as many sessions as it may.
    #[error("this server has no room for more sessions; try again later")]
    Full,
}

/// What is known about a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Number of the session in this process.
    pub session: u64,
    /// The last `seq` handed to its connection.
    pub delivered: u64,
    /// The last `seq` its client has acknowledged, or after which it began.
    pub acknowledged: u64,
}

/// Shards keep announcing and connecting from waiting for one another.
const SHARDS: usize = 64;

type Shard = HashMap<UserId, Vec<Arc<Mailbox>>>;

/// The sessions of this process, by user.
pub struct Hub {
    shards: [Mutex<Shard>; SHARDS],
    inbox: Arc<dyn Inbox>,
    settings: HubSettings,
    reads: Arc<Semaphore>,
    next_session: AtomicU64,
    sessions: AtomicUsize,
    draining: AtomicBool,
    emptied: Notify,
    metrics: HubMetrics,
}

impl Hub {
    /// An empty hub. Sessions read what they missed from `inbox`.
    pub fn new(inbox: impl Inbox + 'static, settings: HubSettings) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            inbox: Arc::new(inbox),
            settings,
            reads: Arc::new(Semaphore::new(settings.reads.max(1))),
            next_session: AtomicU64::new(1),
            sessions: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            emptied: Notify::new(),
            metrics: HubMetrics::default(),
        })
    }

    /// Begins a session: from now on what is announced for the user is queued for it. It gives out
    /// nothing until [`Session::start`] has placed its cursor.
    ///
    /// Errors: [`End::Full`], [`End::GoingAway`].
    pub fn subscribe(
        self: &Arc<Self>,
        tenant: TenantId,
        user: UserId,
        capacity: Capacity,
    ) -> Result<Session, End> {
        let counted = self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < self.settings.sessions).then_some(n + 1)
        });
        if counted.is_err() {
            return Err(End::Full);
        }
        self.metrics.sessions.inc();
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(number, tenant, capacity));
        // From here on dropping the session gives its place back.
        let session = Session::new(self.clone(), user, mailbox.clone());
        let mut shard = self.shard(user);
        // Read under the shard's lock: a drain sets it before it walks the shards.
        if self.draining.load(Ordering::Relaxed) {
            drop(shard);
            return Err(End::GoingAway);
        }
        let devices = shard.entry(user).or_insert_with(|| Vec::with_capacity(1));
        if devices.len() >= self.settings.devices_per_user.max(1) {
            devices.remove(0).end(End::TooManyDevices);
        }
        devices.push(mailbox);
        drop(shard);
        Ok(session)
    }

    /// True when a session of the user wants to hear of progress: only then need it be worked out.
    pub fn follows_progress(&self, user: UserId) -> bool {
        self.sessions() > 0
            && self.shard(user).get(&user).into_iter().flatten().any(|one| one.follows_progress())
    }

    /// Announces progress of quests to the sessions that follow it. It has no `seq`: who is not
    /// there, or lags, misses it and sees the next one.
    pub fn announce_progress(&self, progress: &[Arc<QuestProgress>]) {
        for one in progress {
            let shard = self.shard(one.user);
            let devices = shard.get(&one.user).into_iter().flatten();
            devices.filter(|mailbox| mailbox.follows_progress()).for_each(|mailbox| {
                mailbox.push_progress(one);
            });
        }
    }

    /// Ends a user's sessions, for example when the token they came with is withdrawn.
    pub fn revoke_user(&self, user: UserId) {
        let revoked = self.shard(user).remove(&user);
        for mailbox in revoked.into_iter().flatten() {
            mailbox.end(End::Revoked);
        }
    }

    /// Ends all sessions of a tenant, for example when its push keys are replaced.
    pub fn revoke_tenant(&self, tenant: TenantId) {
        for shard in &self.shards {
            lock(shard).retain(|_, devices| {
                devices.retain(|mailbox| {
                    let theirs = mailbox.tenant() == tenant;
                    if theirs {
                        mailbox.end(End::Revoked);
                    }
                    !theirs
                });
                !devices.is_empty()
            });
        }
    }

    /// Refuses new sessions and ends all there are with [`End::GoingAway`]; what is already queued
    /// is still given out.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            for (_, devices) in lock(shard).drain() {
                devices.iter().for_each(|mailbox| mailbox.end(End::GoingAway));
            }
        }
    }

    /// Returns when there is no session left.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.sessions.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The live sessions of a user, oldest first.
    pub fn presence(&self, user: UserId) -> Vec<Presence> {
        self.shard(user).get(&user).into_iter().flatten().map(|one| one.presence()).collect()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Its counters.
    pub fn metrics(&self) -> &HubMetrics {
        &self.metrics
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, Shard> {
        // A user's id is a hash, so any of its bytes spreads evenly.
        lock(&self.shards[usize::from(user.0.as_bytes()[15]) % SHARDS])
    }

    fn forget(&self, user: UserId, mailbox: &Arc<Mailbox>) {
        let mut shard = self.shard(user);
        if let Some(devices) = shard.get_mut(&user) {
            devices.retain(|one| !Arc::ptr_eq(one, mailbox));
            if devices.is_empty() {
                shard.remove(&user);
            }
        }
        drop(shard);
        self.metrics.sessions.dec();
        if self.sessions.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.emptied.notify_waiters();
        }
    }
}

impl Announce for Hub {
    fn announce(&self, events: &[IncentiveEvent]) {
        // What comes in a row for one user is looked up and queued in one go.
        for run in events.chunk_by(|a, b| a.incentive.user == b.incentive.user) {
            let user = run[0].incentive.user;
            let shard = self.shard(user);
            let Some(devices) = shard.get(&user) else { continue };
            let incentives = run.iter().map(|event| event.incentive.clone());
            let lagging = match &devices[..] {
                [device] => usize::from(device.push(incentives.map(Frame::new))),
                several => {
                    let frames: Vec<_> = incentives.map(Frame::for_several).collect();
                    several.iter().filter(|device| device.push(frames.iter().cloned())).count()
                }
            };
            self.metrics.lagging.inc_by(lagging as u64);
        }
    }
}

/// Locks. A thread that panicked while it held the lock has left no half-made change behind: each
/// section below changes one thing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

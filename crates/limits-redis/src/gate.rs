//! The gate as batches see it: it hands over what they say and waits a moment at most.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::id::TenantId;
use engine::metrics::Metrics;
use engine::ports::{Advice, Clock, HotStore, IdGen, LimitGate, Reservation};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::call::{Mend, Today};
use crate::courier::Courier;
use crate::link::Link;
use crate::scrub::Scrubber;

/// What waits for the courier at most; beyond it things are left out, and made up for later.
const QUEUE_MAX: usize = 64;
/// Tenants whose day is remembered for the scrub; beyond it all are forgotten and met again.
const IN_USE_MAX: usize = 10_000;

/// What the adapter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://[user:password@]host:port[/db]`, or `redis+unix:///path`.
    pub url: String,
    /// How long a batch waits for advice.
    pub patience: Duration,
    /// After how long without an answer Redis counts as gone.
    pub answer_within: Duration,
    /// How long nothing may be asked of Redis before it is asked whether it is there.
    pub look_every: Duration,
    /// How often reservations are looked through for those that nobody will settle.
    pub sweep_every: Duration,
    /// How often all users' uses are compared with the store.
    pub scrub_every: Duration,
    /// The pause after each hundred keys of a scrub, so that it stays unnoticed.
    pub scrub_pause: Duration,
}

impl Settings {
    /// The usual patience with a Redis at this address.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            patience: Duration::from_millis(25),
            answer_within: Duration::from_millis(500),
            look_every: Duration::from_secs(1),
            sweep_every: Duration::from_secs(60),
            scrub_every: Duration::from_secs(600),
            scrub_pause: Duration::from_millis(100),
        }
    }
}

/// Settings that make no sense.
#[derive(Debug, thiserror::Error)]
#[error("the address of Redis is not one ({0}); write it as redis://host:6379")]
pub struct SettingsError(String);

/// What the adapter works with.
#[derive(Clone)]
pub struct Surroundings {
    /// What uses are compared with.
    pub store: Arc<dyn HotStore>,
    /// Tells which days are over, and when keys expire.
    pub clock: Arc<dyn Clock>,
    /// Makes generations.
    pub ids: Arc<dyn IdGen>,
    /// Where it is told how it goes.
    pub metrics: Metrics,
}

/// Limits in Redis. Its tasks end when the last one of it is dropped.
pub struct RedisLimits {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    patience: Duration,
    _stop: DropGuard,
}

/// What a batch, or the scrub, has for the courier.
pub(crate) enum Job {
    TakenOver { partition: i32, epoch: i64 },
    Reserve { reservation: Arc<Reservation>, answer: oneshot::Sender<Advice> },
    Settle(Arc<Reservation>),
    GiveBack(Arc<Reservation>),
    Mend(Box<Mend>),
}

/// What gate, courier and scrub know of one another.
#[derive(Default)]
pub(crate) struct Shared {
    /// Redis is there: it is worth while to ask.
    pub is_there: AtomicBool,
    /// Redis took longer than a batch waits: batches hand over and do not wait.
    pub is_slow: AtomicBool,
    /// Something was left out.
    pub has_missed: AtomicBool,
    /// Tenants with a day that is not over, by partition.
    in_use: Mutex<HashMap<(TenantId, i32), InUse>>,
    /// A scrub is wanted now.
    pub scrub: Notify,
    /// Reservations are to be looked through now.
    pub sweep: Notify,
}

/// A tenant of a partition of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InUse {
    pub epoch: i64,
    pub today: Today,
    /// The last batch that is settled.
    pub settled_batch: i64,
}

impl Shared {
    /// Notes a tenant's day. Earlier ones are over, and so is what an earlier owner says.
    pub fn note(&self, of: (TenantId, i32), seen: InUse) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if in_use.len() >= IN_USE_MAX {
            in_use.clear();
        }
        let known = in_use.entry(of).or_insert(seen);
        if seen.epoch < known.epoch {
            return;
        }
        let settled_batch = known.settled_batch.max(seen.settled_batch);
        if seen.today.day >= known.today.day {
            known.today = seen.today;
        }
        (known.epoch, known.settled_batch) = (seen.epoch, settled_batch);
    }

    /// All tenants noted.
    pub fn in_use(&self) -> HashMap<(TenantId, i32), InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets a partition's tenants.
    pub fn forget(&self, partition: i32) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|(_, of), _| *of != partition);
    }
}

impl RedisLimits {
    /// Starts on the current Tokio runtime. Redis need not be there. Errors: the address is none.
    pub fn start(settings: &Settings, around: Surroundings) -> Result<Self, SettingsError> {
        let client = redis::Client::open(settings.url.as_str())
            .map_err(|e| SettingsError(e.category().to_owned()))?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        around.metrics.limits_in_redis(false);
        let link = Link::new(client.clone(), settings.answer_within);
        let courier = Courier::new(link, around.clone(), shared.clone(), settings);
        tokio::spawn(stop.clone().run_until_cancelled_owned(courier.run(queue)));
        let scrubber = Scrubber::new(client, settings, around, (jobs.downgrade(), shared.clone()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(scrubber.run()));
        Ok(Self { jobs, shared, patience: settings.patience, _stop: stop.drop_guard() })
    }

    /// Compares all that Redis has of our tenants with the store, now and in the background.
    pub fn scrub_now(&self) {
        self.shared.scrub.notify_one();
    }

    /// True when Redis is asked at the moment.
    pub fn is_asking(&self) -> bool {
        self.shared.is_there.load(Ordering::Relaxed)
    }

    /// False when it is left out.
    fn hand_over(&self, job: Job) -> bool {
        if !self.is_asking() {
            return false;
        }
        let is_taken = self.jobs.try_send(job).is_ok();
        if !is_taken {
            self.shared.has_missed.store(true, Ordering::Relaxed);
        }
        is_taken
    }
}

impl LimitGate for RedisLimits {
    fn taken_over(&self, partition: i32, epoch: i64) {
        self.hand_over(Job::TakenOver { partition, epoch });
    }

    fn reserve<'a>(
        &'a self,
        reservation: &'a Arc<Reservation>,
    ) -> Pin<Box<dyn Future<Output = Advice> + Send + 'a>> {
        Box::pin(async move {
            let (answer, advice) = oneshot::channel();
            self.hand_over(Job::Reserve { reservation: reservation.clone(), answer });
            if !self.is_asking() || self.shared.is_slow.load(Ordering::Relaxed) {
                return Advice::Silent;
            }
            match tokio::time::timeout(self.patience, advice).await {
                Ok(advice) => advice.unwrap_or(Advice::Silent),
                Err(_) => {
                    self.shared.is_slow.store(true, Ordering::Relaxed);
                    Advice::Silent
                }
            }
        })
    }

    fn settle(&self, reservation: Arc<Reservation>) {
        if self.hand_over(Job::Settle(reservation.clone())) {
            return;
        }
        // No later batch may ever come to give back what it has reserved: the sweep does.
        let Reservation { partition, epoch, batch_seq: settled_batch, .. } = *reservation;
        for day in &reservation.days {
            let seen = InUse { epoch, today: Today::of(day), settled_batch };
            self.shared.note((day.tenant, partition), seen);
        }
    }

    fn give_back(&self, reservation: Arc<Reservation>) {
        self.hand_over(Job::GiveBack(reservation));
    }
}

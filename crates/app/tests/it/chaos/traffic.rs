//! What flows in meanwhile: events through REST from senders that know nothing of faults, and past
//! it from a producer of their own; some again, some late, some that are no events at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::time::{SECOND_US, Timestamp};
use testkit::random::Random;

use crate::distributed::foreign::Foreign;
use crate::distributed::happening::Happening;
use crate::distributed::rest::{Rest, Sent};

/// Events in a request, all of one tenant.
pub const BATCH: usize = 50;
/// Users of a tenant.
const USERS: u64 = 500;
/// One batch in so many goes past the REST API.
const FOREIGN_EVERY: usize = 4;
/// How long anything may stand still.
const PATIENCE: Duration = Duration::from_secs(240);
/// A sender's pause after a refusal.
const PAUSE: Duration = Duration::from_millis(40);
/// The day in µs.
const DAY_US: i64 = 86_400 * SECOND_US;

/// All events of a run; they follow from the seed and the moment it began.
pub struct Plan {
    pub seed: u64,
    pub tenants: Vec<String>,
    pub begun: Timestamp,
    pub batches: usize,
}

impl Plan {
    /// Batches that are sent while faults come. The rest follows the last one: what it has broken
    /// must work again.
    pub fn amid_faults(&self) -> usize {
        self.batches * 9 / 10
    }

    /// A batch's tenant, and its events.
    pub fn batch(&self, index: usize) -> (usize, Vec<Happening>) {
        let mut random = Random(self.seed ^ ((index as u64) << 20));
        let tenant = random.size(self.tenants.len());
        let events = (0..BATCH).map(|n| self.happening(&mut random, index * BATCH + n));
        (tenant, events.collect())
    }

    fn happening(&self, random: &mut Random, number: usize) -> Happening {
        // A few come late, some of them later than the tenant allows.
        let ago = match random.one_in(20) {
            true => random.between(0, 10 * DAY_US),
            false => random.between(0, 60 * SECOND_US),
        };
        let at = Timestamp::from_stored(self.begun.micros() - ago);
        let (cents, units) = (random.between(0, 9_999), random.between(1, 5));
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        Happening {
            id: format!("e-{number}"),
            user: format!("{:05}", 1 + random.below(USERS)),
            at,
            payload: format!("{{\"amount\":{amount},\"units\":{units}}}"),
        }
    }

    /// Bytes that are no event.
    pub fn garbage(&self, index: usize) -> Vec<u8> {
        let mut random = Random(self.seed ^ 0xbad ^ index as u64);
        let length = random.size(60);
        // Framed like an event, now and then: then its inside is at fault.
        let head: &[u8] = if random.one_in(2) { b"\xc3\x01" } else { b"no event: " };
        let rest = (0..length).map(|_| random.bits().to_le_bytes()[0]);
        head.iter().copied().chain(index.to_be_bytes()).chain(rest).collect()
    }
}

/// What was seen by those who send.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Batches acknowledged for the first time.
    pub acknowledged: usize,
    /// Events sent again though they had been acknowledged.
    pub repeated: usize,
    /// Tries without an answer.
    pub lost_answers: usize,
    /// Tries that were refused for now, by status.
    pub refused: BTreeMap<u16, usize>,
    /// Events sent with the id of another one.
    pub reused_ids: usize,
    /// Records that are no events.
    pub garbage: BTreeSet<Vec<u8>>,
}

struct Job {
    batch: usize,
    is_known: bool,
}

struct State {
    rest: VecDeque<Job>,
    foreign: VecDeque<Job>,
    /// Batches below this one may be sent.
    released: usize,
    in_hand: usize,
    tally: Tally,
    random: Random,
    /// Nothing will be released any more.
    is_closed: bool,
    /// The run has failed.
    is_abandoned: bool,
}

impl State {
    fn queue(&mut self, is_foreign: bool) -> &mut VecDeque<Job> {
        if is_foreign { &mut self.foreign } else { &mut self.rest }
    }
}

/// The senders and what they have to send.
pub struct Traffic {
    pub plan: Plan,
    state: Mutex<State>,
    changed: Condvar,
}

/// Lets the senders go when the run ends before they do.
pub struct Watch<'t>(pub &'t Traffic);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.state().is_abandoned |= std::thread::panicking();
        self.0.changed.notify_all();
    }
}

impl Traffic {
    /// Nothing of it is released yet.
    pub fn new(plan: Plan) -> Self {
        let jobs = |is_foreign: bool| {
            let of_kind =
                move |batch: &usize| (batch % FOREIGN_EVERY == FOREIGN_EVERY - 1) == is_foreign;
            (0..plan.batches).filter(of_kind).map(|batch| Job { batch, is_known: false }).collect()
        };
        let state = State {
            rest: jobs(false),
            foreign: jobs(true),
            released: 0,
            in_hand: 0,
            tally: Tally::default(),
            random: Random(plan.seed ^ 0x5e4d),
            is_closed: false,
            is_abandoned: false,
        };
        Self { plan, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// Batches below this one may be sent.
    pub fn release(&self, below: usize) {
        let mut state = self.state();
        state.released = state.released.max(below.min(self.plan.batches));
        self.changed.notify_all();
    }

    /// One batch more, a new one or one that comes again, once all that is released is sent: for a
    /// fault that waits for work.
    pub fn release_more(&self) {
        let mut state = self.state();
        if state.in_hand > 0 || state.tally.acknowledged < state.released {
            return;
        }
        // New ones are to last for all faults.
        let is_new = state.released == 0 || state.random.one_in(3);
        if is_new && state.released < self.plan.amid_faults() {
            state.released += 1;
        } else {
            state.tally.repeated += BATCH;
            let released = state.released;
            let batch = state.random.size(released);
            state.rest.push_front(Job { batch, is_known: true });
        }
        self.changed.notify_all();
    }

    /// All that is left may be sent, and nothing comes after it.
    pub fn close(&self) {
        self.release(usize::MAX);
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until so many batches are acknowledged.
    pub fn wait_for(&self, batches: usize) {
        let mut state = self.state();
        let mut moved = (state.tally.acknowledged, Instant::now());
        while state.tally.acknowledged < batches.min(self.plan.batches) {
            assert!(!state.is_abandoned, "a sender has failed");
            if moved.0 != state.tally.acknowledged {
                moved = (state.tally.acknowledged, Instant::now());
            }
            assert!(moved.1.elapsed() < PATIENCE, "nothing moves: {:?}", state.tally);
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets time pass while the senders go on: the moment of a fault must be nobody's choice.
    pub fn pass(&self, time: Duration) {
        let (begin, mut state) = (Instant::now(), self.state());
        while let Some(left) = time.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends through REST until all is acknowledged.
    pub fn send(&self, rest: &Rest) {
        let _watch = Watch(self);
        while let Some(job) = self.next(false) {
            let (tenant, events) = self.plan.batch(job.batch);
            self.until_acknowledged(rest, &self.plan.tenants[tenant], &events);
            self.done(job, false);
        }
    }

    /// Sends past REST until all is acknowledged.
    pub fn produce(&self, mut foreign: Foreign) {
        let _watch = Watch(self);
        while let Some(job) = self.next(true) {
            let (tenant, events) = self.plan.batch(job.batch);
            // Of the first tenant, some records lie on another partition than the rest.
            let is_other = tenant == 0;
            let tenant = &self.plan.tenants[tenant];
            for event in &events {
                foreign.event(tenant, event, is_other);
            }
            let mut random = Random(self.plan.seed ^ 0xf0e1 ^ job.batch as u64);
            let reused = random.one_in(6);
            if reused {
                let other = Happening {
                    payload: "{\"amount\":0,\"units\":9}".to_owned(),
                    ..events.into_iter().next().expect("a batch is not empty")
                };
                foreign.event(tenant, &other, is_other);
            }
            let garbage = random.one_in(4).then(|| self.plan.garbage(job.batch));
            if let Some(bytes) = &garbage {
                foreign.bytes(bytes);
            }
            foreign.flush();
            let mut state = self.state();
            state.tally.reused_ids += usize::from(reused);
            state.tally.garbage.extend(garbage);
            drop(state);
            self.done(job, true);
        }
    }

    fn next(&self, is_foreign: bool) -> Option<Job> {
        let mut state = self.state();
        loop {
            let is_over = state.in_hand == 0 && state.rest.is_empty() && state.foreign.is_empty();
            if state.is_abandoned || (state.is_closed && is_over) {
                return None;
            }
            let released = state.released;
            let queue = state.queue(is_foreign);
            if queue.front().is_some_and(|job| job.batch < released) {
                let job = queue.pop_front();
                state.in_hand += 1;
                return job;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, job: Job, is_foreign: bool) {
        let mut state = self.state();
        state.in_hand -= 1;
        if !job.is_known {
            state.tally.acknowledged += 1;
        }
        // Sent again a little later, by the same way or by the other one.
        if state.random.one_in(8) {
            state.tally.repeated += BATCH;
            let is_foreign = is_foreign != state.random.one_in(3);
            let last = state.queue(is_foreign).len().min(30);
            let place = state.random.size(last + 1);
            let again = Job { batch: job.batch, is_known: true };
            state.queue(is_foreign).insert(place, again);
        }
        self.changed.notify_all();
    }

    fn until_acknowledged(&self, rest: &Rest, tenant: &str, events: &[Happening]) {
        let begun = Instant::now();
        loop {
            match rest.send(tenant, events) {
                Sent::Acknowledged => return,
                Sent::Unanswered => self.state().tally.lost_answers += 1,
                Sent::Refused(status) => {
                    *self.state().tally.refused.entry(status).or_default() += 1;
                }
            }
            assert!(!self.state().is_abandoned, "the run has failed");
            assert!(begun.elapsed() < PATIENCE, "a batch finds nobody");
            self.pass(PAUSE);
        }
    }
}

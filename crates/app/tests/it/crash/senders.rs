//! Parallel senders that know nothing of crashes: what is not acknowledged is sent again, and now
//! and then what was.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::random::Random;

use crate::process::Caller;

/// How long anything may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the senders and the killer share.
pub struct Field {
    state: Mutex<State>,
    changed: Condvar,
    caller: Caller,
}

#[derive(Default)]
struct State {
    /// Where the process answers; `None` while there is none.
    url: Option<String>,
    /// Batches not yet begun.
    queue: VecDeque<Batch>,
    /// Batches in the hands of senders.
    in_hand: usize,
    /// How many batches may still be begun in this life of the process.
    allowance: usize,
    tally: Tally,
    random: Random,
    /// The test has failed: nobody will start a process any more.
    abandoned: bool,
}

/// Lets the senders go when the test ends before they do.
pub struct Watch<'f>(pub &'f Field);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.state().abandoned = std::thread::panicking();
        self.0.changed.notify_all();
    }
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Batches that were acknowledged.
    pub acknowledged: usize,
    /// Tries that ended without an answer.
    pub lost_answers: usize,
    /// Events that were in the log though nobody had been told.
    pub durable_unknown: usize,
    /// Events sent again though they had been acknowledged.
    pub repeated: usize,
}

#[derive(Clone)]
struct Batch {
    events: Vec<Value>,
    /// All of it was acknowledged before.
    known: bool,
}

impl Field {
    /// The events in batches of `size`, nothing of it allowed yet.
    pub fn new(events: &[Value], size: usize, caller: Caller, seed: u64) -> Self {
        let queue =
            events.chunks(size).map(|events| Batch { events: events.to_vec(), known: false });
        let state = State { queue: queue.collect(), random: Random(seed), ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new(), caller }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands, for a message.
    pub fn shown(&self) -> String {
        let state = self.state();
        let (queue, in_hand, allowance) = (state.queue.len(), state.in_hand, state.allowance);
        format!("{queue} batches left, {in_hand} in hand, {allowance} allowed, {:?}", state.tally)
    }

    /// Batches not yet begun.
    pub fn left(&self) -> usize {
        self.state().queue.len()
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        self.state().tally
    }

    /// A process answers here, and takes so many batches.
    pub fn open(&self, url: &str, allowance: usize) {
        let mut state = self.state();
        state.url = Some(url.to_owned());
        state.allowance = allowance;
        self.changed.notify_all();
    }

    /// There is no process any more.
    pub fn close(&self) {
        self.state().url = None;
    }

    /// Waits until so many more batches are acknowledged, or none is left or allowed and all begun
    /// are answered, or `until` says so. True when there was nothing more to wait for.
    pub fn wait_for(&self, more: usize, mut until: impl FnMut() -> bool) -> bool {
        let mut state = self.state();
        let mut moved = (state.tally.acknowledged, Instant::now());
        let goal = state.tally.acknowledged.saturating_add(more);
        loop {
            let idle = state.in_hand == 0 && (state.queue.is_empty() || state.allowance == 0);
            if idle || state.tally.acknowledged >= goal || until() {
                return idle;
            }
            if moved.0 != state.tally.acknowledged {
                moved = (state.tally.acknowledged, Instant::now());
            }
            assert!(moved.1.elapsed() < PATIENCE, "nothing moves: {:?}", state.tally);
            let waited = self.changed.wait_timeout(state, Duration::from_millis(2));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets time pass while the senders go on: the moment of a death must be nobody's choice.
    pub fn pass(&self, time: Duration) {
        let (begin, mut state) = (Instant::now(), self.state());
        while let Some(left) = time.checked_sub(begin.elapsed()) {
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends until everything is acknowledged.
    pub fn send(&self, query: &str) {
        while let Some(batch) = self.next() {
            let tries = self.send_one(query, &batch);
            let mut state = self.state();
            state.in_hand -= 1;
            state.tally.acknowledged += 1;
            state.tally.lost_answers += tries;
            let again = state.random.one_in(6);
            if again {
                state.tally.repeated += batch.events.len();
                state.allowance += 1;
                let last = state.queue.len().min(40);
                let place = state.random.size(last + 1);
                state.queue.insert(place, Batch { known: true, ..batch });
            }
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            if state.abandoned || (state.queue.is_empty() && state.in_hand == 0) {
                return None;
            }
            if state.allowance > 0
                && let Some(batch) = state.queue.pop_front()
            {
                state.allowance -= 1;
                state.in_hand += 1;
                return Some(batch);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends a batch until it is acknowledged; how often no answer came.
    fn send_one(&self, query: &str, batch: &Batch) -> usize {
        let (begin, mut lost) = (Instant::now(), 0);
        let body = json!({ "events": batch.events });
        loop {
            assert!(begin.elapsed() < PATIENCE, "a batch finds nobody");
            let url = format!("{}/api/v1/events:batch{query}", self.url());
            let Some((status, answer)) = self.caller.call("POST", &url, Some(&body)) else {
                lost += 1;
                // The process is gone, or the next one not there yet.
                let waited = self.changed.wait_timeout(self.state(), Duration::from_millis(5));
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            };
            assert_eq!(status, 200, "{answer:#}");
            let results = answer["results"].as_array().expect("results");
            assert_eq!(results.len(), batch.events.len());
            let is = |word: &str| results.iter().filter(|r| r["status"] == word).count();
            let (accepted, duplicates) = (is("ACCEPTED"), is("DUPLICATE"));
            assert_eq!(accepted + duplicates, results.len(), "{answer:#}");
            if batch.known {
                assert_eq!(accepted, 0, "an acknowledged event was not there any more");
            } else {
                self.state().tally.durable_unknown += duplicates;
            }
            return lost;
        }
    }

    fn url(&self) -> String {
        let (begin, mut state) = (Instant::now(), self.state());
        loop {
            if let Some(url) = &state.url {
                return url.clone();
            }
            assert!(!state.abandoned, "the test has failed");
            assert!(begin.elapsed() < PATIENCE, "no process comes up");
            let waited = self.changed.wait_timeout(state, Duration::from_millis(50));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

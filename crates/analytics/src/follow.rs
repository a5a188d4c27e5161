//! Follows a feed of captured rows and lets them land: the life of the role `analytics`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::time::{Day, SECOND_US, Timestamp};
use engine::captured::{Applied, CapturedFeed};
use engine::policy::Backoff;
use engine::ports::{Clock, PortError, PortErrorKind};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::LandingError;
use crate::landing::Landing;
use crate::metrics::Metrics;

/// Rows taken at once.
const TAKE_MAX: usize = 10_000;
/// Merges after each other, before rows are taken again.
const MERGES_MAX: usize = 4;
/// Pauses between two attempts at what failed.
const AGAIN: Backoff = Backoff { first: Duration::from_millis(200), most: Duration::from_secs(10) };
/// Seconds between two looks at how far behind we are, and between two attempts to merge after one
/// that failed.
const LOOK_SECONDS: i64 = 5;
const MERGE_AGAIN_SECONDS: i64 = 60;

/// What a follower works with.
pub struct Around {
    /// Where rows come from.
    pub feed: Arc<dyn CapturedFeed>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// What others may know.
    pub status: Status,
}

/// How a landing is doing, for others to ask; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    trouble: Option<String>,
    landed: Arc<Counts>,
}

/// What has landed, to be compared with the database.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rows, by day.
    pub rows: BTreeMap<Day, u64>,
    /// The last place, by tenant and source partition.
    pub applied: Applied,
}

impl Status {
    /// `Err` says why nothing lands at the moment.
    pub fn check(&self) -> Result<(), String> {
        self.lock().trouble.clone().map_or(Ok(()), Err)
    }

    /// What has landed.
    pub fn landed(&self) -> Arc<Counts> {
        self.lock().landed.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets land what the feed brings, until told to stop; then what is in hand lands too. It writes to
/// the disk, so it wants a thread of its own, on which the runtime's futures may be waited for.
pub fn follow(landing: Landing, around: Around, runtime: &Handle, stop: &CancellationToken) {
    let now = around.clock.now();
    let mut follower = Follower {
        landing,
        around,
        runtime,
        stop,
        last_row: now,
        next_look: now,
        next_merge: now,
        failures: 0,
    };
    follower.show();
    while !stop.is_cancelled() {
        follower.round();
    }
    follower.land();
}

struct Follower<'a> {
    landing: Landing,
    around: Around,
    runtime: &'a Handle,
    stop: &'a CancellationToken,
    last_row: Timestamp,
    next_look: Timestamp,
    next_merge: Timestamp,
    /// In a row.
    failures: u32,
}

impl Follower<'_> {
    fn round(&mut self) {
        if !self.landing.is_full()
            && let Err(error) = self.take()
        {
            return self.without_feed(&error);
        }
        let now = self.around.clock.now();
        if self.landing.is_due(now) {
            // Nothing more is taken before this has landed: memory stays bounded.
            if !self.land() {
                return self.pause();
            }
            self.merge(now);
        }
        self.around.status.lock().trouble = None;
        self.failures = 0;
        self.look(now);
    }

    /// Takes what the feed has; waits a moment when it has nothing.
    fn take(&mut self) -> Result<(), PortError> {
        let batch = self.runtime.block_on(self.around.feed.take(TAKE_MAX))?;
        let now = self.around.clock.now();
        if !batch.rows.is_empty() {
            self.last_row = now;
        }
        for row in batch.rows {
            let is_new = self.landing.take(row, now);
            self.around.metrics.came(is_new);
        }
        for (partition, offset) in batch.offsets {
            self.landing.reached(partition, offset);
        }
        Ok(())
    }

    /// What is in hand lands, and then it is waited: for the feed, or for an operator.
    fn without_feed(&mut self, error: &PortError) {
        let landed = self.land();
        if landed {
            self.around.status.lock().trouble = Some(error.to_string());
        }
        if self.failures == 0 || error.kind == PortErrorKind::Corrupt {
            tracing::warn!(%error, "captured rows do not come");
        }
        if landed && error.kind == PortErrorKind::Corrupt {
            // It stays so until the process starts anew.
            return self.runtime.block_on(self.stop.cancelled());
        }
        self.pause();
    }

    /// False when it failed; everything is still in hand then.
    fn land(&mut self) -> bool {
        let landed = self.landing.land(self.around.clock.now());
        match landed {
            Ok(landed) => {
                self.around.metrics.landed(landed);
                if landed.rows > 0 {
                    let version = self.landing.manifest().version;
                    tracing::debug!(rows = landed.rows, files = landed.files, version, "landed");
                    self.show();
                }
                true
            }
            Err(error) => {
                self.failed(&error, "rows cannot land and are kept in hand");
                self.around.status.lock().trouble = Some(error.to_string());
                false
            }
        }
    }

    /// Merges what is due, and removes what was merged long enough ago.
    fn merge(&mut self, now: Timestamp) {
        if now < self.next_merge {
            return;
        }
        let merged = (0..MERGES_MAX).try_for_each(|_| match self.landing.merge(now) {
            Ok(true) => {
                self.around.metrics.merged();
                Ok(())
            }
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        });
        let swept = self.landing.sweep(now);
        if let Some(error) = merged.err().flatten().or(swept.err()) {
            self.failed(&error, "small files stay as they are for now");
            self.next_merge = now.plus_micros(MERGE_AGAIN_SECONDS * SECOND_US);
        }
    }

    fn failed(&self, error: &LandingError, what: &'static str) {
        self.around.metrics.failed();
        tracing::warn!(%error, "{what}");
    }

    fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = AGAIN.pause(self.failures);
        let pause = async { self.stop.run_until_cancelled(tokio::time::sleep(pause)).await };
        self.runtime.block_on(pause);
    }

    fn look(&mut self, now: Timestamp) {
        if now < self.next_look {
            return;
        }
        self.next_look = now.plus_micros(LOOK_SECONDS * SECOND_US);
        if let Ok(lag) = self.runtime.block_on(self.around.feed.lag()) {
            let seconds = now.micros().saturating_sub(self.last_row.micros()) / SECOND_US;
            self.around.metrics.stands(&self.landing, lag, seconds);
        }
    }

    fn show(&self) {
        let manifest = self.landing.manifest();
        let landed = Counts { rows: manifest.rows_by_day(), applied: manifest.applied() };
        self.around.status.lock().landed = Arc::new(landed);
    }
}

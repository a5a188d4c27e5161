//! The batch that is with the store while the next one is decided.
//!
//! Deciding needs the processor, committing the disk or another machine: so the next batch is
//! decided while the last one is written, on what that one is going to leave. Nothing that follows
//! from a batch is told to anybody before it is committed, and a batch is handed to the store only
//! when the one before it is. If that one is refused, what was decided on it is thrown away and its
//! records are taken again.

use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use domain::decide::{EventOutcome, Lane, Loaded, Needs};
use domain::limit::Meter;
use domain::time::Day;
use rust_decimal::Decimal;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::crash::{self, CrashPoint};
use crate::hub::{Hub, QuestProgress};
use crate::metrics::Metrics;
use crate::ports::{
    BatchCommit, Committed, HotStore, LimitGate, PortError, PortErrorKind, Position, Reservation,
};

/// A batch that the store has not answered for yet.
pub(super) struct Pending {
    batch: Arc<BatchCommit>,
    /// Where its partition stands without it.
    before: Position,
    answer: JoinHandle<Result<Committed, PortError>>,
}

/// What became of a pending batch.
pub(super) enum Settled {
    /// It is committed, and this is it.
    Done(Arc<BatchCommit>),
    /// It was refused: what it read has changed.
    Stale,
    /// Another batch of ours was there in its place.
    Overtaken,
}

impl Pending {
    /// Hands a batch to the store. Its hearers are told as soon as it is committed, whatever the
    /// calculator is at by then.
    pub async fn submit(store: Arc<dyn HotStore>, before: Position, batch: Submission) -> Self {
        let (kept, submitted) = (batch.batch.clone(), Instant::now());
        let commit = async move {
            let answer = store.commit(batch.batch.clone()).await?;
            match answer {
                Committed::Done => {
                    crash::point(CrashPoint::AfterCommit);
                    batch.tell(before, submitted.elapsed());
                }
                Committed::Stale => batch.give_back(),
                // What is in its place may be what it had reserved for.
                Committed::Overtaken { .. } => {}
            }
            Ok(answer)
        };
        let mut commit = Box::pin(commit);
        // Begun here, so that it is on its way before another thread is found to see to it.
        let answer = match poll_fn(|cx| Poll::Ready(commit.as_mut().poll(cx))).await {
            Poll::Ready(answer) => tokio::spawn(ready(answer)),
            // Not ended with the calculator: what the store was given, it finishes in any case.
            Poll::Pending => tokio::spawn(commit),
        };
        Self { batch: kept, before, answer }
    }

    /// Where the partition stands after it.
    pub fn after(&self) -> Position {
        after(self.before, &self.batch)
    }

    /// Waits for the store's answer and sets the position to where the partition stands by it.
    /// Errors: those of the commit; whether it took place is seen when the records are taken again.
    pub async fn settle(self, position: &mut Position) -> Result<Settled, PortError> {
        *position = self.before;
        let answer = self.answer.await.map_err(|e| PortError {
            kind: PortErrorKind::Invalid,
            message: format!("committing a batch broke off: {e}"),
        })?;
        Ok(match answer? {
            Committed::Done => {
                *position = after(self.before, &self.batch);
                Settled::Done(self.batch)
            }
            Committed::Stale => Settled::Stale,
            Committed::Overtaken { next_offset, batch_seq } => {
                (position.next_offset, position.batch_seq) = (next_offset, batch_seq);
                Settled::Overtaken
            }
        })
    }

    /// Sets what was loaded to how it is once this batch is committed: whether the store showed it
    /// before or after, for all that a batch writes is absolute.
    pub fn overlay(&self, needs: &Needs, loaded: &mut Loaded) {
        for write in self.batch.states.iter().filter(|w| needs.users.contains(&w.user)) {
            let user = loaded.users.entry(write.user).or_default();
            user.version = write.expected_version + 1;
            user.state = write.state.clone();
            if needs.attributes && write.attributes.is_some() {
                user.attributes.clone_from(&write.attributes);
            }
        }
        let marks = self.batch.marks.iter().map(|mark| (mark.user, mark.key));
        loaded.marks.extend(marks.filter(|mark| needs.marks.contains(mark)));
        for write in &self.batch.usage {
            let key = (write.tenant, write.key.clone());
            let Some(from) = needs.usage.get(&key) else { continue };
            let meter = loaded.usage.entry(key).or_default();
            match write.bucket {
                None => meter.ever = write.used,
                Some(day) if day >= *from => set(meter, day, write.used),
                Some(_) => {}
            }
        }
        for (tenant, moved) in &self.batch.lanes {
            if let Some(lane) = loaded.lanes.get_mut(tenant) {
                *lane = Lane { append_time: moved.to, version: moved.from.version + 1 };
            }
        }
        for write in &self.batch.events {
            let key = (write.record.event.tenant_id, write.key);
            if needs.event_ids.contains(&key) {
                loaded.event_ids.insert(key, write.content_hash);
            }
        }
    }
}

fn set(meter: &mut Meter<Decimal>, day: Day, used: Decimal) {
    match meter.days.binary_search_by_key(&day, |(day, _)| *day) {
        Ok(at) => meter.days[at].1 = used,
        Err(at) => meter.days.insert(at, (day, used)),
    }
}

fn after(before: Position, batch: &BatchCommit) -> Position {
    Position {
        next_offset: batch.offset_to,
        batch_seq: batch.batch_seq,
        mark: batch.mark,
        ..before
    }
}

/// Who hears of a batch once it is committed.
#[derive(Clone)]
pub(super) struct Hearers {
    pub metrics: Metrics,
    /// The relay. When it is slow it misses some, and finds them in the store.
    pub granted: Option<mpsc::Sender<Arc<BatchCommit>>>,
    pub hub: Option<Arc<Hub>>,
    pub limits: Option<Arc<dyn LimitGate>>,
    /// Where the partition stands.
    pub position: watch::Sender<Option<Position>>,
}

/// A batch to commit, with what is told of it afterwards.
pub(super) struct Submission {
    pub batch: Arc<BatchCommit>,
    pub outcomes: Vec<EventOutcome>,
    /// How far users who listen have come in quests.
    pub progress: Vec<Arc<QuestProgress>>,
    pub reserved: Option<Arc<Reservation>>,
    /// How long it took to decide.
    pub took: Duration,
    pub hearers: Hearers,
}

impl Submission {
    fn give_back(self) {
        if let (Some(limits), Some(reserved)) = (self.hearers.limits, self.reserved) {
            limits.give_back(reserved);
        }
    }

    fn tell(self, before: Position, commit: Duration) {
        let Self { batch, outcomes, progress, reserved, took, hearers } = self;
        let Hearers { metrics, granted, hub, limits, position } = hearers;
        if let (Some(limits), Some(reserved)) = (limits, reserved) {
            limits.settle(reserved);
        }
        metrics.committed(&outcomes, batch.incentives.len(), batch.dead_letters.len());
        metrics.batch_seconds(took.as_secs_f64(), commit.as_secs_f64());
        tracing::debug!(
            partition = batch.partition,
            batch_seq = batch.batch_seq,
            events = outcomes.len(),
            incentives = batch.incentives.len(),
            decide_us = took.as_micros(),
            commit_us = commit.as_micros(),
            "batch committed"
        );
        if let Some(hub) = hub {
            hub.announce_progress(&progress);
        }
        let after = after(before, &batch);
        if let Some(granted) = granted {
            let _missed = granted.try_send(batch);
        }
        position.send_replace(Some(after));
    }
}

//! The relay: publishes what is committed, in the dense order of batch and ordinal, and records
//! each publication. What is committed and not recorded is published (again) after a restart.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{IncentiveId, UserId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::crash::{self, CrashPoint};
use crate::metrics::Metrics;
use crate::policy::{Ended, Health, Persistence};
use crate::ports::{BatchCommit, IncentiveEvent, Place, Position};
use crate::worker::Ports;

/// Incentives published at once.
const PUBLISH_MAX: usize = 1000;
/// How long publications are gathered before they are recorded.
const RECORD_EVERY: Duration = Duration::from_millis(20);
/// Incentives recorded at once; one publication more.
const RECORD_MAX: usize = 16 * PUBLISH_MAX;
/// Publications of [`PUBLISH_MAX`] that may wait to be recorded.
const UNRECORDED_MAX: usize = 16;

/// Relays one partition.
pub struct Relay {
    partition: i32,
    ports: Ports,
    metrics: Metrics,
    /// The worker's: where to begin, and when there may be more.
    committed: watch::Receiver<Option<Position>>,
    /// Batches as they are committed, so that they need not be read back. Best effort: what is
    /// missing here is in the store.
    granted: mpsc::Receiver<Arc<BatchCommit>>,
    health: watch::Sender<Health>,
    publishing: watch::Sender<Health>,
    recording: watch::Sender<Health>,
}

/// Published, to be recorded.
struct Publication {
    events: Vec<(IncentiveId, UserId)>,
    up_to: Place,
}

/// How far publishing has come.
struct Reached {
    /// The last place published.
    place: Place,
    /// All batches up to this one are published.
    batch_seq: i64,
}

impl Relay {
    /// A relay that follows a worker. See [`crate::worker::Worker::relay`].
    pub(crate) fn following(
        partition: i32,
        ports: Ports,
        committed: watch::Receiver<Option<Position>>,
        granted: mpsc::Receiver<Arc<BatchCommit>>,
        metrics: Metrics,
    ) -> Self {
        let [health, publishing, recording] =
            [(); 3].map(|()| watch::Sender::new(Health::Starting));
        Self { partition, ports, metrics, committed, granted, health, publishing, recording }
    }

    /// How it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Runs until told to stop; what is published by then is recorded. Ends by itself when its
    /// worker is gone and all is published. Returns how it ended.
    pub async fn run(mut self, stop: CancellationToken) -> Health {
        let (published, unrecorded) = mpsc::channel(UNRECORDED_MAX);
        let granted = std::mem::replace(&mut self.granted, mpsc::channel(1).1);
        // Recording ends when publishing has, and goes on to the last publication. Publishing has
        // no end of its own while nothing is granted: what cannot be recorded ends it.
        let publishes = stop.child_token();
        let record = async {
            let recorded = self.record(&stop, unrecorded).await;
            publishes.cancel();
            recorded
        };
        let work = async { tokio::join!(self.publish(&publishes, granted, published), record) };
        let (publish, record) = tokio::select! {
            ends = work => ends,
            never = self.tell_health() => match never {},
        };
        let end = record.err().or(publish.err()).map_or(Health::Stopped, |Ended(end)| end);
        if let Health::Halted(why) = &end {
            tracing::error!(partition = self.partition, why, "the relay has halted");
        }
        self.health.send_replace(end.clone());
        end
    }

    /// Tells how the whole is. Each half has its own health: where one goes well, the other may
    /// still be waiting, and neither may tell so for the other.
    async fn tell_health(&self) -> Infallible {
        let [mut publishing, mut recording] =
            [&self.publishing, &self.recording].map(watch::Sender::subscribe);
        loop {
            let publishes = publishing.borrow_and_update().clone();
            let health = match recording.borrow_and_update().clone() {
                waits @ Health::Waiting(_) => waits,
                _ => publishes,
            };
            self.health.send_if_modified(|told| {
                let is_news = *told != health;
                *told = health;
                is_news
            });
            // Both senders are ours.
            tokio::select! {
                _ = publishing.changed() => {}
                _ = recording.changed() => {}
            }
        }
    }

    async fn publish(
        &self,
        stop: &CancellationToken,
        mut granted: mpsc::Receiver<Arc<BatchCommit>>,
        published: mpsc::Sender<Publication>,
    ) -> Result<Infallible, Ended> {
        let persist = Persistence::new(&self.publishing, stop);
        let mut committed = self.committed.clone();
        let begin = async {
            let taken_over = committed.wait_for(Option::is_some).await;
            taken_over.ok().and_then(|p| p.as_ref().map(|p| p.published))
        };
        // Without a place to begin at, the worker has ended before it could begin itself.
        let place = persist.unless_stopped(begin).await?.ok_or(Ended(Health::Stopped))?;
        let mut reached = Reached { place, batch_seq: place.batch_seq - 1 };
        loop {
            persist.unless_told_to_stop()?;
            // Seen before looking: what is committed while we look wakes us again.
            let newest = committed.borrow_and_update().map_or(0, |p| p.batch_seq);
            let events = match reached.next_in_memory(&mut granted) {
                Some(events) => events,
                None if reached.batch_seq < newest => {
                    let (store, after) = (&self.ports.store, reached.place);
                    let read = || store.unpublished(self.partition, after, PUBLISH_MAX);
                    reached.next_in_store(persist.insist(read).await?, newest)
                }
                None => {
                    persist.goes_well();
                    if persist.unless_stopped(committed.changed()).await?.is_err() {
                        // The worker is gone: nothing more will be committed.
                        return Err(Ended(Health::Stopped));
                    }
                    continue;
                }
            };
            for part in events.chunks(PUBLISH_MAX) {
                crash::point(CrashPoint::BeforePublish);
                persist.insist(|| self.ports.bus.publish(self.partition, part)).await?;
                crash::point(CrashPoint::AfterPublish);
                if published.send(Publication::of(part)).await.is_err() {
                    return Err(Ended(Health::Stopped));
                }
            }
            persist.goes_well();
            self.metrics.published(events.len());
            self.metrics.relay_lag(newest, reached.batch_seq);
        }
    }

    async fn record(
        &self,
        stop: &CancellationToken,
        mut unrecorded: mpsc::Receiver<Publication>,
    ) -> Result<(), Ended> {
        let persist = Persistence::new(&self.recording, stop);
        while let Some(Publication { mut events, mut up_to }) = unrecorded.recv().await {
            // Several publications share one commit, so that recording seldom takes the turn of a
            // batch. What is not recorded when the process dies is published again.
            let gathered = Instant::now() + RECORD_EVERY;
            while events.len() < RECORD_MAX
                && let Ok(Some(next)) = timeout_at(gathered, unrecorded.recv()).await
            {
                events.extend(next.events);
                up_to = next.up_to;
            }
            crash::point(CrashPoint::BeforeLog);
            let (events, at) = (Arc::new(events), self.ports.clock.now());
            let (store, partition) = (&self.ports.store, self.partition);
            persist.insist(|| store.published(partition, events.clone(), up_to, at)).await?;
            // What failed may have been the last for a long time: who is not ready gets no more.
            persist.goes_well();
            crash::point(CrashPoint::AfterLog);
        }
        Ok(())
    }
}

impl Publication {
    fn of(events: &[IncentiveEvent]) -> Self {
        let ids = events.iter().map(|e| (e.incentive.id, e.incentive.user));
        let up_to = events.last().map_or(Place::BEFORE_ALL, |e| e.place);
        Self { events: ids.collect(), up_to }
    }
}

impl Reached {
    /// The incentives of the next batch, if the worker handed it over. Batches that do not follow
    /// are dropped: the store has them.
    fn next_in_memory(
        &mut self,
        granted: &mut mpsc::Receiver<Arc<BatchCommit>>,
    ) -> Option<Vec<IncentiveEvent>> {
        while let Ok(batch) = granted.try_recv() {
            if batch.batch_seq != self.batch_seq + 1 {
                continue;
            }
            let places = (0..).map(|ordinal| Place { batch_seq: batch.batch_seq, ordinal });
            let events = batch.incentives.iter().cloned().zip(places);
            let events = events.map(|(incentive, place)| IncentiveEvent { incentive, place });
            let events: Vec<_> = events.filter(|e| e.place > self.place).collect();
            self.batch_seq = batch.batch_seq;
            self.place = events.last().map_or(self.place, |e| e.place);
            return Some(events);
        }
        None
    }

    /// What the store had after the last place, when batches up to `newest` were committed.
    fn next_in_store(&mut self, events: Vec<IncentiveEvent>, newest: i64) -> Vec<IncentiveEvent> {
        self.place = events.last().map_or(self.place, |e| e.place);
        if events.len() < PUBLISH_MAX {
            // There was nothing more. It may have seen a later batch than that, and then whole.
            self.batch_seq = newest.max(self.place.batch_seq);
        }
        events
    }
}

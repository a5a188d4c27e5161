//! The relay: publishes what is committed, in the dense order of batch and ordinal, and records
//! each publication. What is committed and not recorded is published (again) after a restart.

use std::convert::Infallible;
use std::sync::Arc;

use domain::id::{IncentiveId, UserId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::crash::{self, CrashPoint};
use crate::metrics::Metrics;
use crate::policy::{Ended, Health, Persistence};
use crate::ports::{Bus, Clock, HotStore, IncentiveEvent, Place, Position};

/// Incentives published at once.
const PUBLISH_MAX: usize = 1000;
/// Publications of [`PUBLISH_MAX`] that may wait to be recorded.
const UNRECORDED_MAX: usize = 16;

/// Relays one partition.
pub struct Relay {
    partition: i32,
    bus: Arc<dyn Bus>,
    store: Arc<dyn HotStore>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// The worker's: where to begin, and when there may be more.
    committed: watch::Receiver<Option<Position>>,
    health: watch::Sender<Health>,
}

/// Published, to be recorded.
struct Publication {
    events: Vec<(IncentiveId, UserId)>,
    up_to: Place,
}

impl Relay {
    /// A relay that follows a worker's progress.
    pub fn new(
        partition: i32,
        (bus, store): (Arc<dyn Bus>, Arc<dyn HotStore>),
        clock: Arc<dyn Clock>,
        committed: watch::Receiver<Option<Position>>,
        metrics: Metrics,
    ) -> Self {
        let health = watch::Sender::new(Health::Starting);
        Self { partition, bus, store, clock, metrics, committed, health }
    }

    /// How it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Runs until told to stop; what is published by then is recorded. Returns how it ended.
    pub async fn run(self, stop: CancellationToken) -> Health {
        let (published, unrecorded) = mpsc::channel(UNRECORDED_MAX);
        // Recording ends when publishing has, and goes on to the last publication.
        let (publish, record) =
            tokio::join!(self.publish(&stop, published), self.record(&stop, unrecorded));
        let end = record.err().or(publish.err()).map_or(Health::Stopped, |Ended(end)| end);
        if let Health::Halted(why) = &end {
            tracing::error!(partition = self.partition, why, "the relay has halted");
        }
        self.health.send_replace(end.clone());
        end
    }

    async fn publish(
        &self,
        stop: &CancellationToken,
        published: mpsc::Sender<Publication>,
    ) -> Result<Infallible, Ended> {
        let persist = Persistence::new(&self.health, stop);
        let mut committed = self.committed.clone();
        let mut at = persist
            .unless_stopped(async {
                let taken_over = committed.wait_for(Option::is_some).await;
                taken_over.ok().and_then(|p| p.as_ref().map(|p| p.published))
            })
            .await?
            // The worker has ended before it could begin.
            .ok_or(Ended(Health::Stopped))?;
        loop {
            persist.unless_told_to_stop()?;
            // Seen before looking: what is committed while we look wakes us again.
            let batch_seq = committed.borrow_and_update().map_or(0, |p| p.batch_seq);
            let (store, partition) = (&self.store, self.partition);
            let events = persist.insist(|| store.unpublished(partition, at, PUBLISH_MAX)).await?;
            persist.goes_well();
            let Some(last) = events.last() else {
                self.metrics.relay_lag(0, at);
                if persist.unless_stopped(committed.changed()).await?.is_err() {
                    // The worker is gone: nothing more will be committed.
                    return Err(Ended(Health::Stopped));
                }
                continue;
            };
            at = last.place;
            crash::point(CrashPoint::BeforePublish);
            persist.insist(|| self.bus.publish(&events)).await?;
            crash::point(CrashPoint::AfterPublish);
            self.metrics.published(events.len());
            self.metrics.relay_lag(batch_seq, at);
            if published.send(Publication::of(&events, at)).await.is_err() {
                return Err(Ended(Health::Stopped));
            }
        }
    }

    async fn record(
        &self,
        stop: &CancellationToken,
        mut unrecorded: mpsc::Receiver<Publication>,
    ) -> Result<(), Ended> {
        let persist = Persistence::new(&self.health, stop);
        while let Some(Publication { mut events, mut up_to }) = unrecorded.recv().await {
            // Under load several publications share one commit.
            while let Ok(next) = unrecorded.try_recv() {
                events.extend(next.events);
                up_to = next.up_to;
            }
            crash::point(CrashPoint::BeforeLog);
            let (events, at) = (Arc::new(events), self.clock.now());
            let (store, partition) = (&self.store, self.partition);
            persist.insist(|| store.published(partition, events.clone(), up_to, at)).await?;
            crash::point(CrashPoint::AfterLog);
        }
        Ok(())
    }
}

impl Publication {
    fn of(events: &[IncentiveEvent], up_to: Place) -> Self {
        let ids = events.iter().map(|e| (e.incentive.id, e.incentive.user));
        Self { events: ids.collect(), up_to }
    }
}

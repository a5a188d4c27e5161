//! The calculator's worker: takes over a partition, then takes batches and has them decided, until
//! it is told to stop, another process takes over, or something is wrong that a person must see.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::batch::Decider;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::policy::{Ended, Health, Persistence};
use crate::ports::{Bus, Clock, ControlPlane, HotStore, LimitGate, Position};
use crate::relay::Relay;

/// Records in a batch at most, unless configured otherwise.
pub const BATCH_MAX_DEFAULT: usize = 2000;

/// What a worker works with.
#[derive(Clone)]
pub struct Ports {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// The store.
    pub store: Arc<dyn HotStore>,
    /// Where the rules come from.
    pub control: Arc<dyn ControlPlane>,
    /// The clock, for the record only: it decides nothing.
    pub clock: Arc<dyn Clock>,
    /// The shared view of limits; `None` where the store alone knows them.
    pub limits: Option<Arc<dyn LimitGate>>,
}

/// Decides one partition.
pub struct Worker {
    ports: Ports,
    decider: Decider,
    metrics: Metrics,
    partition: i32,
    batch_max: usize,
    health: watch::Sender<Health>,
}

impl Worker {
    /// A worker of one partition that takes at most `batch_max` records at a time.
    pub fn new(partition: i32, batch_max: usize, ports: Ports, metrics: Metrics) -> Self {
        let metrics = metrics.of_partition(partition);
        let decider = Decider::new(partition, ports.clone(), metrics.clone());
        let health = watch::Sender::new(Health::Starting);
        let batch_max = batch_max.max(1);
        Self { ports, decider, metrics, partition, batch_max, health }
    }

    /// A relay of what this worker grants.
    pub fn relay(&mut self) -> Relay {
        let (partition, ports) = (self.partition, self.ports.clone());
        let granted = self.decider.hand_over();
        Relay::following(partition, ports, self.progress(), granted, self.metrics.clone())
    }

    /// Tells the hub's sessions how far their users are in quests, after each commit.
    pub fn announce_progress_to(&mut self, hub: Arc<Hub>) {
        self.decider.announce_progress_to(hub);
    }

    /// Where it stands: `None` until it has taken the partition over, then the position of the last
    /// commit. A record is decided when its offset lies before `next_offset`.
    pub fn progress(&self) -> watch::Receiver<Option<Position>> {
        self.decider.position().subscribe()
    }

    /// How it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Runs on a thread of its own, so that deciding never holds up who answers requests. Join it,
    /// or wait until [`Self::health`] says that it has ended. Errors: no thread to be had.
    pub fn on_thread(
        self,
        runtime: Handle,
        stop: CancellationToken,
    ) -> io::Result<JoinHandle<Health>> {
        let name = format!("calculator-{}", self.partition);
        let health = self.health.clone();
        let run = move || {
            let run = AssertUnwindSafe(|| runtime.block_on(self.run(stop)));
            // Nothing of the worker is used after a panic, but whoever asks must hear of it.
            catch_unwind(run).unwrap_or_else(|_| {
                let why = "the calculator's thread broke off by a defect; restart the process";
                let end = Health::Halted(why.to_owned());
                health.send_replace(end.clone());
                end
            })
        };
        std::thread::Builder::new().name(name).spawn(run)
    }

    /// Runs until told to stop, finishing the batch in hand. Returns how it ended.
    pub async fn run(mut self, stop: CancellationToken) -> Health {
        let health = self.health.clone();
        let Err(Ended(end)) = self.work(&stop).await;
        if let Err(error) = self.decider.finish().await {
            let partition = self.partition;
            tracing::warn!(partition, %error, "the last batch may have to be decided again");
        }
        match &end {
            Health::Halted(why) => {
                tracing::error!(partition = self.partition, why, "the calculator has halted");
            }
            _ => tracing::info!(partition = self.partition, "the calculator has stopped"),
        }
        health.send_replace(end.clone());
        end
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Infallible, Ended> {
        let Self { ports: Ports { bus, store, limits, .. }, decider, metrics, .. } = self;
        let (partition, batch_max) = (self.partition, self.batch_max);
        let persist = Persistence::new(&self.health, stop);

        let mut position = persist.insist(|| store.take_over(partition)).await?;
        persist.insist(|| bus.verify(partition, position)).await?;
        let (epoch, offset) = (position.epoch, position.next_offset);
        tracing::info!(partition, epoch, offset, "the partition is taken over");
        if let Some(limits) = limits {
            limits.taken_over(partition, epoch);
        }
        decider.position().send_replace(Some(position));
        loop {
            persist.unless_told_to_stop()?;
            let offset = position.next_offset;
            let records = persist.insist(|| bus.take(partition, offset, batch_max)).await?;
            if records.is_empty() {
                let waited = match decider.settle(&mut position).await {
                    Ok(()) if position.next_offset != offset => continue,
                    Ok(()) => persist.unless_stopped(bus.ready(partition, offset)).await?,
                    Err(error) => Err(error),
                };
                match waited {
                    Ok(()) => persist.goes_well(),
                    Err(error) => persist.after(error).await?,
                }
                continue;
            }
            if let Err(error) = decider.run(&mut position, records).await {
                // What was committed is: the rest is taken again.
                persist.after(error).await?;
                continue;
            }
            let end = bus.end(partition).await.unwrap_or(position.next_offset);
            metrics.decided_lag(end, position.next_offset);
            // Only what would not grow while it waits is worth deciding ahead.
            let has_full_batch = end - position.next_offset >= batch_max as i64;
            if !has_full_batch && let Err(error) = decider.settle(&mut position).await {
                persist.after(error).await?;
                continue;
            }
            persist.goes_well();
        }
    }
}

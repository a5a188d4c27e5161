//! The role: counts what the feed brings, compares now and then with the ledger, and mends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::id::TenantId;
use domain::time::{DAY_US, Timestamp};
use engine::captured::{Applied, CapturedFeed, CapturedIncentive};
use engine::metrics::Metrics;
use engine::policy::{Ended, Health, Persistence};
use engine::ports::{Clock, PortError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::compare::{Compared, Comparison};
use crate::keeper::{Keeper, Kept, ROWS_MAX};
use crate::keys;
use crate::tally::Trust;

/// Rows taken from the feed at once.
const TAKE_MAX: usize = 2000;
/// How often it is asked how far behind we are.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Days before a tenant's latest incentive that each comparison looks at; once a day it looks at all.
const RECENT_DAYS: i32 = 3;

/// What the role works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where rows come from.
    pub feed: Arc<dyn CapturedFeed>,
    /// The feed's name in metrics: its topic.
    pub topic: String,
    /// Where they are counted.
    pub keeper: Arc<Keeper>,
    /// Tells when all days are due again.
    pub clock: Arc<dyn Clock>,
    /// Where it is told how it goes.
    pub metrics: Metrics,
    /// How often the aggregates are compared with the ledger.
    pub compare_every: Duration,
}

/// Counts and compares.
pub struct Aggregator {
    around: Surroundings,
    health: watch::Sender<Health>,
}

/// One that runs.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    health: watch::Receiver<Health>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// How it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Stops it, when it has finished what it has in hand.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("the aggregator broke off");
            }
        }
    }
}

impl Aggregator {
    /// Starts on the current Tokio runtime.
    pub fn start(around: Surroundings) -> Running {
        let (stop, health) = (CancellationToken::new(), watch::Sender::new(Health::Starting));
        let seen = health.subscribe();
        let compare = Comparing::new(around.clone());
        let looking = (around.feed.clone(), around.topic.clone(), around.metrics.clone());
        let tasks = vec![
            tokio::spawn(Self { around, health }.run(stop.clone())),
            tokio::spawn(compare.run(stop.clone())),
            tokio::spawn(look(looking, stop.clone())),
        ];
        Running { stop, health: seen, tasks }
    }

    async fn run(self, stop: CancellationToken) {
        let Ended(end) = self.count(&stop).await.err().unwrap_or(Ended(Health::Stopped));
        if let Health::Halted(why) = &end {
            tracing::error!(why, "the aggregator has halted");
        }
        self.health.send_replace(end);
    }

    async fn count(&self, stop: &CancellationToken) -> Result<(), Ended> {
        let Surroundings { feed, keeper, metrics, .. } = &self.around;
        let persist = Persistence::new(&self.health, stop);
        loop {
            persist.unless_told_to_stop()?;
            let batch = persist.insist(|| feed.take(TAKE_MAX)).await?;
            for (tenant, rows) in by_tenant(batch.rows) {
                let counted = persist.insist(|| keep(keeper, metrics, tenant, &rows)).await?;
                metrics.aggregated(counted);
            }
            persist.insist(|| feed.done(&batch.offsets)).await?;
            persist.goes_well();
        }
    }
}

/// Rows of each tenant in their order.
fn by_tenant(rows: Vec<CapturedIncentive>) -> BTreeMap<TenantId, Vec<CapturedIncentive>> {
    let mut all: BTreeMap<TenantId, Vec<CapturedIncentive>> = BTreeMap::new();
    for row in rows {
        all.entry(row.tenant).or_default().push(row);
    }
    all
}

/// Counts rows of a tenant; where its aggregates are not there, or some rows never came, makes them
/// anew first.
async fn keep(
    keeper: &Keeper,
    metrics: &Metrics,
    tenant: TenantId,
    rows: &[CapturedIncentive],
) -> Result<usize, PortError> {
    let (reason, why) = match keeper.keep(tenant, rows, Trust::Gapless).await? {
        Kept::Done(counted) => return Ok(counted),
        Kept::Unknown => ("unknown", "Redis has nothing of it".to_owned()),
        Kept::Broken(why) => ("gap", why),
    };
    tracing::warn!(%tenant, why, "its aggregates are made anew from the ledger");
    keeper.rebuild(tenant).await?;
    metrics.aggregates_mended(reason);
    // The ledger had all that came before these, and most likely them as well.
    match keeper.keep(tenant, rows, Trust::Ledger).await? {
        Kept::Done(counted) => Ok(counted),
        Kept::Unknown | Kept::Broken(_) => Ok(0),
    }
}

async fn look(
    (feed, topic, metrics): (Arc<dyn CapturedFeed>, String, Metrics),
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        match feed.lag().await {
            Ok(lag) => metrics.captured_lag(&topic, lag),
            Err(error) => tracing::debug!(%error, "the lag is not known"),
        }
    }
}

/// Compares with the ledger, and mends.
struct Comparing {
    around: Surroundings,
    /// When all days were compared last.
    all_days_at: Option<Timestamp>,
    /// Tenants that were behind, and where they stood.
    behind: HashMap<TenantId, Applied>,
}

impl Comparing {
    fn new(around: Surroundings) -> Self {
        Self { around, all_days_at: None, behind: HashMap::new() }
    }

    async fn run(mut self, stop: CancellationToken) {
        let every = self.around.compare_every;
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            match stop.run_until_cancelled(self.round()).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "aggregates were not compared with the ledger");
                }
            }
        }
    }

    /// One look at all tenants, unless another process does it.
    async fn round(&mut self) -> Result<(), PortError> {
        if !self.is_ours().await? {
            return Ok(());
        }
        let now = self.around.clock.now();
        let is_due = self.all_days_at.is_none_or(|at| at.plus_micros(DAY_US) <= now);
        let recent = (!is_due).then_some(RECENT_DAYS);
        let (mut drift, mut behind, mut after) = (0, 0, None);
        loop {
            let tenants = self.around.keeper.tenants(after).await?;
            let Some(last) = tenants.last() else { break };
            after = Some(*last);
            for tenant in tenants {
                let compared = self.around.keeper.compare(tenant, recent).await?;
                drift += compared.comparison.drift(compared.behind);
                behind += compared.behind;
                self.mend(tenant, compared).await?;
            }
        }
        self.around.metrics.aggregates_compared(drift, behind);
        if is_due {
            self.all_days_at = Some(now);
        }
        Ok(())
    }

    /// Whether this process is the one to compare for a while.
    async fn is_ours(&self) -> Result<bool, PortError> {
        let most = self.around.compare_every.as_millis() * 9 / 10;
        let mut take = redis::cmd("SET");
        take.arg(keys::COMPARING).arg("1").arg("NX").arg("PX");
        take.arg(u64::try_from(most).unwrap_or(u64::MAX).max(1));
        let taken: Option<String> = self.around.keeper.link.ask_one(take).await?;
        Ok(taken.is_some())
    }

    async fn mend(&mut self, tenant: TenantId, compared: Compared) -> Result<(), PortError> {
        let Surroundings { keeper, metrics, .. } = &self.around;
        let Compared { comparison, behind, places } = compared;
        match comparison {
            Comparison::Right if behind == 0 => {
                self.behind.remove(&tenant);
            }
            Comparison::Right => {
                // Behind is normal; still standing there at the next look is not.
                if self.behind.insert(tenant, places.clone()) == Some(places.clone()) {
                    tracing::warn!(%tenant, behind, "the feed does not bring it: read from the ledger");
                    self.catch_up(tenant, places).await?;
                    metrics.aggregates_mended("behind");
                }
            }
            Comparison::Missing | Comparison::Drift(_) => {
                tracing::warn!(%tenant, ?comparison, "its aggregates are made anew from the ledger");
                keeper.rebuild(tenant).await?;
                metrics.aggregates_mended("drift");
                self.behind.remove(&tenant);
            }
        }
        Ok(())
    }

    /// Counts what the ledger has and the feed did not bring.
    async fn catch_up(&self, tenant: TenantId, mut places: Applied) -> Result<(), PortError> {
        let Surroundings { keeper, metrics, .. } = &self.around;
        let max = u32::try_from(ROWS_MAX).unwrap_or(u32::MAX);
        loop {
            let rows = keeper.ledger.beyond(tenant, &places, max).await?;
            if rows.is_empty() {
                return Ok(());
            }
            if let Kept::Done(counted) = keeper.keep(tenant, &rows, Trust::Ledger).await? {
                metrics.aggregated(counted);
            }
            for row in &rows {
                places.advance(row);
            }
        }
    }
}

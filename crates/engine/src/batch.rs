//! One batch: load, decide, commit. Everything else on the path of an event leads here or away
//! from here.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use domain::compile::TenantRules;
use domain::decide::{EventOutcome, Needs, Parsed, Status, Working, decide, plan};
use domain::event::{Record, RecordKind};
use domain::id::TenantId;
use tokio::sync::mpsc;

use crate::assemble::{Decided, KnownActions, assemble, unreadable};
use crate::crash::{self, CrashPoint};
use crate::metrics::Metrics;
use crate::policy::Backoff;
use crate::ports::{BatchCommit, Clock, Committed, HotStore, PortError, PortErrorKind, Position};
use crate::rules_cache::RulesCache;
use crate::worker::Ports;

/// Committed batches that may wait for the relay; it reads from the store what it missed.
const HANDED_OVER_MAX: usize = 16;
/// Conflicts in a row after which the batch is halved, and halved again.
const CONFLICTS_PER_HALVING: u32 = 3;
/// Conflicts in a row after which the store counts as unavailable.
const CONFLICTS_MAX: u32 = 30;

/// Decides batches of one partition, one after the other.
pub struct Decider {
    store: Arc<dyn HotStore>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    partition: i32,
    rules: RulesCache,
    actions: KnownActions,
    granted: Option<mpsc::Sender<Arc<BatchCommit>>>,
    /// [`decide`], or a defective one in a test.
    decide: fn(&TenantRules, &Parsed<'_>, &mut Working) -> EventOutcome,
}

/// A record of the batch, with its payload parsed once.
pub(crate) struct Item<'a> {
    pub record: &'a Record,
    /// What can be decided, or why it cannot.
    pub parsed: Result<Parsed<'a>, String>,
}

impl<'a> Item<'a> {
    fn read(record: &'a Record) -> Self {
        Self { record, parsed: Parsed::new(record).map_err(|e| e.to_string()) }
    }

    pub fn tenant(&self) -> TenantId {
        self.record.event.tenant_id
    }
}

/// What came of trying to decide and commit some items.
enum Attempt {
    Done,
    /// Something has changed since it was read: read again.
    Conflict,
    /// The decision of one of the items fails by a defect: find out which.
    Defect,
}

impl Decider {
    /// A decider of one partition.
    pub fn new(partition: i32, ports: Ports, metrics: Metrics) -> Self {
        let Ports { store, control, clock, .. } = ports;
        let (rules, actions) = (RulesCache::new(control), KnownActions::default());
        Self { store, clock, metrics, partition, rules, actions, granted: None, decide }
    }

    /// Where committed batches come out. Nothing waits for the receiver: when it is slow it misses
    /// some.
    pub fn hand_over(&mut self) -> mpsc::Receiver<Arc<BatchCommit>> {
        let (granted, receiver) = mpsc::channel(HANDED_OVER_MAX);
        self.granted = Some(granted);
        receiver
    }

    /// Decides and commits records that follow the position, in order, and moves the position on.
    /// Whatever the outcome, the position is that of the last commit: call again with the records
    /// after it. Errors: those of the ports.
    pub async fn run(
        &mut self,
        position: &mut Position,
        records: &[Record],
    ) -> Result<(), PortError> {
        let mut items: Vec<_> = records.iter().map(Item::read).collect();
        let mut rest = &mut items[..];
        let (mut most, mut conflicts) = (rest.len(), 0);
        while !rest.is_empty() {
            let size = self.until_refresh(rest).await?.min(most);
            match self.attempt(position, &rest[..size]).await? {
                Attempt::Done => {
                    rest = &mut rest[size..];
                    (most, conflicts) = (rest.len(), 0);
                }
                Attempt::Defect if size == 1 => {
                    rest[0].parsed = Err("deciding it fails by a defect of the program".to_owned());
                }
                Attempt::Defect => most = size / 2,
                Attempt::Conflict => {
                    conflicts += 1;
                    most = pause_after_conflict(conflicts, size).await?;
                }
            }
        }
        Ok(())
    }

    /// How many items lie before the next boundary at which a cohort is recomputed. One that is
    /// due at the first item is recomputed now: all before it is committed.
    async fn until_refresh(&mut self, items: &[Item<'_>]) -> Result<usize, PortError> {
        self.rules.ensure(items.iter().map(Item::tenant)).await?;
        for (i, item) in items.iter().enumerate() {
            let at = item.record.append_time;
            // History decides nothing, so it needs no members.
            if item.record.kind != RecordKind::History
                && self.rules.get(item.tenant()).is_some_and(|t| t.is_due(at))
            {
                if i > 0 {
                    return Ok(i);
                }
                self.rules.refresh_cohorts(item.tenant(), at).await?;
            }
        }
        Ok(items.len())
    }

    /// Load, decide, commit.
    async fn attempt(
        &mut self,
        position: &mut Position,
        items: &[Item<'_>],
    ) -> Result<Attempt, PortError> {
        let started = Instant::now();
        crash::point(CrashPoint::BeforeLoad);
        let Some(needs) = guarded(|| self.plan(items)) else { return Ok(Attempt::Defect) };
        let loaded = self.store.load(Arc::new(needs)).await?;
        let mut outdated = false;
        for (tenant, version) in &loaded.config_versions {
            outdated |= self.rules.forget_unless(*tenant, *version);
        }
        if outdated {
            return Ok(Attempt::Conflict);
        }

        let working = Working::new(loaded);
        let Some(decided) = guarded(|| self.decide(items, working)) else {
            return Ok(Attempt::Defect);
        };
        crash::point(CrashPoint::AfterDecide);

        let (outcomes, mut batch) = assemble(position, items, decided, &self.rules);
        batch.partition = self.partition;
        batch.committed_at = self.clock.now();
        batch.actions = self.actions.unknown(items);
        let batch = Arc::new(batch);
        let decided_after = started.elapsed();
        crash::point(CrashPoint::BeforeCommit);
        match self.store.commit(batch.clone()).await? {
            Committed::Stale => {
                self.rules.forget_all();
                self.metrics.stale();
                return Ok(Attempt::Conflict);
            }
            Committed::Done => crash::point(CrashPoint::AfterCommit),
        }
        position.next_offset = batch.offset_to;
        position.batch_seq = batch.batch_seq;
        self.actions.learn(&batch.actions);
        let commit_seconds = (started.elapsed() - decided_after).as_secs_f64();
        self.metrics.committed(&outcomes, batch.incentives.len(), batch.dead_letters.len());
        self.metrics.batch_seconds(decided_after.as_secs_f64(), commit_seconds);
        if let Some(granted) = &self.granted {
            let _missed = granted.try_send(batch);
        }
        Ok(Attempt::Done)
    }

    fn plan(&self, items: &[Item<'_>]) -> Needs {
        let mut needs = Needs::default();
        for item in items {
            if let (Ok(parsed), Some(tenant)) = (&item.parsed, self.rules.get(item.tenant())) {
                plan(&tenant.rules, parsed, &mut needs);
            }
        }
        needs
    }

    fn decide(&self, items: &[Item<'_>], mut working: Working) -> Decided {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut dead_letters = Vec::new();
        for item in items {
            let why = match (&item.parsed, self.rules.get(item.tenant())) {
                (Ok(parsed), Some(tenant)) => {
                    outcomes.push((self.decide)(&tenant.rules, parsed, &mut working));
                    continue;
                }
                (Err(why), _) => why,
                (Ok(_), None) => "there is no such tenant",
            };
            dead_letters.push(unreadable(self.partition, item.record, why));
            outcomes.push(EventOutcome::plain(Status::Unreadable));
        }
        Decided { outcomes, changes: working.into_changes(), dead_letters }
    }
}

/// A defect in the decision of one record must not stop the partition.
fn guarded<T>(pure: impl FnOnce() -> T) -> Option<T> {
    // What was half changed is dropped with the working copy.
    catch_unwind(AssertUnwindSafe(pure)).ok()
}

/// Waits a little and tells how many items to try next.
async fn pause_after_conflict(conflicts: u32, size: usize) -> Result<usize, PortError> {
    if conflicts >= CONFLICTS_MAX {
        return Err(PortError {
            kind: PortErrorKind::Unavailable,
            message: format!("a batch met a conflicting change {conflicts} times in a row"),
        });
    }
    tokio::time::sleep(Backoff::CONFLICT.pause(conflicts)).await;
    let halved = conflicts.is_multiple_of(CONFLICTS_PER_HALVING);
    Ok(if halved { (size / 2).max(1) } else { size })
}

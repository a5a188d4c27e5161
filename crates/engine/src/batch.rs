//! One batch: load, decide, commit. Everything else on the path of an event leads here or away
//! from here.

mod ahead;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use domain::compile::TenantRules;
use domain::decide::{EventOutcome, Needs, Parsed, Status, Working, decide, plan};
use domain::event::{Record, RecordKind};
use domain::id::{EventKey, TenantId};
use tokio::sync::{mpsc, watch};

use crate::admission::{Ids, Lanes, NO_TENANT, Refusal};
use crate::assemble::{Decided, KnownActions, assemble, dead_letter};
use crate::crash::{self, CrashPoint};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::policy::Backoff;
use crate::ports::{BatchCommit, Clock, HotStore, PortError, PortErrorKind, Position, Reservation};
use crate::progress;
use crate::record::{Body, Offered, Taken};
use crate::reserve::reservation;
use crate::rules_cache::RulesCache;
use crate::worker::Ports;
use ahead::{Hearers, Pending, Settled, Submission};

/// Committed batches that may wait for the relay; it reads from the store what it missed.
const HANDED_OVER_MAX: usize = 16;
/// Conflicts in a row after which the batch is halved, and halved again.
const CONFLICTS_PER_HALVING: u32 = 3;
/// Conflicts in a row after which the store counts as unavailable.
const CONFLICTS_MAX: u32 = 30;
/// Batches after a conflict that are not decided before the one before them is committed: where
/// others change the same things, that would often be in vain.
const CAUTIOUS_AFTER_CONFLICT: u32 = 16;

/// Decides batches of one partition, one after the other.
pub struct Decider {
    store: Arc<dyn HotStore>,
    clock: Arc<dyn Clock>,
    partition: i32,
    rules: RulesCache,
    lanes: Lanes,
    actions: KnownActions,
    hearers: Hearers,
    /// The last batch, while the store has not answered for it.
    pending: Option<Pending>,
    /// Conflicts in a row.
    conflicts: u32,
    /// So many batches more wait for their own commit.
    cautious: u32,
    /// [`decide`], or a defective one in a test.
    decide: fn(&TenantRules, &Parsed<'_>, &mut Working) -> EventOutcome,
}

/// A record of the batch, with its payload parsed once.
pub(crate) struct Item<'a> {
    pub taken: &'a Taken,
    /// Key of its id, where admission is ours.
    pub key: Option<(TenantId, EventKey)>,
    /// What can be decided, or why it cannot.
    pub parsed: Result<Parsed<'a>, Refused>,
}

/// Why an item is not decided.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub status: Status,
    pub why: String,
    /// It does not even take its event id.
    pub is_outside: bool,
}

impl Refused {
    fn unreadable(why: impl Into<String>) -> Self {
        Self { status: Status::Unreadable, why: why.into(), is_outside: false }
    }
}

impl From<Refusal> for Refused {
    fn from(Refusal { status, why }: Refusal) -> Self {
        Self { status, why: why.to_owned(), is_outside: true }
    }
}

impl<'a> Item<'a> {
    fn read(taken: &'a Taken, refusal: Option<Refusal>) -> Self {
        let parsed = match (refusal, &taken.body) {
            (Some(refusal), _) => Err(refusal.into()),
            (None, Body::Unreadable(bytes)) => Err(Refused::unreadable(&bytes.why)),
            (None, Body::Admitted(record) | Body::Offered(Offered { record, .. })) => {
                Parsed::new(record).map_err(|e| Refused::unreadable(e.to_string()))
            }
        };
        let mut item = Self { taken, key: None, parsed };
        if item.registered().is_some() {
            item.key = taken.offered().map(Offered::key);
        }
        item
    }

    /// The event that is decided, if it is.
    fn decided(&self) -> Option<&'a Record> {
        self.parsed.as_ref().ok().map(|parsed| parsed.record)
    }

    /// The event whose action becomes known to its tenant: any that is admitted.
    pub fn registered(&self) -> Option<&'a Record> {
        let is_outside = self.parsed.as_ref().is_err_and(|refused| refused.is_outside);
        self.taken.record().filter(|_| !is_outside)
    }

    /// The tenant whose event it is, if it is one.
    pub fn tenant(&self) -> Option<TenantId> {
        self.taken.record().map(|record| record.event.tenant_id)
    }
}

/// What came of trying to decide and commit some items.
enum Attempt {
    Done,
    /// Something has changed since it was read: read again.
    Conflict,
    /// The position is another one than that of the items: take again from there.
    Elsewhere,
    /// The decision of one of the items fails by a defect: find out which.
    Defect,
}

impl Decider {
    /// A decider of one partition.
    pub fn new(partition: i32, ports: Ports, metrics: Metrics) -> Self {
        let Ports { store, control, clock, limits, .. } = ports;
        let rules = RulesCache::new(control);
        let (lanes, actions) = (Lanes::default(), KnownActions::default());
        let position = watch::Sender::new(None);
        let hearers = Hearers { metrics, granted: None, hub: None, limits, position };
        let (pending, conflicts, cautious) = (None, 0, 0);
        Self {
            store,
            clock,
            partition,
            rules,
            lanes,
            actions,
            hearers,
            pending,
            conflicts,
            cautious,
            decide,
        }
    }

    /// Where committed batches come out. Nothing waits for the receiver: when it is slow it misses
    /// some.
    pub fn hand_over(&mut self) -> mpsc::Receiver<Arc<BatchCommit>> {
        let (granted, receiver) = mpsc::channel(HANDED_OVER_MAX);
        self.hearers.granted = Some(granted);
        receiver
    }

    /// Where the partition stands: the position of the last commit, told as it answers.
    pub fn position(&self) -> &watch::Sender<Option<Position>> {
        &self.hearers.position
    }

    /// Who hears of progress in quests once it is committed.
    pub fn announce_progress_to(&mut self, hub: Arc<Hub>) {
        self.hearers.hub = Some(hub);
    }

    /// Decides records that follow the position, in order, commits them and moves the position on.
    /// The last batch may still be with the store when it returns: then the position is that after
    /// it, for the next records to be decided meanwhile, and [`Self::settle`] waits for its answer.
    /// When a commit fails, now or later, the position is that of the last one that did not: in any
    /// case call again with the records that follow it. Errors: those of the ports.
    pub async fn run(
        &mut self,
        position: &mut Position,
        mut records: Vec<Taken>,
    ) -> Result<(), PortError> {
        let mut rest = &mut records[..];
        let mut most = rest.len();
        while !rest.is_empty() {
            let refusals = self.admit(rest).await?;
            let items = rest.iter().zip(refusals);
            let mut items: Vec<_> = items.map(|(taken, no)| Item::read(taken, no)).collect();
            let done = self.run_items(position, &mut items, &mut most).await?;
            rest = &mut rest[done..];
        }
        Ok(())
    }

    /// Waits until the store has answered for the last batch. The position is then that of the last
    /// commit. Errors: those of the commit.
    pub async fn settle(&mut self, position: &mut Position) -> Result<(), PortError> {
        self.settled(position).await.map(drop)
    }

    /// Makes sure of the tenants, and admits what the log has not: see [`crate::admission`].
    async fn admit(&mut self, records: &mut [Taken]) -> Result<Vec<Option<Refusal>>, PortError> {
        let tenants = records.iter().filter_map(|taken| Some(taken.record()?.event.tenant_id));
        self.rules.forget_unheld(tenants.clone());
        self.rules.ensure(tenants).await?;
        if let Some(needs) = self.lanes.unknown(records) {
            let loaded = self.store.load(Arc::new(needs)).await?;
            self.lanes.correct(&loaded.lanes);
        }
        Ok(self.lanes.admit(records, &self.rules))
    }

    /// Decides items until all are done or something has changed, at most so many at once. Returns
    /// how many are done.
    async fn run_items(
        &mut self,
        position: &mut Position,
        items: &mut [Item<'_>],
        most: &mut usize,
    ) -> Result<usize, PortError> {
        let mut done = 0;
        while done < items.len() {
            let rest = &mut items[done..];
            let Some(size) = self.until_refresh(position, rest).await? else {
                return Ok(items.len());
            };
            let size = size.min(*most);
            match self.attempt(position, &rest[..size]).await? {
                Attempt::Done => {
                    done += size;
                    *most = items.len();
                }
                Attempt::Defect if size == 1 => {
                    let why = "deciding it fails by a defect of the program";
                    rest[0].parsed = Err(Refused::unreadable(why));
                }
                Attempt::Defect => *most = size / 2,
                Attempt::Conflict => {
                    *most = self.pause_after_conflict(size).await?;
                    break;
                }
                Attempt::Elsewhere => return Ok(items.len()),
            }
        }
        Ok(done)
    }

    /// How many items lie before the next boundary at which a cohort is recomputed. One that is
    /// due at the first item is recomputed now: all before it is committed. `None` when that came to
    /// nothing: take again from the position.
    async fn until_refresh(
        &mut self,
        position: &mut Position,
        items: &[Item<'_>],
    ) -> Result<Option<usize>, PortError> {
        self.rules.ensure(items.iter().filter_map(Item::tenant)).await?;
        for (i, item) in items.iter().enumerate() {
            let Some(record) = item.decided() else { continue };
            let (tenant, at) = (record.event.tenant_id, record.append_time);
            // History decides nothing, so it needs no members.
            if record.kind != RecordKind::History
                && self.rules.get(tenant).is_some_and(|t| t.is_due(at))
            {
                if i > 0 {
                    return Ok(Some(i));
                }
                if !self.settled(position).await? {
                    return Ok(None);
                }
                self.rules.refresh_cohorts(tenant, at).await?;
            }
        }
        Ok(Some(items.len()))
    }

    /// Load, decide, hand to the store.
    async fn attempt(
        &mut self,
        position: &mut Position,
        items: &[Item<'_>],
    ) -> Result<Attempt, PortError> {
        let started = Instant::now();
        crash::point(CrashPoint::BeforeLoad);
        let Some(needs) = guarded(|| self.plan(items)) else { return Ok(Attempt::Defect) };
        let needs = Arc::new(needs);
        let mut loaded = self.store.load(needs.clone()).await?;
        if let Some(pending) = &self.pending {
            pending.overlay(&needs, &mut loaded);
        }
        let mut outdated = self.lanes.correct(&loaded.lanes);
        for (tenant, version) in &loaded.config_versions {
            outdated |= self.rules.forget_unless(*tenant, *version);
        }
        if outdated {
            self.conflicts += 1;
            return Ok(Attempt::Conflict);
        }

        let decided_before = std::mem::take(&mut loaded.event_ids);
        let working = Working::new(loaded);
        let decided = guarded(|| self.decide(items, working, Ids::known(decided_before)));
        let Some(decided) = decided else { return Ok(Attempt::Defect) };
        crash::point(CrashPoint::AfterDecide);

        let (outcomes, mut batch) = assemble(position, items, decided, &self.rules);
        batch.lanes = self.lanes.moved(items.iter().filter(|i| i.key.is_some()));
        batch.partition = self.partition;
        batch.actions = self.actions.unknown(items);
        let progress = self.hearers.hub.as_ref();
        let progress =
            progress.map(|hub| progress::standings(hub, items, &outcomes, &batch.states));
        let (progress, took) = (progress.unwrap_or_default(), started.elapsed());
        // What it was decided on has to be there before it can be.
        if !self.settled(position).await? {
            return Ok(Attempt::Elsewhere);
        }
        batch.committed_at = self.clock.now();
        let batch = Arc::new(batch);
        let reserved = self.reserve(&batch).await;
        let offset = position.next_offset;
        crash::point(CrashPoint::BeforeCommit);
        let hearers = self.hearers.clone();
        let batch = Submission { batch, outcomes, progress, reserved, took, hearers };
        self.submit(position, batch).await;
        if self.cautious == 0 {
            return Ok(Attempt::Done);
        }
        Ok(match self.settled(position).await? {
            true => Attempt::Done,
            // Nothing has moved, so the items can be tried again as they are.
            false if position.next_offset == offset => Attempt::Conflict,
            false => Attempt::Elsewhere,
        })
    }

    /// Hands a batch to the store and goes on as if it were committed.
    async fn submit(&mut self, position: &mut Position, batch: Submission) {
        self.lanes.advance(&batch.batch.lanes);
        let pending = Pending::submit(self.store.clone(), *position, batch).await;
        *position = pending.after();
        self.pending = Some(pending);
    }

    /// Waits for the pending batch, if there is one, and sets the position by the store's answer.
    /// False when it is not committed: what was decided on it is void.
    async fn settled(&mut self, position: &mut Position) -> Result<bool, PortError> {
        let Some(pending) = self.pending.take() else { return Ok(true) };
        match pending.settle(position).await {
            Ok(Settled::Done(batch)) => {
                self.actions.learn(&batch.actions);
                self.conflicts = 0;
                self.cautious = self.cautious.saturating_sub(1);
                return Ok(true);
            }
            Ok(Settled::Stale) => {
                self.hearers.metrics.stale();
                self.conflicts += 1;
                self.cautious = CAUTIOUS_AFTER_CONFLICT;
            }
            Ok(Settled::Overtaken) => {
                self.hearers.position.send_replace(Some(*position));
            }
            Err(error) => {
                // The next one goes well only when it is committed.
                self.cautious = self.cautious.max(1);
                self.lanes.forget();
                return Err(error);
            }
        }
        self.rules.forget_all();
        self.lanes.forget();
        Ok(false)
    }

    /// Waits for the pending batch at the end. Errors: it is not known to be committed; whoever goes
    /// on from the stored position decides it again.
    pub async fn finish(&mut self) -> Result<(), PortError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let mut position = pending.after();
        pending.settle(&mut position).await.map(drop)
    }

    /// Asks the gate, if there is one and the batch grants anything. What it says is counted and
    /// changes nothing: the batch was decided on exact values, which the commit compares.
    async fn reserve(&self, batch: &BatchCommit) -> Option<Arc<Reservation>> {
        let limits = self.hearers.limits.as_ref()?;
        let reserved = Arc::new(reservation(batch, &self.rules)?);
        let advice = limits.reserve(&reserved).await;
        self.hearers.metrics.advised(advice);
        Some(reserved)
    }

    /// Waits a little. Gives how many items to try next time: fewer if this goes on.
    async fn pause_after_conflict(&mut self, size: usize) -> Result<usize, PortError> {
        if self.conflicts >= CONFLICTS_MAX {
            let conflicts = std::mem::take(&mut self.conflicts);
            return Err(PortError {
                kind: PortErrorKind::Unavailable,
                message: format!("a batch met a conflicting change {conflicts} times in a row"),
            });
        }
        tokio::time::sleep(Backoff::CONFLICT.pause(self.conflicts)).await;
        let halved = self.conflicts.is_multiple_of(CONFLICTS_PER_HALVING);
        Ok(if halved { (size / 2).max(1) } else { size })
    }

    fn plan(&self, items: &[Item<'_>]) -> Needs {
        let mut needs = Needs::default();
        for item in items {
            needs.event_ids.extend(item.key);
            // Its append time is stored with its id.
            needs.tenants.extend(item.key.map(|(tenant, _)| tenant));
            if let Ok(parsed) = &item.parsed
                && let Some(tenant) = self.rules.get(parsed.record.event.tenant_id)
            {
                plan(&tenant.rules, parsed, &mut needs);
            }
        }
        needs
    }

    fn decide(&self, items: &[Item<'_>], mut working: Working, mut ids: Ids) -> Decided {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut dead_letters = Vec::new();
        for item in items {
            let decided = match ids.admit(item) {
                Ok(()) => self.decide_one(item, &mut working),
                Err(refused) => Err(refused),
            };
            outcomes.push(decided.unwrap_or_else(|refused| {
                // A repeated event is no news; everything else that is not decided is kept.
                if refused.status != Status::Duplicate {
                    dead_letters.push(dead_letter(self.partition, item.taken, &refused));
                }
                EventOutcome::plain(refused.status)
            }));
        }
        Decided { outcomes, changes: working.into_changes(), dead_letters }
    }

    fn decide_one(&self, item: &Item<'_>, working: &mut Working) -> Result<EventOutcome, Refused> {
        let parsed = item.parsed.as_ref().map_err(Refused::clone)?;
        match self.rules.get(parsed.record.event.tenant_id) {
            Some(tenant) => Ok((self.decide)(&tenant.rules, parsed, working)),
            None => Err(NO_TENANT.into()),
        }
    }
}

/// A defect in the decision of one record must not stop the partition.
fn guarded<T>(pure: impl FnOnce() -> T) -> Option<T> {
    // What was half changed is dropped with the working copy.
    catch_unwind(AssertUnwindSafe(pure)).ok()
}

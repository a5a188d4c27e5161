//! A store of incentives in memory, as the push hub reads it: it may fail, and be slow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::{TenantId, UserId};
use domain::incentive::Incentive;
use engine::hub::Inbox;
use engine::ports::{IncentiveEvent, Place, PortError, PortErrorKind, PortFuture};

use crate::incentive::incentive;

/// What was committed, by user and `seq`. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryInbox(Arc<State>);

#[derive(Debug, Default)]
struct State {
    rows: Mutex<BTreeMap<(UserId, u64), Arc<Incentive>>>,
    is_down: AtomicBool,
    turns: AtomicUsize,
}

impl MemoryInbox {
    /// Commits the `seq`-th incentive of a user; returns its announcement.
    pub fn commit(&self, tenant: TenantId, user: &str, seq: u64) -> IncentiveEvent {
        self.commit_this(incentive(tenant, user, seq))
    }

    /// Commits this incentive.
    pub fn commit_this(&self, incentive: Incentive) -> IncentiveEvent {
        let incentive = Arc::new(incentive);
        self.rows().insert((incentive.user, incentive.seq), incentive.clone());
        let ordinal = i32::try_from(incentive.seq).unwrap_or(i32::MAX);
        IncentiveEvent { incentive, place: Place { batch_seq: 1, ordinal } }
    }

    /// Forgets what is older, as the end of the retention does.
    pub fn purge(&self, up_to: u64) {
        self.rows().retain(|(_, seq), _| *seq > up_to);
    }

    /// Makes every read fail, or work again.
    pub fn set_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Makes every read give way so many times before it reads.
    pub fn set_turns(&self, turns: usize) {
        self.0.turns.store(turns, Ordering::Relaxed);
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<(UserId, u64), Arc<Incentive>>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self) -> Result<(), PortError> {
        for _ in 0..self.0.turns.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        if self.0.is_down.load(Ordering::Relaxed) {
            let message = "the store is down; a test made it so".to_owned();
            return Err(PortError { kind: PortErrorKind::Unavailable, message });
        }
        Ok(())
    }
}

impl Inbox for MemoryInbox {
    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        Box::pin(async move {
            self.turn().await?;
            let rows = self.rows();
            let later = rows.range((user, after.saturating_add(1))..=(user, u64::MAX));
            Ok(later.take(max).map(|(_, one)| one.clone()).collect())
        })
    }

    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64> {
        Box::pin(async move {
            self.turn().await?;
            let rows = self.rows();
            let last = rows.range((user, 0)..=(user, u64::MAX)).next_back();
            Ok(last.map_or(0, |((_, seq), _)| *seq))
        })
    }
}

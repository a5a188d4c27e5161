//! Captured changes: rows of the ledger as the database's log tells of them, for consumers that keep
//! something of their own (aggregates, files for analytics).
//!
//! A feed delivers each row at least once, and a tenant's rows of one source partition in the order
//! of their places. So a consumer keeps the last place that it applied for each tenant and source
//! partition ([`Applied`]), in the same atomic step as the effect, and drops what is not above it:
//! that makes the effect exactly once, whatever is delivered twice. Offsets are a convenience, to
//! begin again near the end; they may lie behind what is applied, never before it.

use std::collections::BTreeMap;

use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef};
use domain::incentive::RewardType;
use domain::time::{Day, Timestamp};
use rust_decimal::Decimal;

use crate::ports::{Place, PortFuture};

/// A row of the ledger, as it was captured: everything but the use of limits.
#[derive(Clone, Debug, PartialEq)]
pub struct CapturedIncentive {
    /// Its id, the ledger's primary key.
    pub id: IncentiveId,
    /// Whose campaign.
    pub tenant: TenantId,
    /// Who earned it, the platform's id.
    pub user: UserId,
    /// Who earned it, the tenant's id.
    pub user_ref: UserRef,
    /// Which campaign.
    pub campaign: CampaignId,
    /// Under which of its versions.
    pub campaign_version: u32,
    /// The event that earned it (for a quest: that completed it).
    pub event_id: EventId,
    /// What kind.
    pub kind: RewardType,
    /// What the amount is in.
    pub currency: String,
    /// How much, exact.
    pub amount: Decimal,
    /// The code of a COUPON.
    pub coupon_code: Option<String>,
    /// Append time of the event.
    pub issued_at: Timestamp,
    /// Dense per user, from 1.
    pub seq: u64,
    /// The tenant's calendar day on which it counts.
    pub day: Day,
    /// Source partition: whose order `place` belongs to.
    pub source_partition: i32,
    /// Place in the order of publication of the source partition.
    pub place: Place,
}

/// What one read of a feed brings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapturedBatch {
    /// The rows, in the order of the feed. May be empty where `offsets` are not: what was read is
    /// of no concern to anybody (deletions, tombstones).
    pub rows: Vec<CapturedIncentive>,
    /// By partition of the feed's topic, the offset after the last record read: where to begin when
    /// all of `rows` are applied. Only partitions of which something was read.
    pub offsets: BTreeMap<i32, i64>,
}

/// Where captured rows come from.
pub trait CapturedFeed: Send + Sync {
    /// At most `max` rows, after those of the call before; waits a moment for the first one, and
    /// returns an empty batch when there was none. A call that was given up loses nothing: the next
    /// one, or another process, gets the rows.
    ///
    /// Errors: `Unavailable` passes by itself; `Corrupt` when a record cannot be read, or when
    /// records were gone before they were read. It stays so until the process starts anew, and
    /// what was delivered before can be applied.
    fn take<'a>(&'a self, max: usize) -> PortFuture<'a, CapturedBatch>;
    /// Tells that everything before these offsets is applied, durably. A feed whose offsets the
    /// consumer keeps itself does nothing.
    fn done<'a>(&'a self, offsets: &'a BTreeMap<i32, i64>) -> PortFuture<'a, ()>;
    /// Records that are in the topic and were not taken yet, over the partitions of this process:
    /// how far behind it is.
    fn lag<'a>(&'a self) -> PortFuture<'a, u64>;
}

/// The last place applied, by tenant and source partition. Bounded by what exists of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied(BTreeMap<(TenantId, i32), Place>);

impl Applied {
    /// From what was kept.
    pub fn from_kept(kept: impl IntoIterator<Item = ((TenantId, i32), Place)>) -> Self {
        Self(kept.into_iter().collect())
    }

    /// All of them, to be kept.
    pub fn iter(&self) -> impl Iterator<Item = ((TenantId, i32), Place)> + '_ {
        self.0.iter().map(|(of, place)| (*of, *place))
    }

    /// The last place of a tenant's source partition; [`Place::BEFORE_ALL`] where there is none.
    pub fn of(&self, tenant: TenantId, source_partition: i32) -> Place {
        self.0.get(&(tenant, source_partition)).copied().unwrap_or(Place::BEFORE_ALL)
    }

    /// Moves to a place; never back.
    pub fn move_to(&mut self, of: (TenantId, i32), place: Place) {
        let last = self.0.entry(of).or_insert(Place::BEFORE_ALL);
        *last = place.max(*last);
    }

    /// Moves to a row's place. False when the row was applied before, and is to be dropped.
    pub fn advance(&mut self, row: &CapturedIncentive) -> bool {
        let last = self.0.entry((row.tenant, row.source_partition)).or_insert(Place::BEFORE_ALL);
        let is_new = row.place > *last;
        *last = row.place.max(*last);
        is_new
    }
}

//! What was granted: a ledger row, insert-only.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::id::{ActionCode, CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef};
use crate::limit::{BudgetUse, LimitUse};
use crate::time::Timestamp;

/// What kind of reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RewardType {
    Cashback,
    Points,
    Coupon,
}

impl RewardType {
    /// Its name on every wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cashback => "CASHBACK",
            Self::Points => "POINTS",
            Self::Coupon => "COUPON",
        }
    }
    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cashback, Self::Points, Self::Coupon].into_iter().find(|t| t.as_str() == name)
    }
}

/// A granted incentive.
#[derive(Clone, Debug, PartialEq)]
pub struct Incentive {
    /// Deterministic id, see [`crate::id::incentive_id`].
    pub id: IncentiveId,
    /// Whose campaign.
    pub tenant: TenantId,
    /// Who earns it, the platform's id.
    pub user: UserId,
    /// Who earns it, the tenant's id.
    pub user_ref: UserRef,
    /// Which campaign.
    pub campaign: CampaignId,
    /// Under which of its versions.
    pub campaign_version: u32,
    /// The event that earned it (for a quest: that completed it).
    pub event_id: EventId,
    /// What kind.
    pub kind: RewardType,
    /// What the amount is in: an ISO 4217 code, `POINTS`, `COUPON`, or the tenant's own unit.
    pub currency: String,
    /// How much; positive.
    pub amount: Decimal,
    /// The code of a COUPON.
    pub coupon_code: Option<String>,
    /// Append time of the event.
    pub issued_at: Timestamp,
    /// Dense per user, from 1.
    pub seq: u64,
    /// Use of the tenant's limits after this grant.
    pub limits: LimitUse,
    /// Use of the campaign's budgets after this grant.
    pub budgets: Vec<BudgetUse>,
}

/// A step or quest that a user has completed: a row of `user_aggregations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Who.
    pub user: UserId,
    /// Which quest.
    pub campaign: CampaignId,
    /// Which step; `None` = the quest.
    pub step: Option<String>,
    /// Which cycle of the quest, from 1.
    pub cycle: u32,
    /// The event that completed it, or at which a cycle refused before was paid. With step and
    /// cycle it names the completion: a step can be completed again in the same cycle when its
    /// window begins anew or progress is reset, but by another event.
    pub event_id: EventId,
    /// The action of that event.
    pub action: ActionCode,
    /// The first incentive granted for it.
    pub incentive: Option<IncentiveId>,
    /// COMPLETED_UNPAID: the reason code.
    pub unpaid_reason: Option<&'static str>,
    /// Append time of the completing event.
    pub completed_at: Timestamp,
}

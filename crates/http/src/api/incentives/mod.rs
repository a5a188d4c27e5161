//! What was granted.

pub mod list;

use domain::id::{CampaignId, EventId, IncentiveId, UserRef};
use domain::incentive::RewardType;
use domain::time::Timestamp;
use rust_decimal::Decimal;
use store::control::incentives::IncentiveRow;

domain::view! {
    /// A reward.
    pub struct RewardView {
        /// ISO 4217 code, or `POINTS`, or the tenant's own unit.
        "currency" currency: String,
        /// How much, exactly.
        "amount" amount: Decimal,
    }
}

domain::view! {
    /// What was granted.
    pub struct Incentive {
        /// Its id.
        "incentiveId" incentive_id: IncentiveId,
        /// Which campaign granted it.
        "campaignId" campaign_id: CampaignId,
        /// Under which of its versions.
        "campaignVersion" campaign_version: u32,
        /// Who earned it: the tenant's own id.
        "userId" user_id: UserRef,
        /// The event that earned it: the tenant's own id.
        "eventId" event_id: EventId,
        /// What kind.
        "type" kind: RewardType,
        /// How much of what.
        "reward" reward: RewardView,
        /// The code of a COUPON.
        "couponCode" coupon_code: Option<String>,
        /// When it was granted.
        "issuedAt" issued_at: Timestamp,
        /// Dense per user, from 1.
        "seq" seq: u64,
    }
}

impl From<IncentiveRow> for Incentive {
    fn from(row: IncentiveRow) -> Self {
        Self {
            incentive_id: row.incentive_id,
            campaign_id: row.campaign_id,
            campaign_version: row.campaign_version,
            user_id: row.user_ref,
            event_id: row.event_id,
            kind: row.kind,
            reward: RewardView {
                currency: row.reward_currency,
                amount: row.reward_amount.normalize(),
            },
            coupon_code: row.coupon_code,
            issued_at: row.issued_at,
            seq: row.seq,
        }
    }
}

impl From<&domain::incentive::Incentive> for Incentive {
    fn from(incentive: &domain::incentive::Incentive) -> Self {
        Self {
            incentive_id: incentive.id,
            campaign_id: incentive.campaign,
            campaign_version: incentive.campaign_version,
            user_id: incentive.user_ref.clone(),
            event_id: incentive.event_id.clone(),
            kind: incentive.kind,
            reward: RewardView {
                currency: incentive.currency.clone(),
                amount: incentive.amount.normalize(),
            },
            coupon_code: incentive.coupon_code.clone(),
            issued_at: incentive.issued_at,
            seq: incentive.seq,
        }
    }
}

//! Incentives as a test wants them.

use domain::id::{
    CampaignId, Cause, EventId, IncentiveId, TenantId, UserRef, incentive_id, user_id,
};
use domain::incentive::{Incentive, RewardType};
use domain::limit::{LimitUse, Use};
use domain::time::{Day, SECOND_US, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

/// The `seq`-th incentive of a user: 50 points for the event `e-{seq}`, issued so many seconds
/// after 2025-06-27T12:34:56Z. Nothing caps it.
///
/// # Panics
/// When the reference is not one.
#[expect(clippy::expect_used, reason = "a test wants to know at once")]
pub fn incentive(tenant: TenantId, user: &str, seq: u64) -> Incentive {
    let user_ref = UserRef::new(user).expect("a user reference");
    let user = user_id(tenant, &user_ref);
    let campaign = CampaignId(Uuid::from_u128(7));
    let event_id = EventId::new(&format!("e-{seq}")).expect("an event id");
    let start: Timestamp = "2025-06-27T12:34:56Z".parse().expect("a time");
    let issued_at = start.plus_micros(i64::try_from(seq).unwrap_or(0).saturating_mul(SECOND_US));
    let id: IncentiveId =
        incentive_id(issued_at, tenant, campaign, user, Cause::Event(&event_id), 0);
    let uncapped = Use { used: seq, cap: None };
    Incentive {
        id,
        tenant,
        user,
        user_ref,
        campaign,
        campaign_version: 1,
        event_id,
        kind: RewardType::Points,
        currency: "POINTS".into(),
        amount: Decimal::from(50),
        coupon_code: None,
        issued_at,
        seq,
        limits: LimitUse {
            day: Day(20_266),
            tenant_day: uncapped,
            tenant_total: uncapped,
            user_day: uncapped,
            user_total: uncapped,
        },
        budgets: Vec::new(),
    }
}

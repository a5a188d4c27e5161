//! What was granted, as lists. The ledger itself is written by the hot path.
//!
//! Ids of incentives begin with their time in milliseconds, so a list by id is a list by time, and
//! a bound in time is a bound of the id.

use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef};
use domain::incentive::RewardType;
use domain::time::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::sql::{Column, FromColumn, FromRow, Row, Sql, params, statements};
use super::{Page, PageRequest};
use crate::error::Result;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select incentive_id, campaign_id, campaign_version, user_id, user_ref, event_id, type,
                    reward_currency, reward_amount, coupon_code, issued_at, seq
             from incentives ",
            $rest
        )
    };
}

statements! {
    BY_TENANT = select!(
        "where tenant_id = $1 and incentive_id >= $2 and incentive_id < $3
           and issued_at >= $4 and issued_at < $5
         order by incentive_id desc limit $6"
    );
    BY_CAMPAIGN = select!(
        "where tenant_id = $1 and campaign_id = $2 and incentive_id >= $3 and incentive_id < $4
           and issued_at >= $5 and issued_at < $6
         order by incentive_id desc limit $7"
    );
    BY_USER = select!(
        "where tenant_id = $1 and user_id = $2
           and (campaign_id = $3 or $3 is null)
           and (issued_at, incentive_id) < ($4, $5) and issued_at >= $6
         order by issued_at desc, incentive_id desc limit $7"
    );
    BY_EVENT = select!(
        "where tenant_id = $1 and user_id = $2 and issued_at >= $3 and event_id = $4
         order by issued_at, incentive_id limit $5"
    );
    GET = select!("where tenant_id = $1 and incentive_id = $2");
}

/// Most incentives shown for one event.
const PER_EVENT_MAX: u32 = 100;

/// An incentive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncentiveRow {
    /// Its id.
    pub incentive_id: IncentiveId,
    /// Which campaign granted it.
    pub campaign_id: CampaignId,
    /// Under which of its versions.
    pub campaign_version: u32,
    /// Who earned it, the platform's id.
    #[serde(skip)]
    pub user_id: UserId,
    /// Who earned it, the tenant's id.
    #[serde(rename = "userId")]
    pub user_ref: UserRef,
    /// The event that earned it.
    pub event_id: EventId,
    /// What kind.
    #[serde(rename = "type")]
    pub kind: RewardType,
    /// Its currency or unit.
    pub reward_currency: String,
    /// How much.
    pub reward_amount: Decimal,
    /// The code of a COUPON.
    pub coupon_code: Option<String>,
    /// Append time of the event.
    pub issued_at: Timestamp,
    /// Dense per user, from 1.
    pub seq: u64,
}

impl FromRow for IncentiveRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            incentive_id: row.get("incentive_id")?,
            campaign_id: row.get("campaign_id")?,
            campaign_version: row.get("campaign_version")?,
            user_id: row.get("user_id")?,
            user_ref: row.get("user_ref")?,
            event_id: row.get("event_id")?,
            kind: row.get("type")?,
            reward_currency: row.get("reward_currency")?,
            reward_amount: row.get("reward_amount")?,
            coupon_code: row.get("coupon_code")?,
            issued_at: row.get("issued_at")?,
            seq: row.get("seq")?,
        })
    }
}

impl FromColumn for RewardType {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        let word = String::from_column(column)?;
        Self::from_name(&word).ok_or_else(|| format!("{word:?} is no type of reward"))
    }
}

/// Which incentives to list; what is `None` is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncentiveFilter {
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Of this user.
    pub user: Option<UserId>,
    /// Issued at this time or later.
    pub from: Option<Timestamp>,
    /// Issued before this time.
    pub to: Option<Timestamp>,
}

/// Where a page of incentives goes on.
pub type IncentiveKey = (Timestamp, IncentiveId);

/// A tenant's incentives, the newest first.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    filter: &IncentiveFilter,
    page: PageRequest<IncentiveKey>,
) -> Result<Page<IncentiveRow, IncentiveKey>> {
    let from = filter.from.unwrap_or_default();
    let to = filter.to.unwrap_or(Timestamp::from_stored(i64::MAX));
    let limit = page.limit();
    let rows = if let Some(user) = filter.user {
        // Everything before `to` comes before (to, the least id).
        let (at, id) = page.after.unwrap_or((to, IncentiveId(Uuid::nil())));
        sql.rows(&BY_USER, params![tenant, user, filter.campaign, at, id, from, limit])?
    } else {
        let first = least_id(from);
        let end = page.after.map_or_else(|| least_id(to.plus_micros(1000)), |(_, id)| id);
        match filter.campaign {
            Some(campaign) => {
                sql.rows(&BY_CAMPAIGN, params![tenant, campaign, first, end, from, to, limit])?
            }
            None => sql.rows(&BY_TENANT, params![tenant, first, end, from, to, limit])?,
        }
    };
    Ok(Page::cut(rows, page.size, |row: &IncentiveRow| (row.issued_at, row.incentive_id)))
}

/// An incentive; `None` when the tenant has none of this id.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, id: IncentiveId) -> Result<Option<IncentiveRow>> {
    sql.row(&GET, params![tenant, id])
}

/// What a user's event earned, in the order of issue. One that was paid later is in it too, so the
/// search goes from the event's append time on.
pub(super) fn of_event(
    sql: &mut dyn Sql,
    tenant: TenantId,
    user: UserId,
    event: &EventId,
    append_time: Timestamp,
) -> Result<Vec<IncentiveRow>> {
    sql.rows(&BY_EVENT, params![tenant, user, append_time, event, PER_EVENT_MAX])
}

/// The least id that an incentive issued in this millisecond or later can have.
pub(super) fn least_id(at: Timestamp) -> IncentiveId {
    let ms = u64::try_from(at.micros() / 1000).unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    IncentiveId(Uuid::from_bytes(bytes))
}

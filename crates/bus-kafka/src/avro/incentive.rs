//! `IncentiveEvent`: the value of `incentive-generated`.

use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserRef, user_id};
use domain::incentive::{Incentive, RewardType};
use domain::limit::{LimitUse, Use};
use domain::time::{Day, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::{Codec, CodecError};

/// Decimal places that the schema has room for: as many as a reward may have.
const PLACES: u32 = 8;

/// The fields as they are written.
#[derive(Serialize, Deserialize)]
#[serde(rename = "IncentiveEvent", rename_all = "camelCase")]
struct Datum<'a> {
    incentive_id: &'a str,
    tenant_id: &'a str,
    user_id: &'a str,
    campaign_id: &'a str,
    event_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    reward_currency: &'a str,
    reward_amount: Decimal,
    issued_at: i64,
    seq: i64,
    #[serde(default)]
    coupon_code: Option<&'a str>,
}

/// Writes the announcement of an incentive. Errors: [`CodecError`].
pub fn encode(codec: &Codec, incentive: &Incentive) -> Result<Vec<u8>, CodecError> {
    let amount = incentive.amount.normalize();
    if amount.scale() > PLACES {
        let why = format!("the amount {amount} has more than {PLACES} decimal places");
        return Err(CodecError::Poison(why));
    }
    let ids = [incentive.id.0, incentive.tenant.0, incentive.campaign.0];
    let [id, tenant, campaign] = ids.map(|id| id.hyphenated().to_string());
    codec.encode(&Datum {
        incentive_id: &id,
        tenant_id: &tenant,
        user_id: incentive.user_ref.as_str(),
        campaign_id: &campaign,
        event_id: incentive.event_id.as_str(),
        kind: incentive.kind.as_str(),
        reward_currency: &incentive.currency,
        reward_amount: amount,
        issued_at: incentive.issued_at.micros(),
        seq: i64::try_from(incentive.seq).unwrap_or(i64::MAX),
        coupon_code: incentive.coupon_code.as_deref(),
    })
}

/// Reads an announcement. What only the ledger knows, the campaign's version and the use of limits,
/// is empty. Errors: [`CodecError`].
pub fn decode(codec: &Codec, value: &[u8]) -> Result<Incentive, CodecError> {
    let (writer, datum) = codec.open(value)?;
    let datum: Datum<'_> = writer
        .read(datum)
        .map_err(|why| CodecError::Poison(format!("is no IncentiveEvent: {why}")))?;
    told(&datum, writer.micros(datum.issued_at))
        .ok_or_else(|| CodecError::Poison("is an IncentiveEvent with values of no meaning".into()))
}

fn told(datum: &Datum<'_>, issued_us: Option<i64>) -> Option<Incentive> {
    let tenant: TenantId = datum.tenant_id.parse().ok()?;
    let user_ref = UserRef::new(datum.user_id).ok()?;
    let untold = Use { used: 0, cap: None };
    Some(Incentive {
        id: IncentiveId(Uuid::parse_str(datum.incentive_id).ok()?),
        tenant,
        user: user_id(tenant, &user_ref),
        user_ref,
        campaign: CampaignId(Uuid::parse_str(datum.campaign_id).ok()?),
        campaign_version: 0,
        event_id: EventId::new(datum.event_id).ok()?,
        kind: RewardType::from_name(datum.kind)?,
        currency: datum.reward_currency.to_owned(),
        amount: datum.reward_amount.normalize(),
        coupon_code: datum.coupon_code.map(str::to_owned),
        issued_at: Timestamp::from_micros(issued_us?).ok()?,
        seq: u64::try_from(datum.seq).ok()?,
        limits: LimitUse {
            day: Day(0),
            tenant_day: untold,
            tenant_total: untold,
            user_day: untold,
            user_total: untold,
        },
        budgets: Vec::new(),
    })
}

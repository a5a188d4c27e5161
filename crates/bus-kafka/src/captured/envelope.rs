//! The value of a record as Debezium's PostgreSQL connector writes it with the files of
//! `deploy/debezium`: JSON without a schema, decimals as text, instants in ISO 8601.

use std::borrow::Cow;

use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef};
use domain::incentive::RewardType;
use domain::time::Day;
use engine::captured::CapturedIncentive;
use engine::ports::Place;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What happened to which row. Of a change only `after` says what is there now.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    after: Option<Row<'a>>,
    /// There where the converter embeds its schema.
    payload: Option<IgnoredAny>,
}

/// The columns that are read; others may be there.
#[derive(Deserialize)]
struct Row<'a> {
    incentive_id: IncentiveId,
    tenant_id: TenantId,
    user_id: UserId,
    user_ref: UserRef,
    campaign_id: CampaignId,
    campaign_version: u32,
    event_id: EventId,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    reward_currency: Cow<'a, str>,
    #[serde(borrow)]
    reward_amount: Cow<'a, str>,
    #[serde(borrow)]
    coupon_code: Option<Cow<'a, str>>,
    issued_at: domain::time::Timestamp,
    seq: u64,
    source_partition: i32,
    batch_seq: i64,
    ordinal: i32,
    limit_day: i32,
}

/// Reads a record's value. `None`: it tells of no new row. Errors complete "the record …".
pub fn read(value: Option<&[u8]>) -> Result<Option<CapturedIncentive>, String> {
    // A tombstone.
    let Some(value) = value else { return Ok(None) };
    let envelope: Envelope<'_> = serde_json::from_slice(value)
        .map_err(|e| format!("is no change of `incentives` that this version can read: {e}"))?;
    match (envelope.op.as_deref(), envelope.after) {
        // Created, or read for a snapshot.
        (Some("c" | "r"), Some(row)) => row.told().map(Some),
        // Deletions, truncations and messages take nothing back: closed days stay.
        (Some("d" | "t" | "m"), _) => Ok(None),
        (Some("u"), _) => Err("changes a row of the ledger, which nobody may".to_owned()),
        (None, _) if envelope.payload.is_some() => Err(
            "has its schema embedded: set value.converter.schemas.enable=false in the connector"
                .to_owned(),
        ),
        (Some(op), _) => Err(format!("has the operation {op:?} without the row that it needs")),
        (None, _) => Err("names no operation: it is not from Debezium".to_owned()),
    }
}

impl Row<'_> {
    fn told(self) -> Result<CapturedIncentive, String> {
        let kind = RewardType::from_name(&self.kind)
            .ok_or_else(|| format!("has the unknown type {:?}", self.kind))?;
        let amount = amount(&self.reward_amount).ok_or_else(|| {
            format!(
                "has the amount {:?}: set decimal.handling.mode=string in the connector",
                self.reward_amount
            )
        })?;
        Ok(CapturedIncentive {
            id: self.incentive_id,
            tenant: self.tenant_id,
            user: self.user_id,
            user_ref: self.user_ref,
            campaign: self.campaign_id,
            campaign_version: self.campaign_version,
            event_id: self.event_id,
            kind,
            currency: self.reward_currency.into_owned(),
            amount,
            coupon_code: self.coupon_code.map(Cow::into_owned),
            issued_at: self.issued_at,
            seq: self.seq,
            day: Day(self.limit_day),
            source_partition: self.source_partition,
            place: Place { batch_seq: self.batch_seq, ordinal: self.ordinal },
        })
    }
}

/// An exact decimal; Java may write a small one as `1E-8`.
fn amount(text: &str) -> Option<Decimal> {
    let amount = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()?;
    Some(amount.normalize())
}

//! Rows to values.

use std::str::FromStr;
use std::sync::Arc;

use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef};
use domain::incentive::{Incentive, RewardType};
use domain::limit::{BudgetUse, LimitUse, Use};
use domain::time::{Day, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::postgres::values::{Amount, CompactDocument, Instant};

/// The topic under which the calculator's positions are kept.
pub(super) const TOPIC: &str = "tenant-events";

/// Bucket of what counts for ever.
pub(super) const EVER: i64 = i32::MIN as i64;

/// A count as it is bound; counts are far below 2^63.
pub(super) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Reads a row's columns one after the other; what cannot be read is corrupt, with its place.
pub(super) struct Columns<'r> {
    row: &'r Row,
    table: &'static str,
    next: usize,
}

impl<'r> Columns<'r> {
    pub fn of(table: &'static str, row: &'r Row) -> Self {
        Self { row, table, next: 0 }
    }

    pub fn get<T: FromSql<'r>>(&mut self) -> Result<T> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|e| self.corrupt(&e.to_string()))
    }

    pub fn time(&mut self) -> Result<Timestamp> {
        self.get::<Instant>().map(|at| at.0)
    }

    /// A text that must be of a certain form.
    pub fn text<T: FromStr>(&mut self) -> Result<T> {
        let text: &str = self.get()?;
        text.parse().map_err(|_| self.corrupt(&format!("{text:?} is not of its form")))
    }

    /// A whole number within its type's range.
    pub fn whole<T: TryFrom<i64>>(&mut self) -> Result<T> {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|_| self.corrupt(&format!("{number} is out of range")))
    }

    fn cap(&mut self) -> Result<Option<u64>> {
        let number: Option<i64> = self.get()?;
        let convert = |n| u64::try_from(n).map_err(|_| self.corrupt("is out of range"));
        number.map(convert).transpose()
    }

    fn used(&mut self) -> Result<Use> {
        Ok(Use { used: self.whole()?, cap: self.cap()? })
    }

    /// What is wrong with the column read last.
    pub fn corrupt(&self, detail: &str) -> StoreError {
        let column = self.row.columns().get(self.next.saturating_sub(1));
        let key = self.row.try_get::<_, Uuid>(0);
        StoreError::Corrupt {
            table: self.table.to_owned(),
            column: column.map_or("?", |c| c.name()).to_owned(),
            row: key.map_or_else(|_| "?".to_owned(), |k| k.to_string()),
            detail: detail.to_owned(),
        }
    }
}

/// Reads `INCENTIVE_COLUMNS`.
pub(super) fn incentive(c: &mut Columns<'_>) -> Result<Arc<Incentive>> {
    let incentive = Incentive {
        id: IncentiveId(c.get()?),
        tenant: TenantId(c.get()?),
        user: UserId(c.get()?),
        user_ref: c.text::<UserRef>()?,
        campaign: CampaignId(c.get()?),
        campaign_version: c.whole()?,
        event_id: c.text::<EventId>()?,
        kind: reward_type(c)?,
        currency: c.get()?,
        amount: c.get::<Amount>()?.0,
        coupon_code: c.get()?,
        issued_at: c.time()?,
        seq: c.whole()?,
        limits: LimitUse {
            day: Day(c.get()?),
            tenant_day: c.used()?,
            tenant_total: c.used()?,
            user_day: c.used()?,
            user_total: c.used()?,
        },
        budgets: budgets(c)?,
    };
    Ok(Arc::new(incentive))
}

fn reward_type(c: &mut Columns<'_>) -> Result<RewardType> {
    let name: &str = c.get()?;
    RewardType::from_name(name).ok_or_else(|| c.corrupt("is no type of reward"))
}

fn budgets(c: &mut Columns<'_>) -> Result<Vec<BudgetUse>> {
    let text: Option<CompactDocument> = c.get()?;
    let Some(CompactDocument(text)) = text else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|e| c.corrupt(&e.to_string()))
}

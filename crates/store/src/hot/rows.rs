//! Columns to values and back.

use std::str::FromStr;
use std::sync::Arc;

use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{ActionCode, CampaignId, EventId, IncentiveId, TenantId, UserId, UserRef};
use domain::incentive::{Incentive, RewardType};
use domain::limit::{LimitUse, Use};
use domain::time::{Day, Timestamp};
use rusqlite::Row;
use rusqlite::types::FromSql;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::error::{Result, StoreError};

/// The topic under which the calculator's position is kept.
pub(crate) const TOPIC: &str = "tenant-events";

/// Bucket of what counts for ever.
pub(super) const EVER: i64 = i32::MIN as i64;

/// An id as it is bound.
pub(crate) fn blob(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

/// Reads a row's columns one after the other; what cannot be read is corrupt, with its place.
pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    table: &'static str,
    next: usize,
}

impl<'r, 's> Columns<'r, 's> {
    pub fn of(table: &'static str, row: &'r Row<'s>) -> Self {
        Self { row, table, next: 0 }
    }

    pub fn get<T: FromSql>(&mut self) -> Result<T> {
        let column = self.next;
        self.next += 1;
        self.row.get(column).map_err(|e| self.corrupt(column, &e.to_string()))
    }

    pub fn uuid(&mut self) -> Result<Uuid> {
        self.get::<[u8; 16]>().map(Uuid::from_bytes)
    }

    pub fn time(&mut self) -> Result<Timestamp> {
        self.get().map(Timestamp::from_stored)
    }

    /// A text that must be of a certain form.
    pub fn text<T: FromStr>(&mut self) -> Result<T> {
        let column = self.next;
        self.next += 1;
        let text = self.row.get_ref(column).map_err(StoreError::from)?;
        let text = text.as_str().map_err(|e| self.corrupt(column, &e.to_string()))?;
        text.parse().map_err(|_| self.corrupt(column, &format!("{text:?} is not of its form")))
    }

    /// A whole number within its type's range.
    pub fn whole<T: TryFrom<i64>>(&mut self) -> Result<T> {
        let number: i64 = self.get()?;
        let column = self.next - 1;
        T::try_from(number).map_err(|_| self.corrupt(column, &format!("{number} is out of range")))
    }

    fn optional<T: TryFrom<i64>>(&mut self) -> Result<Option<T>> {
        let number: Option<i64> = self.get()?;
        let column = self.next - 1;
        let convert = |n| T::try_from(n).map_err(|_| self.corrupt(column, "is out of range"));
        number.map(convert).transpose()
    }

    pub fn corrupt(&self, column: usize, detail: &str) -> StoreError {
        let name = self.row.as_ref().column_name(column).unwrap_or("?").to_owned();
        let key = self.row.get_ref(0);
        StoreError::Corrupt {
            table: self.table.to_owned(),
            column: name,
            row: key.map_or_else(|_| "?".to_owned(), |k| format!("{k:?}")),
            detail: detail.to_owned(),
        }
    }
}

/// How many `INCENTIVE_COLUMNS` there are.
pub(super) const INCENTIVE_COLUMN_COUNT: usize = 23;

/// Reads `INCENTIVE_COLUMNS`.
pub(super) fn incentive(c: &mut Columns<'_, '_>) -> Result<Arc<Incentive>> {
    let incentive = Incentive {
        id: IncentiveId(c.uuid()?),
        tenant: TenantId(c.uuid()?),
        user: UserId(c.uuid()?),
        user_ref: c.text::<UserRef>()?,
        campaign: CampaignId(c.uuid()?),
        campaign_version: c.whole()?,
        event_id: c.text::<EventId>()?,
        kind: reward_type(c)?,
        currency: c.get()?,
        amount: c.text::<Decimal>()?,
        coupon_code: c.get()?,
        issued_at: c.time()?,
        seq: c.whole()?,
        limits: LimitUse {
            day: Day(c.whole()?),
            tenant_day: Use { used: c.whole()?, cap: c.optional()? },
            tenant_total: Use { used: c.whole()?, cap: c.optional()? },
            user_day: Use { used: c.whole()?, cap: c.optional()? },
            user_total: Use { used: c.whole()?, cap: c.optional()? },
        },
        budgets: budgets(c)?,
    };
    Ok(Arc::new(incentive))
}

fn reward_type(c: &mut Columns<'_, '_>) -> Result<RewardType> {
    let name: String = c.get()?;
    RewardType::from_name(&name).ok_or_else(|| c.corrupt(c.next - 1, "is no type of reward"))
}

fn budgets(c: &mut Columns<'_, '_>) -> Result<Vec<domain::limit::BudgetUse>> {
    let text: Option<String> = c.get()?;
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|e| c.corrupt(c.next - 1, &e.to_string()))
}

/// The columns of a record in the order of [`record`].
pub(crate) const RECORD_COLUMNS: &str =
    "log_offset, tenant_id, event_id, user_ref, action_code, event_ts, payload, append_time, kind";

/// Reads [`RECORD_COLUMNS`].
pub(crate) fn record(row: &Row<'_>) -> Result<Record> {
    let c = &mut Columns::of("events", row);
    let offset = c.get()?;
    let event = ActionEvent {
        tenant_id: TenantId(c.uuid()?),
        event_id: c.text::<EventId>()?,
        user_id: c.text::<UserRef>()?,
        action: c.text::<ActionCode>()?,
        event_ts: c.time()?,
        payload: c.get::<Arc<str>>()?,
    };
    let append_time = c.time()?;
    let code: i64 = c.get()?;
    let kind =
        RecordKind::from_code(code).ok_or_else(|| c.corrupt(c.next - 1, "is no kind of record"))?;
    Ok(Record { offset, append_time, kind, event })
}

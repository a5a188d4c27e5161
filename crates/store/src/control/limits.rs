//! A tenant's two limits, and what is used of them.

use domain::id::{LimitId, TenantId, UserId};
use domain::limit::{LimitSpec, Meter, TENANT_LIMIT_KEY};
use domain::time::{Day, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;

use super::audit::{self, Entry, image};
use super::config::{lock, raise};
use super::sql::{FromRow, Row, Sql, params, statements, words};
use super::{Change, users};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select limit_id, tenant_id, scope, max_per_day, max_total, window_days, version,
                    created_at, updated_at
             from limits ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into limits (limit_id, tenant_id, scope, max_per_day, max_total, window_days,
                                  version, created_at, updated_at)
              values ($1, $2, $3, $4, $5, $6, 1, $7, $7)";
    UPDATE = "update limits
              set max_per_day = $3, max_total = $4, window_days = $5, version = version + 1,
                  updated_at = $6
              where tenant_id = $1 and scope = $2";
    LIST = select!("where tenant_id = $1 order by scope");
    GET = select!("where tenant_id = $1 and scope = $2");
    USAGE = "select bucket, used from limit_usage
             where tenant_id = $1 and limit_key = $2 order by bucket";
}

/// The stored bucket of a use that counts for ever.
pub const BUCKET_EVER: i32 = i32::MIN;

domain::choice! {
    /// Whose incentives a limit counts.
    pub enum LimitScope {
        /// All of the tenant's.
        Global = "GLOBAL",
        /// Each user's own.
        User = "USER",
    }
}
words!(LimitScope);

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitRow {
    /// Its id.
    pub limit_id: LimitId,
    /// Whose.
    #[serde(skip)]
    pub tenant_id: TenantId,
    /// Whose incentives it counts.
    pub scope: LimitScope,
    /// Its caps.
    #[serde(flatten)]
    pub spec: LimitSpec,
    /// Rises with each change, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl FromRow for LimitRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            limit_id: row.get("limit_id")?,
            tenant_id: row.get("tenant_id")?,
            scope: row.get("scope")?,
            spec: LimitSpec {
                max_per_day: row.get("max_per_day")?,
                max_total: row.get("max_total")?,
                window_days: row.get("window_days")?,
            },
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// A tenant's limits: GLOBAL, then USER. None when there is no such tenant.
pub fn list(sql: &mut dyn Sql, tenant: TenantId) -> Result<Vec<LimitRow>> {
    sql.rows(&LIST, params![tenant])
}

/// Sets the caps of a limit; `id` is for one that is not there yet. Setting the same again changes
/// nothing. Errors: [`StoreError::NotFound`] without such a tenant, [`StoreError::Stale`].
pub fn upsert(
    sql: &mut dyn Sql,
    tenant: TenantId,
    (scope, id): (LimitScope, LimitId),
    spec: &LimitSpec,
    expected_version: Option<u32>,
    change: &Change,
) -> Result<LimitRow> {
    lock(sql, tenant)?;
    let old: Option<LimitRow> = sql.row(&GET, params![tenant, scope])?;
    match &old {
        None => insert(sql, tenant, scope, id, spec, change.at)?,
        Some(old) => {
            let what = || format!("the {scope} limit of tenant {tenant}");
            super::expect_version(what, expected_version, old.version)?;
            if old.spec == *spec {
                return Ok(old.clone());
            }
            let (per_day, total) = (cap(spec.max_per_day)?, cap(spec.max_total)?);
            let params = params![tenant, scope, per_day, total, spec.window_days, change.at];
            sql.execute(&UPDATE, params)?;
        }
    }
    let config_version = raise(sql, tenant)?;
    let row: Option<LimitRow> = sql.row(&GET, params![tenant, scope])?;
    let row = row.ok_or_else(|| StoreError::not_found(format!("{scope} limit")))?;
    let entry = Entry {
        action: "limit.set",
        subject: format!("limit:{scope}"),
        config_version: Some(config_version),
        before: old.as_ref().map(image).transpose()?.flatten(),
        after: image(&row)?,
    };
    audit::record(sql, tenant, change, &entry)?;
    Ok(row)
}

/// Writes a limit that does not exist, without a configuration version of its own.
pub(super) fn insert(
    sql: &mut dyn Sql,
    tenant: TenantId,
    scope: LimitScope,
    id: LimitId,
    spec: &LimitSpec,
    at: Timestamp,
) -> Result<()> {
    let (per_day, total) = (cap(spec.max_per_day)?, cap(spec.max_total)?);
    sql.execute(&INSERT, params![id, tenant, scope, per_day, total, spec.window_days, at])?;
    Ok(())
}

fn cap(cap: Option<u64>) -> Result<Option<i64>> {
    let fits = |n| {
        i64::try_from(n).map_err(|_| {
            StoreError::invalid(format!("a cap of {n} is too large; leave it out for no cap"))
        })
    };
    cap.map(fits).transpose()
}

/// What is used of the tenant's GLOBAL limit.
pub fn tenant_use(sql: &mut dyn Sql, tenant: TenantId) -> Result<Meter<Decimal>> {
    usage(sql, tenant, TENANT_LIMIT_KEY)
}

/// What is used of a limit or budget, by its key (see [`domain::limit::budget_key`]).
pub fn usage(sql: &mut dyn Sql, tenant: TenantId, key: &str) -> Result<Meter<Decimal>> {
    let mut meter = Meter::default();
    sql.query(&USAGE, params![tenant, key], &mut |row| {
        let used = row.get("used")?;
        match row.get("bucket")? {
            BUCKET_EVER => meter.ever = used,
            day => meter.days.push((Day(day), used)),
        }
        Ok(())
    })?;
    Ok(meter)
}

/// What a user has used of the tenant's USER limit.
pub fn user_use(sql: &mut dyn Sql, tenant: TenantId, user: UserId) -> Result<Meter<u64>> {
    Ok(users::state(sql, tenant, user)?.map(|stored| stored.state.limit).unwrap_or_default())
}

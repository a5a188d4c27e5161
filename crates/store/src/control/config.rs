//! What decides for a tenant, in one piece, and the version of it.

use domain::config::{CohortSource, TenantConfig, TenantMode};
use domain::id::TenantId;
use domain::limit::LimitSpec;
use domain::time::{Period, SECOND_US};

use super::cohorts::Refresh;
use super::limits::{self, LimitScope};
use super::sql::{FromColumn, FromRow, Row, Sql, params, statements};
use super::tenants::TenantStatus;
use super::{campaigns, sql};
use crate::error::{Result, StoreError};

statements! {
    /// Writes the row as it is: on PostgreSQL this locks it, as the batches do.
    LOCK = "update tenant_states set config_version = config_version where tenant_id = $1
            returning config_version";
    RAISE = "update tenant_states set config_version = config_version + 1 where tenant_id = $1
             returning config_version";
    VERSION = "select config_version from tenant_states where tenant_id = $1";
    TENANT = "select t.tenant_id, t.time_zone, t.status, t.allowed_lateness_s, t.coupon_key,
                     s.config_version, s.mode
              from tenants t join tenant_states s on s.tenant_id = t.tenant_id
              where t.tenant_id = $1";
    COHORTS = "select cohort_id, membership_version, refresh, computed_at
               from cohorts where tenant_id = $1 order by cohort_id";
}

/// Locks a tenant's configuration until the end of the transaction. The first step of each change
/// to it, so that what the change reads stays true. Errors: [`StoreError::NotFound`].
pub(super) fn lock(sql: &mut dyn Sql, tenant: TenantId) -> Result<()> {
    let version: Option<i64> = sql.value(&LOCK, params![tenant], "config_version")?;
    version.map(|_| ()).ok_or_else(|| no_tenant(tenant))
}

/// Raises `config_version`: whatever is decided after this transaction sees the change.
pub(super) fn raise(sql: &mut dyn Sql, tenant: TenantId) -> Result<i64> {
    let version = sql.value(&RAISE, params![tenant], "config_version")?;
    version.ok_or_else(|| no_tenant(tenant))
}

pub(super) fn no_tenant(tenant: TenantId) -> StoreError {
    StoreError::not_found(format!("tenant {tenant}"))
}

/// A tenant's `config_version`; `None` when there is no such tenant.
pub fn version(sql: &mut dyn Sql, tenant: TenantId) -> Result<Option<i64>> {
    sql.value(&VERSION, params![tenant], "config_version")
}

/// Everything of a tenant that decides; `None` when there is no such tenant. A suspended tenant has
/// no campaigns in force: its events are decided, and earn nothing.
pub fn tenant_config(sql: &mut dyn Sql, tenant: TenantId) -> Result<Option<TenantConfig>> {
    let Some(Bare { mut config, status }) = sql.row(&TENANT, params![tenant])? else {
        return Ok(None);
    };
    for limit in limits::list(sql, tenant)? {
        match limit.scope {
            LimitScope::Global => config.tenant_limit = limit.spec,
            LimitScope::User => config.user_limit = limit.spec,
        }
    }
    let live = campaigns::live(sql, tenant)?;
    let paused = campaigns::paused(sql, tenant)?;
    match status {
        TenantStatus::Active => (config.campaigns, config.dormant) = (live, paused),
        TenantStatus::Suspended => {
            config.dormant = live.into_iter().map(|c| c.id).chain(paused).collect();
        }
    }
    config.cohorts = sql.rows(&COHORTS, params![tenant])?;
    Ok(Some(config))
}

/// A configuration with the tenant's own part only.
struct Bare {
    config: TenantConfig,
    status: TenantStatus,
}

impl FromRow for Bare {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let lateness_s: i64 = row.get("allowed_lateness_s")?;
        let config = TenantConfig {
            tenant: row.get("tenant_id")?,
            config_version: row.get("config_version")?,
            zone: row.get("time_zone")?,
            lateness_us: lateness_s.saturating_mul(SECOND_US),
            mode: row.get("mode")?,
            tenant_limit: LimitSpec::default(),
            user_limit: LimitSpec::default(),
            campaigns: Vec::new(),
            dormant: Vec::new(),
            coupon_key: row.get("coupon_key")?,
            cohorts: Vec::new(),
        };
        Ok(Self { config, status: row.get("status")? })
    }
}

impl FromRow for CohortSource {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("cohort_id")?,
            membership_version: row.get("membership_version")?,
            refresh: match row.get("refresh")? {
                Refresh::None => None,
                Refresh::Daily => Some(Period::Day),
                Refresh::Weekly => Some(Period::Week),
                Refresh::Monthly => Some(Period::Month),
            },
            computed_at: row.get("computed_at")?,
        })
    }
}

/// The stored word of a mode.
pub(super) fn mode_word(mode: TenantMode) -> &'static str {
    match mode {
        TenantMode::Live => "LIVE",
        TenantMode::Replay => "REPLAY",
    }
}

impl FromColumn for TenantMode {
    fn from_column(column: sql::Column<'_>) -> Result<Self, String> {
        match column {
            sql::Column::Text("LIVE") => Ok(Self::Live),
            sql::Column::Text("REPLAY") => Ok(Self::Replay),
            other => Err(format!("it holds {other:?} instead of LIVE or REPLAY")),
        }
    }
}

//! Tenants and how they take events. Here, and in [`super::keys`], stand the few statements without
//! a tenant: the platform admin's list, and whatever comes before a tenant is known.

use domain::config::TenantMode;
use domain::id::{LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::time::{Timestamp, Zone};
use serde::Serialize;
use uuid::Uuid;

use super::audit::{self, Entry, image};
use super::config::{lock, mode_word, no_tenant, raise};
use super::limits::{self, LimitScope};
use super::sql::{Column, FromColumn, FromRow, Row, Sql, Value, params, statements, words};
use super::{Change, Page, PageRequest};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select t.tenant_id, t.name, t.time_zone, t.status, t.allowed_lateness_s, t.version,
                    t.created_at, t.updated_at, s.config_version, s.mode, s.last_append_time
             from tenants t join tenant_states s on s.tenant_id = t.tenant_id ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into tenants (tenant_id, name, time_zone, status, allowed_lateness_s,
                                   coupon_key, version, created_at, updated_at)
              values ($1, $2, $3, 'ACTIVE', $4, $5, 1, $6, $6)";
    INSERT_STATE = "insert into tenant_states (tenant_id, config_version, mode, last_append_time)
                    values ($1, 1, 'LIVE', $2)";
    GET = select!("where t.tenant_id = $1");
    LIST = select!("where t.tenant_id > $1 order by t.tenant_id limit $2");
    UPDATE = "update tenants
              set name = $2, time_zone = $3, status = $4, allowed_lateness_s = $5,
                  version = version + 1, updated_at = $6
              where tenant_id = $1";
    SET_MODE = "update tenant_states set mode = $2 where tenant_id = $1";
}

domain::choice! {
    /// Whether a tenant takes part.
    pub enum TenantStatus {
        /// It does.
        Active = "ACTIVE",
        /// Its events are refused and nothing is granted.
        Suspended = "SUSPENDED",
    }
}
words!(TenantStatus);

/// How late an event may come unless its tenant says otherwise: a week.
pub const ALLOWED_LATENESS_S: i64 = 604_800;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantRow {
    /// Its id.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// The zone of its calendar day.
    pub time_zone: Zone,
    /// Whether it takes part.
    pub status: TenantStatus,
    /// How late an event may come, seconds.
    pub allowed_lateness_s: i64,
    /// Rises with each change of the fields above, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Rises with every change to what decides.
    #[serde(skip)]
    pub config_version: i64,
    /// How it takes events.
    #[serde(serialize_with = "write_mode")]
    pub mode: TenantMode,
    /// Append time of its last event; 1970 = it has none.
    #[serde(skip)]
    pub last_append_time: Timestamp,
}

fn write_mode<S: serde::Serializer>(mode: &TenantMode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(mode_word(*mode))
}

impl FromRow for TenantRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            tenant_id: row.get("tenant_id")?,
            name: row.get("name")?,
            time_zone: row.get("time_zone")?,
            status: row.get("status")?,
            allowed_lateness_s: row.get("allowed_lateness_s")?,
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
            config_version: row.get("config_version")?,
            mode: row.get("mode")?,
            last_append_time: row.get("last_append_time")?,
        })
    }
}

impl FromColumn for Zone {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        Zone::named(&String::from_column(column)?).map_err(|e| e.to_string())
    }
}

/// A tenant to be made, with both of its limits.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// Its id, a UUIDv7.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: String,
    /// The zone of its calendar day.
    pub time_zone: Zone,
    /// How late an event may come, seconds.
    pub allowed_lateness_s: i64,
    /// 32 secret random bytes, from which its coupon codes are derived.
    pub coupon_key: [u8; 32],
    /// Its GLOBAL limit.
    pub tenant_limit: (LimitId, LimitSpec),
    /// Its USER limit.
    pub user_limit: (LimitId, LimitSpec),
}

/// Makes a tenant and its limits. Errors: [`StoreError::Conflict`] when the id exists.
pub fn create(sql: &mut dyn Sql, new: &NewTenant, change: &Change) -> Result<TenantRow> {
    let tenant = new.tenant_id;
    if get(sql, tenant)?.is_some() {
        return Err(StoreError::conflict(format!("tenant {tenant}")));
    }
    let params = params![
        tenant,
        &new.name,
        new.time_zone.name(),
        new.allowed_lateness_s,
        new.coupon_key.as_slice(),
        change.at,
    ];
    sql.execute(&INSERT, params)?;
    sql.execute(&INSERT_STATE, params![tenant, Timestamp::default()])?;
    for (scope, (id, spec)) in
        [(LimitScope::Global, &new.tenant_limit), (LimitScope::User, &new.user_limit)]
    {
        limits::insert(sql, tenant, scope, *id, spec, change.at)?;
    }
    let row = must_get(sql, tenant)?;
    let after = image(&row)?;
    record(sql, change, "tenant.create", &row, (None, after))?;
    Ok(row)
}

/// A tenant; `None` when there is none.
pub fn get(sql: &mut dyn Sql, tenant: TenantId) -> Result<Option<TenantRow>> {
    sql.row(&GET, params![tenant])
}

/// The platform's tenants in the order of creation.
pub fn list(sql: &mut dyn Sql, page: PageRequest<TenantId>) -> Result<Page<TenantRow, TenantId>> {
    let after = page.after.unwrap_or(TenantId(Uuid::nil()));
    let rows = sql.rows(&LIST, params![after, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &TenantRow| row.tenant_id))
}

/// The fields of a tenant that can be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantUpdate {
    /// Its name.
    pub name: String,
    /// The zone of its calendar day. Uses that are recorded keep the day they were recorded on.
    pub time_zone: Zone,
    /// Whether it takes part.
    pub status: TenantStatus,
    /// How late an event may come, seconds.
    pub allowed_lateness_s: i64,
}

/// Changes a tenant. Errors: [`StoreError::NotFound`]; [`StoreError::Stale`] when it is not at the
/// expected version.
pub fn update(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &TenantUpdate,
    expected_version: Option<u32>,
    change: &Change,
) -> Result<TenantRow> {
    lock(sql, tenant)?;
    let old = must_get(sql, tenant)?;
    super::expect_version(|| format!("tenant {tenant}"), expected_version, old.version)?;
    let same = TenantUpdate {
        name: old.name.clone(),
        time_zone: old.time_zone.clone(),
        status: old.status,
        allowed_lateness_s: old.allowed_lateness_s,
    };
    if *new == same {
        return Ok(old);
    }
    let params = params![
        tenant,
        &new.name,
        new.time_zone.name(),
        new.status,
        new.allowed_lateness_s,
        change.at,
    ];
    sql.execute(&UPDATE, params)?;
    raise(sql, tenant)?;
    let row = must_get(sql, tenant)?;
    let images = (image(&old)?, image(&row)?);
    record(sql, change, "tenant.update", &row, images)?;
    Ok(row)
}

/// Switches between live events and a replay. Doing it again changes nothing.
pub fn set_mode(
    sql: &mut dyn Sql,
    tenant: TenantId,
    mode: TenantMode,
    change: &Change,
) -> Result<TenantRow> {
    lock(sql, tenant)?;
    let old = must_get(sql, tenant)?;
    if old.mode == mode {
        return Ok(old);
    }
    sql.execute(&SET_MODE, params![tenant, Value::Text(mode_word(mode))])?;
    raise(sql, tenant)?;
    let row = must_get(sql, tenant)?;
    let images = (image(&old)?, image(&row)?);
    record(sql, change, "tenant.mode", &row, images)?;
    Ok(row)
}

fn must_get(sql: &mut dyn Sql, tenant: TenantId) -> Result<TenantRow> {
    get(sql, tenant)?.ok_or_else(|| no_tenant(tenant))
}

fn record(
    sql: &mut dyn Sql,
    change: &Change,
    action: &'static str,
    row: &TenantRow,
    (before, after): (Option<String>, Option<String>),
) -> Result<()> {
    let entry = Entry {
        action,
        subject: format!("tenant:{}", row.tenant_id),
        config_version: Some(row.config_version),
        before,
        after,
    };
    audit::record(sql, row.tenant_id, change, &entry)
}

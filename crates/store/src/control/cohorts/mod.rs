//! Cohorts and the recompute of their membership.
//!
//! A recompute builds a new membership version beside the one in force, in bounded steps
//! ([`begin`], [`super::memberships::fill`]), and switches to it at once ([`finish`]); the rows of
//! older versions are then deleted in bounded steps ([`super::memberships::purge`]). One that was
//! begun later supersedes one that still runs: the older gets [`StoreError::WrongState`].

pub(super) mod compute;

use domain::id::{CohortId, TenantId, UserRef};
use domain::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

pub use self::compute::{begin, fail, finish};
use super::audit::{self, Entry, image};
use super::config::{lock, raise};
use super::sql::{FromRow, Row, Sql, Statement, params, statements, words};
use super::{Change, Page, PageRequest, memberships};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select cohort_id, tenant_id, key, name, type, criteria_json, refresh, status,
                    membership_version, building_version, size, computed_at, last_error, version,
                    created_at, updated_at
             from cohorts ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into cohorts
                  (cohort_id, tenant_id, key, name, type, criteria_json, refresh, status,
                   membership_version, building_version, building_size, size, computed_at, version,
                   created_at, updated_at)
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, 0, 0, $10, 1, $11, $11)";
    UPDATE = "update cohorts
              set name = $3, criteria_json = $4, refresh = $5, version = version + 1,
                  updated_at = $6
              where tenant_id = $1 and cohort_id = $2";
    GET = select!("where tenant_id = $1 and cohort_id = $2");
    GET_BY_KEY = select!("where tenant_id = $1 and key = $2");
    LIST = select!("where tenant_id = $1 and cohort_id < $2 order by cohort_id desc limit $3");
    TENANT_OF = "select tenant_id from cohorts where cohort_id = $1";
}

/// The statements of this module and of the one under it.
pub(super) fn statements() -> impl Iterator<Item = &'static Statement> {
    [ALL, compute::ALL].into_iter().flatten()
}

domain::choice! {
    /// How a cohort's members are found.
    pub enum CohortType {
        /// They are listed.
        Static = "STATIC",
        /// By criteria.
        Dynamic = "DYNAMIC",
    }
}
domain::choice! {
    /// How often a dynamic cohort is recomputed as the tenant's log passes.
    pub enum Refresh {
        /// Only when asked to.
        None = "NONE",
        /// At the first event of each day.
        Daily = "DAILY",
        /// Of each week.
        Weekly = "WEEKLY",
        /// Of each month.
        Monthly = "MONTHLY",
    }
}
domain::choice! {
    /// Where a cohort's membership stands.
    pub enum CohortStatus {
        /// In force.
        Ready = "READY",
        /// A new one is being computed; the old one is in force meanwhile.
        Computing = "COMPUTING",
        /// The last recompute failed; the old one stays in force.
        Failed = "FAILED",
    }
}
words!(CohortType, Refresh, CohortStatus);

/// A cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CohortRow {
    /// Its id.
    pub cohort_id: CohortId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The operator's own name for it in files, unique in the tenant.
    pub key: Option<String>,
    /// Its name.
    pub name: String,
    /// STATIC or DYNAMIC.
    #[serde(rename = "type")]
    pub kind: CohortType,
    /// The criteria of a dynamic one, a JSON document.
    #[serde(rename = "criteria", serialize_with = "audit::raw_option")]
    pub criteria_json: Option<String>,
    /// How often it is recomputed.
    pub refresh: Refresh,
    /// Where its membership stands.
    pub status: CohortStatus,
    /// The membership in force; 0 = nobody yet.
    pub membership_version: i64,
    /// The highest membership ever begun.
    #[serde(skip)]
    pub building_version: i64,
    /// Members in force.
    pub size: i64,
    /// Membership is as of this moment.
    pub computed_at: Option<Timestamp>,
    /// Why the last recompute failed.
    pub last_error: Option<String>,
    /// Rises with each change of name, criteria or refresh, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its definition was last changed.
    pub updated_at: Timestamp,
}

impl FromRow for CohortRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            cohort_id: row.get("cohort_id")?,
            tenant_id: row.get("tenant_id")?,
            key: row.get("key")?,
            name: row.get("name")?,
            kind: row.get("type")?,
            criteria_json: row.get("criteria_json")?,
            refresh: row.get("refresh")?,
            status: row.get("status")?,
            membership_version: row.get("membership_version")?,
            building_version: row.get("building_version")?,
            size: row.get("size")?,
            computed_at: row.get("computed_at")?,
            last_error: row.get("last_error")?,
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// What both types have in common when they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCohort {
    /// Its id, a UUIDv7.
    pub cohort_id: CohortId,
    /// The operator's own name for it in files, unique in the tenant.
    pub key: Option<String>,
    /// Its name.
    pub name: String,
}

/// What makes a cohort dynamic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// The criteria, checked: a JSON document.
    pub json: String,
    /// How often it is recomputed.
    pub refresh: Refresh,
}

/// Makes a static cohort with its first members, at most
/// [`MEMBERS_PER_CALL_MAX`](memberships::MEMBERS_PER_CALL_MAX); [`memberships::add`] adds more.
/// Errors: [`StoreError::NotFound`] without such a tenant, [`StoreError::Conflict`] when the key is
/// taken, [`StoreError::Invalid`] when there are too many members.
pub fn create_static(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &NewCohort,
    members: &[UserRef],
    change: &Change,
) -> Result<CohortRow> {
    insert(sql, tenant, new, None, change)?;
    let empty = must_get(sql, tenant, new.cohort_id)?;
    memberships::insert_in_force(sql, tenant, &empty, members)?;
    let row = must_get(sql, tenant, new.cohort_id)?;
    record(sql, change, "cohort.create", None, &row)?;
    Ok(row)
}

/// Makes a dynamic cohort. It is COMPUTING, with nobody in it, until its first recompute has
/// finished; starting that is the caller's part. Errors: as [`create_static`].
pub fn create_dynamic(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &NewCohort,
    criteria: &Criteria,
    change: &Change,
) -> Result<CohortRow> {
    insert(sql, tenant, new, Some(criteria), change)?;
    let row = must_get(sql, tenant, new.cohort_id)?;
    record(sql, change, "cohort.create", None, &row)?;
    Ok(row)
}

fn insert(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &NewCohort,
    criteria: Option<&Criteria>,
    change: &Change,
) -> Result<()> {
    lock(sql, tenant)?;
    if let Some(key) = &new.key
        && by_key(sql, tenant, key)?.is_some()
    {
        return Err(StoreError::conflict(format!("a cohort with the key {key:?}")));
    }
    let (kind, status, membership_version) = match criteria {
        None => (CohortType::Static, CohortStatus::Ready, 1),
        Some(_) => (CohortType::Dynamic, CohortStatus::Computing, 0),
    };
    let computed_at = criteria.is_none().then_some(change.at);
    let params = params![
        new.cohort_id,
        tenant,
        new.key.as_deref(),
        &new.name,
        kind,
        audit::json(criteria.map(|c| c.json.as_str())),
        criteria.map_or(Refresh::None, |c| c.refresh),
        status,
        membership_version,
        computed_at,
        change.at,
    ];
    sql.execute(&INSERT, params)?;
    Ok(())
}

/// Changes name and criteria; members stay as they are until the next recompute. The same again
/// changes nothing. Errors: [`StoreError::NotFound`], [`StoreError::Stale`],
/// [`StoreError::Invalid`] for criteria on a static cohort or none on a dynamic one.
pub fn update(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CohortId,
    (name, criteria): (&str, Option<&Criteria>),
    expected_version: Option<u32>,
    change: &Change,
) -> Result<CohortRow> {
    lock(sql, tenant)?;
    let old = must_get(sql, tenant, id)?;
    super::expect_version(|| format!("cohort {id}"), expected_version, old.version)?;
    if criteria.is_some() != (old.kind == CohortType::Dynamic) {
        let kind = old.kind;
        return Err(StoreError::invalid(format!(
            "cohort {id} is {kind}: a DYNAMIC cohort has criteria, a STATIC one has members"
        )));
    }
    let json = criteria.map(|c| c.json.as_str());
    let refresh = criteria.map_or(Refresh::None, |c| c.refresh);
    if old.name == name && old.criteria_json.as_deref() == json && old.refresh == refresh {
        return Ok(old);
    }
    sql.execute(&UPDATE, params![tenant, id, name, audit::json(json), refresh, change.at])?;
    let row = must_get(sql, tenant, id)?;
    record(sql, change, "cohort.update", Some(&old), &row)?;
    Ok(row)
}

/// A cohort; `None` when the tenant has none of this id.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, id: CohortId) -> Result<Option<CohortRow>> {
    sql.row(&GET, params![tenant, id])
}

/// A cohort by the operator's own name for it.
pub fn by_key(sql: &mut dyn Sql, tenant: TenantId, key: &str) -> Result<Option<CohortRow>> {
    sql.row(&GET_BY_KEY, params![tenant, key])
}

/// Whose cohort it is: for the platform admin, who names no tenant.
pub fn tenant_of(sql: &mut dyn Sql, id: CohortId) -> Result<Option<TenantId>> {
    sql.value(&TENANT_OF, params![id], "tenant_id")
}

/// A tenant's cohorts, the newest first.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    page: PageRequest<CohortId>,
) -> Result<Page<CohortRow, CohortId>> {
    let before = page.after.unwrap_or(CohortId(Uuid::max()));
    let rows = sql.rows(&LIST, params![tenant, before, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &CohortRow| row.cohort_id))
}

pub(super) fn must_get(sql: &mut dyn Sql, tenant: TenantId, id: CohortId) -> Result<CohortRow> {
    get(sql, tenant, id)?.ok_or_else(|| StoreError::not_found(format!("cohort {id}")))
}

/// Raises the configuration version and writes the audit entry.
pub(super) fn record(
    sql: &mut dyn Sql,
    change: &Change,
    action: &'static str,
    old: Option<&CohortRow>,
    new: &CohortRow,
) -> Result<()> {
    let entry = Entry {
        action,
        subject: format!("cohort:{}", new.cohort_id),
        config_version: Some(raise(sql, new.tenant_id)?),
        before: old.map(image).transpose()?.flatten(),
        after: image(new)?,
    };
    audit::record(sql, new.tenant_id, change, &entry)
}

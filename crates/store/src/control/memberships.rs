//! Who is in a cohort.

use domain::id::{CohortId, TenantId, UserId, UserRef, user_id};
use uuid::Uuid;

use super::cohorts::{self, CohortRow, CohortType, compute};
use super::config::lock;
use super::sql::{FromRow, Row, Sql, Value, params, statements};
use super::{Change, Page, PageRequest};
use crate::error::{Result, StoreError};

/// Most members written by one call.
pub const MEMBERS_PER_CALL_MAX: usize = 10_000;
/// Users looked up by one statement; the rest of the placeholders repeats the last.
const LOOKUP: usize = 16;

statements! {
    ADD = "insert into cohort_members (cohort_id, membership_version, user_id, user_ref)
           values ($1, $2, $3, $4) on conflict do nothing";
    REMOVE = "delete from cohort_members
              where cohort_id = $1 and membership_version = $2 and user_id = $3";
    GROW = "update cohorts set size = size + $3, computed_at = $4
            where tenant_id = $1 and cohort_id = $2";
    GROW_BUILDING = "update cohorts set building_size = building_size + $3
                     where tenant_id = $1 and cohort_id = $2";
    LIST = "select user_id, user_ref from cohort_members
            where cohort_id = $1 and membership_version = $2 and user_id > $3
            order by user_id limit $4";
    FIND = "select user_id from cohort_members
            where cohort_id = $1 and membership_version = $2
              and user_id in ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                              $18)";
    PURGE = "delete from cohort_members
             where (cohort_id, membership_version, user_id) in
                   (select cohort_id, membership_version, user_id from cohort_members
                    where cohort_id = $1 and membership_version < $2 limit $3)";
}

/// A member of a cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The platform's id.
    pub user_id: UserId,
    /// The tenant's id.
    pub user_ref: UserRef,
}

impl FromRow for MemberRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { user_id: row.get("user_id")?, user_ref: row.get("user_ref")? })
    }
}

/// The members in force, in the order of the platform's ids. Errors: [`StoreError::NotFound`].
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
    page: PageRequest<UserId>,
) -> Result<Page<MemberRow, UserId>> {
    let version = cohorts::must_get(sql, tenant, cohort)?.membership_version;
    let after = page.after.unwrap_or(UserId(Uuid::nil()));
    let rows = sql.rows(&LIST, params![cohort, version, after, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &MemberRow| row.user_id))
}

/// Which of the users are in which of the cohorts, each with the membership version to look at.
/// The cohorts must be the tenant's, as its configuration names them.
pub fn find(
    sql: &mut dyn Sql,
    cohorts: &[(CohortId, i64)],
    users: &[UserId],
) -> Result<Vec<(CohortId, UserId)>> {
    let mut found = Vec::new();
    for (cohort, version) in cohorts {
        for some in users.chunks(LOOKUP) {
            let last = some[some.len() - 1];
            let ids = some.iter().copied().chain(std::iter::repeat(last)).take(LOOKUP);
            let params: Vec<Value<'_>> = [(*cohort).into(), (*version).into()]
                .into_iter()
                .chain(ids.map(Value::from))
                .collect();
            sql.query(&FIND, &params, &mut |row| {
                found.push((*cohort, row.get("user_id")?));
                Ok(())
            })?;
        }
    }
    Ok(found)
}

/// Adds members to a static cohort, at most [`MEMBERS_PER_CALL_MAX`]; those who are in it stay.
/// Errors: [`StoreError::NotFound`], [`StoreError::Invalid`] when there are too many or the cohort
/// is dynamic.
pub fn add(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
    members: &[UserRef],
    change: &Change,
) -> Result<CohortRow> {
    lock(sql, tenant)?;
    let old = must_be_static(sql, tenant, cohort)?;
    let added = insert(sql, tenant, cohort, old.membership_version, members)?;
    grown(sql, &old, i64::try_from(added).unwrap_or(i64::MAX), change)
}

/// Takes members out of a static cohort, at most [`MEMBERS_PER_CALL_MAX`]. Errors: as [`add`].
pub fn remove(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
    members: &[UserRef],
    change: &Change,
) -> Result<CohortRow> {
    lock(sql, tenant)?;
    let old = must_be_static(sql, tenant, cohort)?;
    check_count(members)?;
    let version = old.membership_version;
    let mut lists = members.iter().map(|m| params![cohort, version, user_id(tenant, m)].to_vec());
    let removed = sql.execute_each(&REMOVE, &mut lists)?;
    grown(sql, &old, -i64::try_from(removed).unwrap_or(i64::MAX), change)
}

/// Adds members to the membership `building` of a recompute, or of a replacement of a static
/// cohort's list. Decides nothing until [`cohorts::finish`]. Errors: [`StoreError::WrongState`] when
/// another recompute was begun after this one, [`StoreError::Invalid`] when there are too many.
pub fn fill(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
    building: i64,
    members: &[UserRef],
) -> Result<()> {
    lock(sql, tenant)?;
    compute::must_build(sql, tenant, cohort, building)?;
    let added = insert(sql, tenant, cohort, building, members)?;
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    sql.execute(&GROW_BUILDING, params![tenant, cohort, added])?;
    Ok(())
}

/// Deletes at most `max` rows of memberships that are no longer in force; fewer mean all are gone.
/// Errors: [`StoreError::NotFound`].
pub fn purge(sql: &mut dyn Sql, tenant: TenantId, cohort: CohortId, max: u32) -> Result<u64> {
    let version = cohorts::must_get(sql, tenant, cohort)?.membership_version;
    sql.execute(&PURGE, params![cohort, version, max])
}

/// The first members of a new static cohort.
pub(super) fn insert_in_force(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: &CohortRow,
    members: &[UserRef],
) -> Result<()> {
    let added = insert(sql, tenant, cohort.cohort_id, cohort.membership_version, members)?;
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    sql.execute(&GROW, params![tenant, cohort.cohort_id, added, cohort.computed_at])?;
    Ok(())
}

fn insert(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
    version: i64,
    members: &[UserRef],
) -> Result<u64> {
    check_count(members)?;
    let mut lists =
        members.iter().map(|m| params![cohort, version, user_id(tenant, m), m].to_vec());
    sql.execute_each(&ADD, &mut lists)
}

fn grown(sql: &mut dyn Sql, old: &CohortRow, by: i64, change: &Change) -> Result<CohortRow> {
    if by == 0 {
        return Ok(old.clone());
    }
    sql.execute(&GROW, params![old.tenant_id, old.cohort_id, by, change.at])?;
    let row = cohorts::must_get(sql, old.tenant_id, old.cohort_id)?;
    cohorts::record(sql, change, "cohort.members", Some(old), &row)?;
    Ok(row)
}

fn must_be_static(sql: &mut dyn Sql, tenant: TenantId, id: CohortId) -> Result<CohortRow> {
    let row = cohorts::must_get(sql, tenant, id)?;
    if row.kind == CohortType::Dynamic {
        return Err(StoreError::invalid(format!(
            "cohort {id} is DYNAMIC: its members follow from its criteria; change those"
        )));
    }
    Ok(row)
}

fn check_count(members: &[UserRef]) -> Result<()> {
    if members.len() > MEMBERS_PER_CALL_MAX {
        return Err(StoreError::invalid(format!(
            "{} members at once; send at most {MEMBERS_PER_CALL_MAX} and add the others in further \
             calls",
            members.len()
        )));
    }
    Ok(())
}

//! `PUT /api/v1/cohorts/{cohortId}`: changes a cohort.

use domain::id::{CohortId, JobId, TenantId, UserRef};
use domain::shape::{FaultCode, Text};
use store::control::cohorts::{self, CohortRow, CohortType, Refresh};
use store::control::memberships::{self, MEMBERS_PER_CALL_MAX};
use store::control::{Change, Sql};

use super::recompute::{Recompute, note_start};
use super::{Cohort, CriteriaDocument, Definition, OneCohort, UserIds};
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// What a cohort should be.
    pub struct UpdateCohort {
        /// Whose it is; cannot be changed.
        "tenantId" tenant_id: Option<TenantId>,
        /// Its type; cannot be changed.
        "type" kind: Option<CohortType>,
        /// Its name.
        "name" name: Text<1, 200>,
        /// All members of a STATIC one; left out, they stay.
        "userIds" user_ids: Option<UserIds>,
        /// The criteria of a DYNAMIC one.
        "criteria" criteria: Option<CriteriaDocument>,
        /// How often a DYNAMIC one is recomputed as the tenant's log passes.
        "refresh" refresh: Option<Refresh>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "updateCohort",
    summary: "Change a cohort",
    about: "The list of a STATIC cohort is replaced at once. New criteria of a DYNAMIC one are \
            computed in the background; until then its members stay.",
    problems: &[Code::StaleVersion],
};

/// Changes it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneCohort>,
    Document(new): Document<UpdateCohort>,
) -> Result<Okay<Cohort>, Problem> {
    let (id, expected) = (one.cohort_id, call.expected_version()?);
    let tenant = call.tenant_of_cohort(id).await?;
    call.tenant_named(new.tenant_id)?;
    let old = call.read(move |sql| cohorts::get(sql, tenant, id)).await?;
    let old = old.ok_or_else(|| Problem::not_found("cohort"))?;
    if new.kind.is_some_and(|kind| kind != old.kind) {
        let detail = format!("is {} and cannot be changed; make another cohort", old.kind);
        return Err(Problem::invalid_field("/type", FaultCode::NotAllowed, detail));
    }
    let definition = Definition::of(old.kind, new.user_ids, new.criteria, new.refresh)?;
    let recompute = match &definition {
        Definition::Criteria(new) if old.criteria_json.as_deref() != Some(&new.json) => {
            Some(Recompute { tenant, cohort: id, job: JobId(call.app.ids.uuid()) })
        }
        _ => None,
    };
    let name = new.name.into_string();
    let reply = call
        .write(move |sql, change| {
            let row = match definition {
                Definition::Members(members) => {
                    let row = cohorts::update(sql, tenant, id, (&name, None), expected, change)?;
                    match members {
                        Some(members) => replace(sql, tenant, id, &members, change)?,
                        None => row,
                    }
                }
                Definition::Criteria(criteria) => {
                    let new = (name.as_str(), Some(&criteria));
                    cohorts::update(sql, tenant, id, new, expected, change)?
                }
            };
            if let Some(recompute) = recompute {
                note_start(sql, recompute, change)?;
            }
            let version = row.version;
            Ok(Reply::new(row.into()).version(version))
        })
        .await?;
    if let Some(recompute) = recompute {
        recompute.spawn(&call);
    }
    Ok(reply)
}

/// Puts another list in force.
fn replace(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: CohortId,
    members: &[UserRef],
    change: &Change,
) -> store::Result<CohortRow> {
    let building = cohorts::begin(sql, tenant, id)?;
    for some in members.chunks(MEMBERS_PER_CALL_MAX) {
        memberships::fill(sql, tenant, id, building, some)?;
    }
    let row = cohorts::finish(sql, tenant, id, building, change.at, change)?;
    // The old list is as bounded as the new one.
    memberships::purge(sql, tenant, id, u32::try_from(super::USERS_MAX).unwrap_or(u32::MAX))?;
    Ok(row)
}

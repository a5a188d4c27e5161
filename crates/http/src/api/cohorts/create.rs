//! `POST /api/v1/cohorts`: a new cohort.

use domain::id::{CohortId, JobId, TenantId, UserRef};
use domain::shape::Text;
use store::control::cohorts::{self, CohortRow, CohortType, NewCohort, Refresh};
use store::control::memberships::{self, MEMBERS_PER_CALL_MAX};
use store::control::{Change, Sql};

use super::recompute::{Recompute, note_start};
use super::{Cohort, CriteriaDocument, Definition, UserIds};
use crate::call::{Call, Created, Document, Reply, address};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// A new cohort.
    pub struct CreateCohort {
        /// Whose; left out, the caller's own.
        "tenantId" tenant_id: Option<TenantId>,
        /// The operator's own name for it, unique in the tenant.
        "key" key: Option<Text<1, 100>>,
        /// Its name.
        "name" name: Text<1, 200>,
        /// STATIC or DYNAMIC; cannot be changed later.
        "type" kind: CohortType,
        /// The members of a STATIC one, by the tenant's own ids.
        "userIds" user_ids: Option<UserIds>,
        /// The criteria of a DYNAMIC one.
        "criteria" criteria: Option<CriteriaDocument>,
        /// How often a DYNAMIC one is recomputed as the tenant's log passes.
        "refresh" refresh: Option<Refresh>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "createCohort",
    summary: "Make a cohort",
    about: "A DYNAMIC one is COMPUTING, with nobody in it, until its first recompute, which begins \
            at once, has finished.",
    problems: &[Code::AlreadyExists],
};

/// Makes it.
pub async fn handle(
    call: Call,
    Document(new): Document<CreateCohort>,
) -> Result<Created<Cohort>, Problem> {
    let tenant = call.tenant_named(new.tenant_id)?;
    let definition = Definition::of(new.kind, new.user_ids, new.criteria, new.refresh)?;
    let id = CohortId(call.app.ids.uuid());
    let key = new.key.map(|key| key.into_string());
    let new = NewCohort { cohort_id: id, key, name: new.name.into_string() };
    let recompute = Recompute { tenant, cohort: id, job: JobId(call.app.ids.uuid()) };
    let is_dynamic = matches!(definition, Definition::Criteria(_));
    let reply = call
        .write(move |sql, change| {
            let row = match definition {
                Definition::Members(members) => {
                    create_static(sql, tenant, &new, &members.unwrap_or_default(), change)?
                }
                Definition::Criteria(criteria) => {
                    let row = cohorts::create_dynamic(sql, tenant, &new, &criteria, change)?;
                    note_start(sql, recompute, change)?;
                    row
                }
            };
            let (at, version) = (address("/api/v1/cohorts", row.cohort_id), row.version);
            Ok(Reply::new(row.into()).at(at).version(version))
        })
        .await?;
    if is_dynamic {
        recompute.spawn(&call);
    }
    Ok(reply)
}

/// The first members with the cohort itself, the others after it, all in one transaction.
fn create_static(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &NewCohort,
    members: &[UserRef],
    change: &Change,
) -> store::Result<CohortRow> {
    let (first, others) = members.split_at(members.len().min(MEMBERS_PER_CALL_MAX));
    let mut row = cohorts::create_static(sql, tenant, new, first, change)?;
    for some in others.chunks(MEMBERS_PER_CALL_MAX) {
        row = memberships::add(sql, tenant, new.cohort_id, some, change)?;
    }
    Ok(row)
}

//! `GET /api/v1/cohorts/{cohortId}`: one cohort.

use store::control::cohorts;

use super::{Cohort, OneCohort};
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc { id: "getCohort", summary: "Read a cohort", about: "", problems: &[] };

/// Reads it.
pub async fn handle(call: Call, Path(one): Path<OneCohort>) -> Result<Okay<Cohort>, Problem> {
    let tenant = call.tenant_of_cohort(one.cohort_id).await?;
    let row = call.read(move |sql| cohorts::get(sql, tenant, one.cohort_id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("cohort"))?;
    Ok(Reply::new(row.into()))
}

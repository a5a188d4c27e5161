//! `GET /api/v1/tenants/{tenantId}/cohorts`: a tenant's cohorts.

use store::control::cohorts;

use super::Cohort;
use crate::api::tenants::OneTenant;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Path, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListCohorts {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListCohorts);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listCohorts",
    summary: "List a tenant's cohorts, the newest first",
    about: "",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Query(query): Query<ListCohorts>,
) -> Result<Okay<Listed<Cohort>>, Problem> {
    let page = call.page(&query)?;
    let page = call.read(move |sql| cohorts::list(sql, one.tenant_id, page)).await?;
    call.listed(page, Cohort::from)
}

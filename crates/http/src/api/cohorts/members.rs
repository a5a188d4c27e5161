//! `GET /api/v1/cohorts/{cohortId}/members`: the members in force.

use domain::id::UserRef;
use store::control::memberships;

use super::OneCohort;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Path, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListMembers {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListMembers);

domain::view! {
    /// A member of a cohort.
    pub struct Member {
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "listCohortMembers",
    summary: "List the members of a cohort",
    about: "In an order of no meaning, which stays the same.",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneCohort>,
    Query(query): Query<ListMembers>,
) -> Result<Okay<Listed<Member>>, Problem> {
    let tenant = call.tenant_of_cohort(one.cohort_id).await?;
    let page = call.page(&query)?;
    let page = call.read(move |sql| memberships::list(sql, tenant, one.cohort_id, page)).await?;
    call.listed(page, |row| Member { user_id: row.user_ref })
}

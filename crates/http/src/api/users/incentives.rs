//! `GET /api/v1/users/{userId}/incentives`: what a user has earned.

use domain::id::user_id;
use domain::time::Timestamp;
use store::control::incentives::{self, IncentiveFilter};

use super::OneUser;
use crate::api::incentives::Incentive;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Path, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which incentives.
    pub struct ListUserIncentives {
        /// Issued at this time or later.
        "from" from: Option<Timestamp>,
        /// Issued before this time.
        "to" to: Option<Timestamp>,
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListUserIncentives);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listUserIncentives",
    summary: "List what a user has earned, the newest first",
    about: "Also with the user's own token.",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneUser>,
    Query(query): Query<ListUserIncentives>,
) -> Result<Okay<Listed<Incentive>>, Problem> {
    let tenant = call.tenant()?;
    let page = call.page(&query)?;
    let user = Some(user_id(tenant, &one.user_id));
    let filter = IncentiveFilter { campaign: None, user, from: query.from, to: query.to };
    let page = call.read(move |sql| incentives::list(sql, tenant, &filter, page)).await?;
    call.listed(page, Incentive::from)
}

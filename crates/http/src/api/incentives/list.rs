//! `GET /api/v1/incentives`: a tenant's incentives.

use domain::id::{CampaignId, UserRef, user_id};
use domain::time::Timestamp;
use store::control::incentives::{self, IncentiveFilter};

use super::Incentive;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which incentives.
    pub struct ListIncentives {
        /// Of this campaign.
        "campaignId" campaign_id: Option<CampaignId>,
        /// Of this user: the tenant's own id.
        "userId" user_id: Option<UserRef>,
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
paged!(ListIncentives);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listIncentives",
    summary: "List a tenant's incentives, the newest first",
    about: "Filters are combined.",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Query(query): Query<ListIncentives>,
) -> Result<Okay<Listed<Incentive>>, Problem> {
    let tenant = call.tenant()?;
    let page = call.page(&query)?;
    let filter = IncentiveFilter {
        campaign: query.campaign_id,
        user: query.user_id.map(|user| user_id(tenant, &user)),
        from: query.from,
        to: query.to,
    };
    let page = call.read(move |sql| incentives::list(sql, tenant, &filter, page)).await?;
    call.listed(page, Incentive::from)
}

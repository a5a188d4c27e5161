//! `GET /api/v1/campaigns/search`: the campaigns in force that an action can move, for the calculator.

use domain::id::{ActionCode, TenantId};
use store::control::campaigns;

use super::Campaign;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which campaigns.
    pub struct SearchCampaigns {
        /// Whose; left out, the caller's own.
        "tenantId" tenant_id: Option<TenantId>,
        /// That this action can move.
        "action" action: ActionCode,
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(SearchCampaigns);

/// What it does.
pub const DOC: Doc = Doc {
    id: "searchCampaigns",
    summary: "Find the campaigns in force that an action can move",
    about: "Campaigns with a pattern are all in it; the rule tells whether the pattern fits.",
    problems: &[],
};

/// Finds them.
pub async fn handle(
    call: Call,
    Query(query): Query<SearchCampaigns>,
) -> Result<Okay<Listed<Campaign>>, Problem> {
    let tenant = call.tenant_named(query.tenant_id)?;
    let page = call.page(&query)?;
    let page = call.read(move |sql| campaigns::search(sql, tenant, &query.action, page)).await?;
    call.listed(page, Campaign::from)
}

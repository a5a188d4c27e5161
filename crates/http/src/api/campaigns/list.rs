//! `GET /api/v1/tenants/{tenantId}/campaigns`: a tenant's campaigns.

use domain::id::ActionCode;
use domain::rule::CampaignType;
use domain::shape::Text;
use store::control::campaigns::{self, CampaignFilter, CampaignStatus};

use super::Campaign;
use crate::api::tenants::OneTenant;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Path, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which campaigns.
    pub struct ListCampaigns {
        /// Of this status.
        "status" status: Option<CampaignStatus>,
        /// Of this type.
        "type" kind: Option<CampaignType>,
        /// With this in their name, upper and lower case alike.
        "name" name: Option<Text<1, 200>>,
        /// That this action can move, by name or by a pattern.
        "action" action: Option<ActionCode>,
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListCampaigns);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listCampaigns",
    summary: "List a tenant's campaigns, the newest first",
    about: "Filters are combined.",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Query(query): Query<ListCampaigns>,
) -> Result<Okay<Listed<Campaign>>, Problem> {
    let page = call.page(&query)?;
    let filter = CampaignFilter {
        status: query.status,
        kind: query.kind,
        name: query.name.map(Text::into_string),
        action: query.action,
    };
    let page = call.read(move |sql| campaigns::list(sql, one.tenant_id, &filter, page)).await?;
    call.listed(page, Campaign::from)
}

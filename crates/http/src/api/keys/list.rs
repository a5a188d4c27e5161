//! `GET /api/v1/tenants/{tenantId}/api-keys`: a tenant's API keys.

use store::control::keys;

use super::ApiKeyInfo;
use crate::api::tenants::OneTenant;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Path, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListApiKeys {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListApiKeys);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listApiKeys",
    summary: "List a tenant's API keys, the newest first",
    about: "Without their secrets, which nobody can read again.",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Query(query): Query<ListApiKeys>,
) -> Result<Okay<Listed<ApiKeyInfo>>, Problem> {
    let page = call.page(&query)?;
    let page = call.read(move |sql| keys::list(sql, one.tenant_id, page)).await?;
    call.listed(page, ApiKeyInfo::from)
}

//! `GET /api/v1/tenants`: the platform's tenants.

use store::control::tenants;

use super::Tenant;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListTenants {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListTenants);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listTenants",
    summary: "List the platform's tenants, in the order of creation",
    about: "",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Query(query): Query<ListTenants>,
) -> Result<Okay<Listed<Tenant>>, Problem> {
    let page = call.page(&query)?;
    let page = call.read(move |sql| tenants::list(sql, page)).await?;
    call.listed(page, Tenant::from)
}

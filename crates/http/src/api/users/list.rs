//! `GET /api/v1/users`: a tenant's users.

use store::control::users;

use super::User;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListUsers {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListUsers);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listUsers",
    summary: "List a tenant's users in the order of its own ids",
    about: "",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Query(query): Query<ListUsers>,
) -> Result<Okay<Listed<User>>, Problem> {
    let tenant = call.tenant()?;
    let page = call.page(&query)?;
    let page = call.read(move |sql| users::list(sql, tenant, &page)).await?;
    call.listed(page, User::from)
}

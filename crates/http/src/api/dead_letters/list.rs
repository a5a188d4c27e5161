//! `GET /api/v1/dead-letters`: a tenant's dead letters.

use store::control::dead_letters;

use super::DeadLetter;
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListDeadLetters {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListDeadLetters);

/// What it does.
pub const DOC: Doc = Doc {
    id: "listDeadLetters",
    summary: "List dead letters, the newest first",
    about: "The platform admin, without a tenant, sees those of which no tenant could be read.",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Query(query): Query<ListDeadLetters>,
) -> Result<Okay<Listed<DeadLetter>>, Problem> {
    let page = call.page(&query)?;
    let tenant = call.caller.tenant();
    let page = call
        .read(move |sql| match tenant {
            Some(tenant) => dead_letters::list(sql, tenant, page),
            // Only the platform admin calls without a tenant.
            None => dead_letters::list_unowned(sql, page),
        })
        .await?;
    call.listed(page, DeadLetter::from)
}

//! `GET /api/v1/campaigns/{campaignId}/revisions`: what a campaign was.

use domain::id::{CampaignId, CohortId};
use domain::time::Timestamp;
use store::control::campaigns::{self, RevisionRow};

use super::{OneCampaign, RuleDocument};
use crate::call::{Call, Listed, Okay, PageSize, PageToken, Path, Query, default_page_size, paged};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which part of the list.
    pub struct ListRevisions {
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(ListRevisions);

domain::view! {
    /// A version of a campaign's content.
    pub struct Revision {
        /// Of which campaign.
        "campaignId" campaign_id: CampaignId,
        /// Which version, from 1.
        "version" version: u32,
        /// Its name then.
        "name" name: String,
        /// From when events counted.
        "startAt" start_at: Option<Timestamp>,
        /// Until when, exclusive.
        "endAt" end_at: Option<Timestamp>,
        /// The cohort it was restricted to.
        "cohortId" cohort_id: Option<CohortId>,
        /// Its priority.
        "priority" priority: i32,
        /// The rule.
        "rule" rule: RuleDocument,
        /// Who wrote it.
        "changedBy" changed_by: String,
        /// When.
        "changedAt" changed_at: Timestamp,
    }
}

impl From<RevisionRow> for Revision {
    fn from(row: RevisionRow) -> Self {
        Self {
            campaign_id: row.campaign_id,
            version: row.version,
            name: row.name,
            start_at: row.start_at,
            end_at: row.end_at,
            cohort_id: row.cohort_id,
            priority: row.priority,
            rule: RuleDocument::stored(&row.rule_json),
            changed_by: row.changed_by,
            changed_at: row.changed_at,
        }
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "listCampaignRevisions",
    summary: "List the versions of a campaign, the newest first",
    about: "",
    problems: &[],
};

/// Lists them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneCampaign>,
    Query(query): Query<ListRevisions>,
) -> Result<Okay<Listed<Revision>>, Problem> {
    let id = one.campaign_id;
    let tenant = call.tenant_of_campaign(id).await?;
    let page = call.page(&query)?;
    let page = call.read(move |sql| campaigns::revisions(sql, tenant, id, page)).await?;
    if page.items.is_empty() && query.page_token.is_none() {
        // A campaign has at least its first version.
        return Err(Problem::not_found("campaign"));
    }
    call.listed(page, Revision::from)
}

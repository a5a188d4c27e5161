//! `PUT /api/v1/campaigns/{campaignId}`: gives a campaign a new content.

use domain::id::{CohortId, TenantId};
use domain::rule::CampaignType;
use domain::shape::FaultCode;
use domain::time::Timestamp;
use store::control::campaigns::{self, CampaignUpdate, Progress};

use super::{Campaign, Name, OneCampaign, RuleDocument, Wanted, running};
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// What a campaign should be.
    pub struct UpdateCampaign {
        /// Whose it is; cannot be changed.
        "tenantId" tenant_id: Option<TenantId>,
        /// Its type; cannot be changed.
        "type" kind: Option<CampaignType>,
        /// Its name.
        "name" name: Name,
        /// From when events count, by event time.
        "startAt" start_at: Option<Timestamp>,
        /// Until when, exclusive.
        "endAt" end_at: Option<Timestamp>,
        /// Restricts it to a cohort.
        "cohortId" cohort_id: Option<CohortId>,
        /// Competes first when higher.
        "priority" priority: i32 = 0,
        /// The rule.
        "rule" rule: RuleDocument,
        /// What becomes of the users' progress in a quest. Required when a quest in force loses a
        /// step or changes the kind of a step's goal; otherwise it stays unless told.
        "progress" progress: Option<Progress>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "updateCampaign",
    summary: "Change a campaign",
    about: "Makes a new version, in force with the next batch of events; the same content again \
            changes nothing. Steps of a quest keep their progress by their ids, unless progress is \
            RESET: then all users begin their current cycle anew.",
    problems: &[Code::StaleVersion, Code::InvalidState],
};

/// Changes it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneCampaign>,
    Document(new): Document<UpdateCampaign>,
) -> Result<Okay<Campaign>, Problem> {
    let (id, expected) = (one.campaign_id, call.expected_version()?);
    let tenant = call.tenant_of_campaign(id).await?;
    call.tenant_named(new.tenant_id)?;
    let old = call.read(move |sql| campaigns::get(sql, tenant, id)).await?;
    let old = old.ok_or_else(|| Problem::not_found("campaign"))?;
    if new.kind.is_some_and(|kind| kind != old.kind) {
        let detail = format!("is {} and cannot be changed; make another campaign", old.kind);
        return Err(Problem::invalid_field("/type", FaultCode::NotAllowed, detail));
    }
    let wanted = Wanted {
        name: new.name,
        start_at: new.start_at,
        end_at: new.end_at,
        cohort_id: new.cohort_id,
        priority: new.priority,
        rule: new.rule,
    };
    let (content, rule) = wanted.checked(&call, tenant, old.kind).await?;
    let progress = running::progress(&old, &rule, new.progress)?;
    running::keeps_budgets(&call, &old, &rule).await?;
    // What was looked at must still be what is changed.
    let expected_version = expected.or(Some(old.version));
    let update = CampaignUpdate { content, progress, expected_version };
    call.write(move |sql, change| {
        let row = campaigns::update(sql, tenant, id, &update, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}

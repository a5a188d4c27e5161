//! `POST /api/v1/campaigns`: a new campaign, a DRAFT.

use domain::id::{CampaignId, CohortId, TenantId};
use domain::rule::CampaignType;
use domain::time::Timestamp;
use store::control::campaigns::{self, NewCampaign};

use super::{Campaign, Key, Name, RuleDocument, Wanted};
use crate::call::{Call, Created, Document, Reply, address};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// A new campaign.
    pub struct CreateCampaign {
        /// Whose; left out, the caller's own.
        "tenantId" tenant_id: Option<TenantId>,
        /// The operator's own name for it, unique in the tenant.
        "key" key: Option<Key>,
        /// Its name.
        "name" name: Name,
        /// SIMPLE or QUEST; cannot be changed later.
        "type" kind: CampaignType,
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
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "createCampaign",
    summary: "Make a campaign",
    about: "It is a DRAFT until it is activated. The rule is checked as a whole: form, types and \
            expressions, each fault with a pointer.",
    problems: &[Code::AlreadyExists, Code::NotFound],
};

/// Makes it.
pub async fn handle(
    call: Call,
    Document(new): Document<CreateCampaign>,
) -> Result<Created<Campaign>, Problem> {
    let tenant = call.tenant_named(new.tenant_id)?;
    let wanted = Wanted {
        name: new.name,
        start_at: new.start_at,
        end_at: new.end_at,
        cohort_id: new.cohort_id,
        priority: new.priority,
        rule: new.rule,
    };
    let (content, _) = wanted.checked(&call, tenant, new.kind).await?;
    let new = NewCampaign {
        campaign_id: CampaignId(call.app.ids.uuid()),
        key: new.key.map(|key| key.into_string()),
        kind: new.kind,
        content,
    };
    call.write(move |sql, change| {
        let row = campaigns::create(sql, tenant, &new, change)?;
        let (at, version) = (address("/api/v1/campaigns", row.campaign_id), row.version);
        Ok(Reply::new(row.into()).at(at).version(version))
    })
    .await
}

//! `PUT /api/v1/campaigns/{campaignId}`: gives a campaign a new content.

use domain::id::{CohortId, TenantId};
use domain::rule::{CampaignType, Goal, QuestRule, Rule};
use domain::shape::FaultCode;
use domain::time::Timestamp;
use store::control::campaigns::{self, CampaignRow, CampaignStatus};

use super::{Campaign, Name, OneCampaign, RuleDocument, Wanted};
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::choice! {
    /// What becomes of the progress that users have in a quest.
    pub enum Progress {
        /// It stays with the steps of the same id; that of removed steps is forgotten.
        Keep = "KEEP",
        /// All of it is forgotten.
        Reset = "RESET",
    }
}

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
        /// What becomes of the users' progress, when a quest in force loses a step or changes the
        /// kind of a step's goal.
        "progress" progress: Option<Progress>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "updateCampaign",
    summary: "Change a campaign",
    about: "Makes a new version, in force with the next batch of events; the same content again \
            changes nothing. Steps of a quest keep their progress by their ids.",
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
    keeps_progress(&old, &rule, new.progress)?;
    call.write(move |sql, change| {
        let row = campaigns::update(sql, tenant, id, &content, expected, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}

/// Refuses a change under which users would lose progress, unless the request says that it is meant.
fn keeps_progress(
    old: &CampaignRow,
    new: &Rule,
    progress: Option<Progress>,
) -> Result<(), Problem> {
    let running = matches!(old.status, CampaignStatus::Active | CampaignStatus::Paused);
    let old = RuleDocument::stored(&old.rule_json).checked(old.kind);
    let (true, Ok(Rule::Quest(old)), Rule::Quest(new)) = (running, old, new) else { return Ok(()) };
    match (lost_step(&old, new), progress) {
        (None, None | Some(Progress::Keep)) | (Some(_), Some(Progress::Keep)) => Ok(()),
        (_, Some(Progress::Reset)) => Err(Problem::invalid_field(
            "/progress",
            FaultCode::NotAllowed,
            "RESET is not possible in a quest in force; end it and make a new one",
        )),
        (Some(step), None) => Err(Problem::invalid_field(
            "/progress",
            FaultCode::Required,
            format!(
                "is required: step {step:?} is removed or has another kind of goal; with KEEP \
                     users lose their progress in it only"
            ),
        )),
    }
}

/// A step of the old quest that the new one lacks or counts in another way.
fn lost_step(old: &QuestRule, new: &QuestRule) -> Option<String> {
    let kind = |goal: &Goal| std::mem::discriminant(goal);
    let kept = |id: &str, goal: &Goal| {
        new.steps.iter().any(|step| step.id.as_str() == id && kind(&step.goal) == kind(goal))
    };
    let lost = old.steps.iter().find(|step| !kept(&step.id, &step.goal));
    lost.map(|step| step.id.to_string())
}

//! `GET /api/v1/users/{userId}/progress`: how far a user is in the quests, and what is completed.

use domain::id::{CampaignId, IncentiveId, TenantId, UserRef, user_id};
use domain::rule::{CampaignType, Goal, Rule, Step};
use domain::state::{QuestState, StepState, UserState};
use domain::time::Timestamp;
use rust_decimal::Decimal;
use store::control::campaigns::{self, CampaignRow, CampaignStatus};
use store::control::users::{self, CompletionRow};
use store::control::{PageRequest, Sql};

use super::OneUser;
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// Completions shown.
const COMPLETIONS_MAX: u32 = 50;

domain::view! {
    /// How far a user is in a step.
    pub struct StepProgress {
        /// The step's id in its quest.
        "stepId" step_id: String,
        /// Its name.
        "name" name: Option<String>,
        /// Events counted, or the sum so far.
        "value" value: Decimal,
        /// What completes it.
        "target" target: Decimal,
        /// True when it is completed.
        "done" done: bool,
    }
}

domain::view! {
    /// How far a user is in a quest.
    pub struct QuestProgress {
        /// Which quest.
        "campaignId" campaign_id: CampaignId,
        /// Its name.
        "name" name: String,
        /// Where it is in its life.
        "status" status: CampaignStatus,
        /// Number of the cycle in progress, from 1.
        "cycle" cycle: u32,
        /// When the first event of the cycle happened.
        "startedAt" started_at: Option<Timestamp>,
        /// Each step.
        "steps" steps: Vec<StepProgress>,
    }
}

domain::view! {
    /// A step or quest that a user has completed.
    pub struct Completion {
        /// Which quest.
        "campaignId" campaign_id: CampaignId,
        /// Which step; `null` = the quest itself.
        "stepId" step_id: Option<String>,
        /// Which cycle of the quest, from 1.
        "cycle" cycle: u32,
        /// The first incentive granted for it.
        "incentiveId" incentive_id: Option<IncentiveId>,
        /// Why it was not paid, when it was not.
        "unpaidReason" unpaid_reason: Option<String>,
        /// When.
        "completedAt" completed_at: Timestamp,
    }
}

domain::view! {
    /// What is in progress for a user and what is completed.
    pub struct UserProgress {
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
        /// The quests that the user has begun.
        "quests" quests: Vec<QuestProgress>,
        /// The last 50 completions, the newest first.
        "completed" completed: Vec<Completion>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getUserProgress",
    summary: "Read how far a user is in the quests",
    about: "Also with the user's own token.",
    problems: &[],
};

/// Reads it.
pub async fn handle(call: Call, Path(one): Path<OneUser>) -> Result<Okay<UserProgress>, Problem> {
    let (tenant, user) = (call.tenant()?, one.user_id);
    call.read(move |sql| {
        let id = user_id(tenant, &user);
        let state = users::state(sql, tenant, id)?.map(|row| row.state).unwrap_or_default();
        let completed = users::completions(sql, tenant, id, PageRequest::first(COMPLETIONS_MAX)?)?;
        Ok(Reply::new(UserProgress {
            user_id: user,
            quests: quests(sql, tenant, &state)?,
            completed: completed.items.into_iter().map(Completion::from).collect(),
        }))
    })
    .await
}

fn quests(
    sql: &mut dyn Sql,
    tenant: TenantId,
    state: &UserState,
) -> store::Result<Vec<QuestProgress>> {
    let mut quests = Vec::new();
    for (id, campaign) in &state.campaigns {
        let Some(quest) = &campaign.quest else { continue };
        if let Some(row) = campaigns::get(sql, tenant, *id)? {
            quests.push(progress(row, quest));
        }
    }
    Ok(quests)
}

fn progress(row: CampaignRow, state: &QuestState) -> QuestProgress {
    let document = serde_json::from_str(&row.rule_json).unwrap_or_default();
    let steps = match Rule::read(&document, CampaignType::Quest) {
        Ok(Rule::Quest(quest)) => {
            let reached =
                |step: &Step| state.reached(&step.id, step.goal.kind(), row.progress_version);
            quest.steps.iter().map(|step| of_step(step, &reached(step))).collect()
        }
        // A stored rule was checked when it was stored.
        _ => Vec::new(),
    };
    // After a reset the next event of the user begins the cycle anew.
    let is_current = state.progress_version == row.progress_version;
    QuestProgress {
        campaign_id: row.campaign_id,
        name: row.name,
        status: row.status,
        cycle: state.cycle,
        started_at: state.started.filter(|_| is_current).map(Timestamp::from_stored),
        steps,
    }
}

fn of_step(step: &Step, reached: &StepState) -> StepProgress {
    StepProgress {
        step_id: step.id.to_string(),
        name: step.name.as_ref().map(|name| name.to_string()),
        value: reached.value.normalize(),
        target: match &step.goal {
            Goal::Count(count) => count.get().into(),
            Goal::Sum(sum) => sum.target,
        },
        done: reached.done,
    }
}

impl From<CompletionRow> for Completion {
    fn from(row: CompletionRow) -> Self {
        Self {
            campaign_id: row.campaign_id,
            step_id: row.step_id,
            cycle: row.cycle,
            incentive_id: row.incentive_id,
            unpaid_reason: row.unpaid_reason,
            completed_at: row.completed_at,
        }
    }
}

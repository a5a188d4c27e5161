//! What a change of a running campaign does to the users who are in the middle of it.

use domain::rule::{Budget, Goal, QuestRule, Rule};
use domain::shape::{Fault, FaultCode, Faults};
use store::StoreError;
use store::control::campaigns::{self, CampaignRow, CampaignStatus, Progress};
use store::control::{PageRequest, Sql};

use super::RuleDocument;
use crate::call::Call;
use crate::problem::Problem;

/// Revisions read at a time.
const REVISIONS: u32 = 100;

fn is_running(campaign: &CampaignRow) -> bool {
    matches!(campaign.status, CampaignStatus::Active | CampaignStatus::Paused)
}

/// What becomes of users' progress. Refuses a change under which they would lose some, unless the
/// request says that it is meant.
pub(super) fn progress(
    old: &CampaignRow,
    new: &Rule,
    wanted: Option<Progress>,
) -> Result<Progress, Problem> {
    let refused = |code, detail: String| Err(Problem::invalid_field("/progress", code, detail));
    let Rule::Quest(new) = new else {
        return match wanted {
            Some(Progress::Reset) => {
                let detail = "means nothing for a SIMPLE campaign: there is no progress to reset";
                refused(FaultCode::NotAllowed, detail.to_owned())
            }
            _ => Ok(Progress::Keep),
        };
    };
    let lost = match RuleDocument::stored(&old.rule_json).checked(old.kind) {
        Ok(Rule::Quest(was)) if is_running(old) => lost_step(&was, new),
        _ => None,
    };
    match (wanted, lost) {
        (Some(progress), _) => Ok(progress),
        (None, None) => Ok(Progress::Keep),
        (None, Some(step)) => refused(
            FaultCode::Required,
            format!(
                "is required: step {step:?} is removed or has another kind of goal; with KEEP \
                 users lose their progress in it only, with RESET they begin the quest anew"
            ),
        ),
    }
}

/// A step of the old quest that the new one lacks or counts in another way.
fn lost_step(old: &QuestRule, new: &QuestRule) -> Option<String> {
    let kept = |id: &str, goal: &Goal| {
        new.steps.iter().any(|step| step.id.as_str() == id && step.goal.kind() == goal.kind())
    };
    let lost = old.steps.iter().find(|step| !kept(&step.id, &step.goal));
    lost.map(|step| step.id.to_string())
}

/// Refuses a budget that counts in another way than the last one of its id did: what was used of
/// that one would be held against it.
pub(super) async fn keeps_budgets(
    call: &Call,
    old: &CampaignRow,
    new: &Rule,
) -> Result<(), Problem> {
    if !is_running(old) || new.budgets().is_empty() {
        return Ok(());
    }
    let (row, new) = (old.clone(), new.budgets().to_vec());
    call.read(move |sql| {
        let was = earlier(sql, &row, &new)?;
        let mut faults = Faults::default();
        for (i, budget) in new.iter().enumerate() {
            let same_id = was.iter().find(|was| was.id == budget.id);
            let Some(field) = same_id.and_then(|was| was.counts_unlike(budget)) else { continue };
            let detail = format!(
                "cannot be changed: what was used of the budget {:?} so far was counted otherwise",
                budget.id.as_str()
            );
            let fault =
                Fault::new(&format!("/rule/budgets/{i}/{field}"), FaultCode::NotAllowed, detail);
            faults.push(fault.hint("give the changed budget another id; it begins at nothing"));
        }
        Ok(faults)
    })
    .await
    .and_then(|faults| if faults.is_empty() { Ok(()) } else { Err(faults.into()) })
}

/// The last budget of each id that the new ones have, from the rule in force or, when it was removed
/// meanwhile, from an earlier one.
fn earlier(
    sql: &mut dyn Sql,
    row: &CampaignRow,
    new: &[Budget],
) -> Result<Vec<Budget>, StoreError> {
    let mut found: Vec<Budget> = Vec::new();
    let mut take = |rule_json: &str| -> bool {
        // A rule that can no longer be read never counted anything.
        let Ok(rule) = RuleDocument::stored(rule_json).checked(row.kind) else { return false };
        for budget in rule.budgets() {
            if !found.iter().any(|known| known.id == budget.id) {
                found.push(budget.clone());
            }
        }
        new.iter().all(|budget| found.iter().any(|known| known.id == budget.id))
    };
    if take(&row.rule_json) {
        return Ok(found);
    }
    let mut after = Some(row.version);
    while let Some(version) = after {
        let page = PageRequest::new(Some(version), REVISIONS)?;
        let revisions = campaigns::revisions(sql, row.tenant_id, row.campaign_id, page)?;
        if revisions.items.iter().any(|revision| take(&revision.rule_json)) {
            break;
        }
        after = revisions.next;
    }
    Ok(found)
}

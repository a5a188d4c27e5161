//! Progress in quests, for progress bars: read off a batch before it is committed and told after, to
//! users whose devices are connected and ask for it. For all others nothing is worked out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::decide::{EventOutcome, Reason};
use domain::id::{CampaignId, UserId};
use domain::state::QuestState;

use crate::batch::Item;
use crate::hub::{Hub, QuestProgress, StepProgress};
use crate::ports::StateWrite;

/// How far users who listen have come by these items. Several steps of a user in one batch
/// are one frame: it says where they stand, not how they got there.
pub(crate) fn standings(
    hub: &Hub,
    items: &[Item<'_>],
    outcomes: &[EventOutcome],
    states: &[StateWrite],
) -> Vec<Arc<QuestProgress>> {
    let moved = moved(hub, items, outcomes);
    if moved.is_empty() {
        return Vec::new();
    }
    let mut standings = Vec::new();
    for written in states {
        let Some(campaigns) = moved.get(&written.user) else { continue };
        standings.extend(campaigns.iter().filter_map(|campaign| {
            let quest = written.state.campaigns.get(campaign)?.quest.as_ref()?;
            Some(Arc::new(standing(written.user, *campaign, quest)))
        }));
    }
    standings
}

/// In which campaigns the users who listen have come further, quests among them.
fn moved(
    hub: &Hub,
    items: &[Item<'_>],
    outcomes: &[EventOutcome],
) -> BTreeMap<UserId, BTreeSet<CampaignId>> {
    let mut moved: BTreeMap<UserId, BTreeSet<CampaignId>> = BTreeMap::new();
    for (item, outcome) in items.iter().zip(outcomes) {
        let Ok(parsed) = &item.parsed else { continue };
        let further =
            |reason| matches!(reason, Reason::Progress | Reason::Granted | Reason::CompletedUnpaid);
        let mut campaigns = outcome.considered.iter().filter(|c| further(c.reason)).peekable();
        if campaigns.peek().is_some() && hub.follows_progress(parsed.user) {
            moved.entry(parsed.user).or_default().extend(campaigns.map(|c| c.campaign));
        }
    }
    moved
}

fn standing(user: UserId, campaign: CampaignId, quest: &QuestState) -> QuestProgress {
    let steps = quest.steps.iter().map(|(step, state)| StepProgress {
        step: step.clone(),
        value: state.value,
        is_done: state.done,
    });
    QuestProgress { user, campaign, cycle: quest.cycle, steps: steps.collect() }
}

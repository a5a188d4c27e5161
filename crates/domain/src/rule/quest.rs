//! The rule of a QUEST: several actions earn the reward.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{ActionPattern, Budget, CohortRule, ExprText, PartId, Repeat, Reward, Schedule};
use crate::shape::{FaultCode, Many, Reader, Text, Whole};
use crate::time::{Length, Period, Timestamp};

crate::choice! {
    /// In which order the steps count.
    pub enum Order {
        /// In any order; an event counts for each step that it meets.
        Any = "ANY",
        /// One after the other; an event counts for the first open step only.
        Sequence = "SEQUENCE",
    }
}

crate::choice! {
    /// What happens to a completed quest whose rewards a limit refuses.
    pub enum OnLimit {
        /// The cycle is closed unpaid.
        Close = "CLOSE",
        /// It is paid at the user's next event with room.
        Retry = "RETRY",
    }
}

crate::shape! {
    /// A goal that adds up a value.
    pub struct SumGoal {
        /// The value, an expression over the event.
        "of" of: ExprText,
        /// What the sum must reach.
        "target" target: Decimal,
    } check check_sum;
}

fn check_sum(sum: &SumGoal, at: &mut Reader<'_>) {
    if sum.target <= Decimal::ZERO {
        at.field("target", |at| at.refuse::<()>(FaultCode::OutOfRange, "must be above zero"));
    }
}

crate::variant! {
    /// What completes a step.
    pub enum Goal {
        /// So many events.
        "count" Count(Whole<1, 1_000_000>),
        /// A value that adds up.
        "sum" Sum(SumGoal),
    }
}

/// How a goal counts. What was counted in one way means nothing in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GoalKind {
    /// Events.
    #[default]
    #[serde(rename = "c")]
    Count,
    /// A sum.
    #[serde(rename = "s")]
    Sum,
}

impl Goal {
    /// How it counts.
    pub fn kind(&self) -> GoalKind {
        match self {
            Self::Count(_) => GoalKind::Count,
            Self::Sum(_) => GoalKind::Sum,
        }
    }
}

crate::shape! {
    /// A step of a quest.
    pub struct Step {
        /// Its id in the quest; progress is kept under it, so it survives edits.
        "id" id: PartId,
        /// What the user sees.
        "name" name: Option<Text<1, 200>>,
        /// Actions, or patterns; any of them.
        "on" on: Many<ActionPattern, 1, 50>,
        /// The condition; without one every such event counts.
        "when" when: Option<ExprText>,
        /// What completes it; one event without it.
        "goal" goal: Goal = Goal::Count(Whole::LEAST),
    } check check_step;
}

fn check_step(step: &Step, at: &mut Reader<'_>) {
    super::check_actions(&step.on, at);
}

crate::shape! {
    /// A window with fixed ends.
    pub struct FixedWindow {
        /// From this moment.
        "from" from: Timestamp,
        /// Until this moment, exclusive.
        "to" to: Timestamp,
    } check check_fixed;
}

fn check_fixed(window: &FixedWindow, at: &mut Reader<'_>) {
    if window.from >= window.to {
        at.field("to", |at| at.refuse::<()>(FaultCode::Conflict, "must be after from"));
    }
}

crate::variant! {
    /// Within which time a cycle must be completed, by event time.
    pub enum QuestWindow {
        /// From the first counted event on, such as `P30D`.
        "rolling" Rolling(Length),
        /// Within one calendar period.
        "calendar" Calendar(Period),
        /// Between two moments.
        "fixed" Fixed(FixedWindow),
    }
}

crate::shape! {
    /// The rule of a QUEST.
    pub struct QuestRule {
        /// Version of the document's format.
        "version" version: Whole<1, 1> = Whole::LEAST,
        /// Its steps.
        "steps" steps: Many<Step, 1, 20>,
        /// How many steps complete it; all of them without it.
        "atLeast" at_least: Option<Whole<1, 20>>,
        /// In which order they count.
        "order" order: Order = Order::Any,
        /// Within which time; without it there is no hurry.
        "window" window: Option<QuestWindow>,
        /// Weekdays, hours and season in which events count.
        "schedule" schedule: Option<Schedule>,
        /// Who takes part.
        "cohorts" cohorts: Option<CohortRule>,
        /// How often it may be completed; once without it.
        "repeat" repeat: Option<Repeat>,
        /// What a limit does to a completed quest.
        "onLimit" on_limit: OnLimit = OnLimit::Close,
        /// What is granted on completion, all or none.
        "rewards" rewards: Many<Reward, 1, 5>,
        /// Caps on the campaign's cost.
        "budgets" budgets: Many<Budget, 0, 10> = Many::default(),
        /// Written when the campaign is saved: the actions it listens to, `*` for a pattern. Ignored when sent.
        "actions" actions: Option<Many<Text<1, 64>, 0, 1000>>,
    } check check_quest;
}

fn check_quest(rule: &QuestRule, at: &mut Reader<'_>) {
    super::check_budgets(&rule.budgets, &rule.rewards.iter().collect::<Vec<_>>(), at);
    super::check_unique_ids(rule.steps.iter().map(|s| s.id.as_str()), "steps", at);
    let Some(least) = &rule.at_least else { return };
    let steps = rule.steps.len();
    if least.as_u32() as usize > steps {
        let detail = format!("is {}, but there are {steps} steps", least.get());
        at.field("atLeast", |at| at.refuse::<()>(FaultCode::OutOfRange, detail));
    }
    if rule.order == Order::Sequence && (least.as_u32() as usize) < steps {
        at.field("atLeast", |at| {
            at.refuse::<()>(
                FaultCode::Conflict,
                "a SEQUENCE wants all of its steps; remove atLeast",
            )
        });
    }
}

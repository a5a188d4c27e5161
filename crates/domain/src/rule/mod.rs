//! The rule document (`rule_json`): typed, versioned, refused as a whole when any part of it is not
//! understood. `docs/adr/0010-rule-document.md` says where the rest of the catalogue will go.
//!
//! Expressions are texts here; [`crate::compile`] checks their types and compiles them.

mod action;
mod quest;
mod reward;
mod schedule;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

pub use action::ActionPattern;
pub use quest::{
    FixedWindow, Goal, GoalKind, OnLimit, Order, QuestRule, QuestWindow, Step, SumGoal,
};
pub use reward::{
    AMOUNT_MAX, Amount, AmountRule, CouponCode, GeneratedCode, LadderLine, PerStep, Percent,
    Reward, Rounding, RoundingMode,
};
pub use schedule::{MonthDay, Schedule, Season, TimeOfDay, TimeSpan, Weekday};

use crate::id::CohortId;
use crate::shape::{FaultCode, Faults, Lines, Many, Reader, Text, Whole, shown};
use crate::time::Length;

/// Text of an expression, of one or several lines.
pub type ExprText = Lines<1, 4096>;
/// Id of a step or a budget, unique in its rule; it survives edits.
pub type PartId = Text<1, 40>;

crate::choice! {
    /// What kind of campaign it is.
    pub enum CampaignType {
        /// One action earns the reward.
        Simple = "SIMPLE",
        /// Several actions do.
        Quest = "QUEST",
    }
}

crate::choice! {
    /// A calendar period in the tenant's zone, or the whole life of the campaign.
    pub enum Per {
        /// A calendar day.
        Day = "DAY",
        /// A week, from Monday on.
        Week = "WEEK",
        /// A calendar month.
        Month = "MONTH",
        /// A calendar quarter.
        Quarter = "QUARTER",
        /// A calendar year.
        Year = "YEAR",
        /// The campaign's whole life.
        Ever = "EVER",
    }
}

crate::shape! {
    /// How often one user may be rewarded.
    pub struct Repeat {
        /// Most rewards (completions of a quest) in one period; without it there is no such cap.
        "max" max: Option<Whole<1, 1_000_000>>,
        /// The period of `max`, by event time in the tenant's zone.
        "per" per: Per = Per::Ever,
        /// Shortest time between two rewards (completions), such as `PT3H`.
        "cooldown" cooldown: Option<Length>,
    } check check_repeat;
}

fn check_repeat(repeat: &Repeat, at: &mut Reader<'_>) {
    if repeat.max.is_none() && repeat.cooldown.is_none() {
        at.refuse_with::<()>(FaultCode::Required, "says nothing", "give max, cooldown or both");
    } else if repeat.max.is_none() && repeat.per != Per::Ever {
        at.refuse_field("per", FaultCode::Conflict, "is the period of max, which is not there");
    }
}

crate::shape! {
    /// Who takes part, beyond the campaign's own cohort.
    pub struct CohortRule {
        /// The user must be in one of these, if any are given.
        "include" include: Many<CohortId, 0, 20> = Many::default(),
        /// The user must be in none of these.
        "exclude" exclude: Many<CohortId, 0, 20> = Many::default(),
    }
}

crate::choice! {
    /// What a budget counts.
    pub enum Measure {
        /// Incentives.
        Count = "COUNT",
        /// Their amounts, in the budget's currency.
        Amount = "AMOUNT",
    }
}

crate::choice! {
    /// Whose use a budget caps.
    pub enum BudgetScope {
        /// All users of the campaign together.
        Campaign = "CAMPAIGN",
        /// Each user alone.
        User = "USER",
    }
}

crate::choice! {
    /// The window of a budget, by event time in the tenant's zone.
    pub enum BudgetWindow {
        /// A calendar day.
        Day = "DAY",
        /// A week, from Monday on.
        Week = "WEEK",
        /// A calendar month.
        Month = "MONTH",
        /// A calendar quarter.
        Quarter = "QUARTER",
        /// A calendar year.
        Year = "YEAR",
        /// The campaign's whole life.
        Total = "TOTAL",
        /// The day and the `days` − 1 days before it.
        Rolling = "ROLLING",
    }
}

crate::choice! {
    /// What happens to a reward that does not fit into what is left.
    pub enum OnEdge {
        /// It is refused.
        Reject = "REJECT",
        /// Its amount is cut to what is left. Only for AMOUNT.
        Clamp = "CLAMP",
    }
}

/// Largest cap of a budget.
pub const BUDGET_MAX: i64 = 1_000_000_000_000_000_000;

crate::shape! {
    /// A cap on what the campaign may cost.
    pub struct Budget {
        /// Its id in the campaign; the use is kept under it.
        "id" id: PartId,
        /// What it counts.
        "measure" measure: Measure,
        /// The currency of an AMOUNT.
        "currency" currency: Option<Text<1, 12>>,
        /// Whose use it caps.
        "scope" scope: BudgetScope = BudgetScope::Campaign,
        /// Over which window.
        "per" per: BudgetWindow = BudgetWindow::Total,
        /// Days of a ROLLING window.
        "days" days: Option<Whole<1, 366>>,
        /// The cap.
        "max" max: rust_decimal::Decimal,
        /// What happens at the edge.
        "onEdge" on_edge: OnEdge = OnEdge::Reject,
    } check check_budget;
}

impl Budget {
    /// The field by which another budget counts something else, for somebody else or in other
    /// periods, so that the use of one means nothing to the other; `None` when it does not.
    pub fn counts_unlike(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("measure", self.measure != other.measure),
            ("currency", self.currency != other.currency),
            ("scope", self.scope != other.scope),
            ("per", self.per != other.per),
        ];
        fields.into_iter().find(|(_, differs)| *differs).map(|(name, _)| name)
    }
}

fn check_budget(budget: &Budget, at: &mut Reader<'_>) {
    let mut refuse = |field: &str, code, detail: &str| {
        at.field(field, |at| at.refuse::<()>(code, detail));
    };
    let amount = budget.measure == Measure::Amount;
    if amount && budget.currency.is_none() {
        refuse("currency", FaultCode::Required, "must name the currency of an AMOUNT budget");
    }
    if !amount && budget.currency.is_some() {
        refuse(
            "currency",
            FaultCode::Conflict,
            "means nothing for a COUNT; remove it or use AMOUNT",
        );
    }
    if !amount && budget.on_edge == OnEdge::Clamp {
        refuse("onEdge", FaultCode::Conflict, "CLAMP cuts amounts; a COUNT can only REJECT");
    }
    if !amount && !budget.max.fract().is_zero() {
        refuse("max", FaultCode::OutOfRange, "must be whole for a COUNT");
    }
    if budget.max <= rust_decimal::Decimal::ZERO {
        refuse("max", FaultCode::OutOfRange, "must be above zero");
    }
    if budget.max > rust_decimal::Decimal::from(BUDGET_MAX) {
        refuse("max", FaultCode::OutOfRange, &format!("must be at most {BUDGET_MAX}"));
    }
    if (budget.per == BudgetWindow::Rolling) != budget.days.is_some() {
        refuse("days", FaultCode::Conflict, "goes with per ROLLING, and only with it");
    }
}

crate::shape! {
    /// The rule of a SIMPLE campaign: one event that meets it earns the rewards.
    pub struct SimpleRule {
        /// Version of the document's format.
        "version" version: Whole<1, 1> = Whole::LEAST,
        /// Actions, or patterns such as `order.*`; any of them.
        "on" on: Many<ActionPattern, 1, 50>,
        /// The condition; without one every such event counts.
        "when" when: Option<ExprText>,
        /// Weekdays, hours and season in which events count.
        "schedule" schedule: Option<Schedule>,
        /// Who takes part.
        "cohorts" cohorts: Option<CohortRule>,
        /// Only the user's first event of its action, ever.
        "firstEver" first_ever: bool = false,
        /// An expression over the event; each user is rewarded once for each of its values.
        "oncePer" once_per: Option<ExprText>,
        /// How often one user may be rewarded; without it there is no cap.
        "repeat" repeat: Option<Repeat>,
        /// What is granted, all or none. Either this or `ladder`.
        "rewards" rewards: Option<Many<Reward, 1, 5>>,
        /// Lines tried from the top; the first that matches is granted.
        "ladder" ladder: Option<Many<LadderLine, 1, 30>>,
        /// Caps on the campaign's cost.
        "budgets" budgets: Many<Budget, 0, 10> = Many::default(),
        /// Written when the campaign is saved: the actions it listens to, `*` for a pattern. Ignored when sent.
        "actions" actions: Option<Many<Text<1, 64>, 0, 1000>>,
    } check check_simple;
}

fn check_simple(rule: &SimpleRule, at: &mut Reader<'_>) {
    check_actions(&rule.on, at);
    check_rewards(rule.rewards.is_some(), rule.ladder.is_some(), at);
    let plain = rule.rewards.iter().flatten();
    let lines = rule.ladder.iter().flatten().flat_map(|line| &line.rewards);
    check_budgets(&rule.budgets, &plain.chain(lines).collect::<Vec<_>>(), at);
}

/// The platform's own actions set things and earn nothing, so a rule on them would never grant.
fn check_actions(on: &[ActionPattern], at: &mut Reader<'_>) {
    at.field("on", |at| {
        for (i, _) in on.iter().enumerate().filter(|(_, p)| p.as_str().starts_with('$')) {
            at.item(i, |at| {
                at.refuse_with::<()>(
                    FaultCode::NotAllowed,
                    "is an action of the platform's own, which earns nothing",
                    "ask for attributes in when: user.tier == \"gold\"",
                )
            });
        }
    });
}

/// Ids differ, and each budget of amounts is in a currency that is granted: one that counts
/// nothing would hold nothing back.
fn check_budgets(budgets: &[Budget], rewards: &[&Reward], at: &mut Reader<'_>) {
    check_unique_ids(budgets.iter().map(|b| b.id.as_str()), "budgets", at);
    let granted: BTreeSet<&str> = rewards.iter().map(|r| r.currency()).collect();
    for (i, budget) in budgets.iter().enumerate() {
        let Some(currency) = budget.currency.as_deref() else { continue };
        if granted.is_empty() || granted.contains(currency) {
            continue;
        }
        let detail =
            format!("no reward is in {}, so this budget would hold nothing back", shown(currency));
        let hint =
            format!("granted here: {}", granted.iter().copied().collect::<Vec<_>>().join(", "));
        at.field("budgets", |at| {
            at.item(i, |at| {
                at.field("currency", |at| at.refuse_with::<()>(FaultCode::Conflict, detail, hint))
            })
        });
    }
}

fn check_rewards(rewards: bool, ladder: bool, at: &mut Reader<'_>) {
    if rewards == ladder {
        let detail = if rewards { "stands beside rewards" } else { "is missing, and so is ladder" };
        let field = if rewards { "ladder" } else { "rewards" };
        let code = if rewards { FaultCode::Conflict } else { FaultCode::Required };
        at.field(field, |at| at.refuse_with::<()>(code, detail, "give either rewards or ladder"));
    }
}

fn check_unique_ids<'a>(ids: impl Iterator<Item = &'a str>, field: &str, at: &mut Reader<'_>) {
    let mut seen = BTreeSet::new();
    for (i, id) in ids.enumerate() {
        if !seen.insert(id) {
            at.field(field, |at| {
                at.item(i, |at| {
                    at.field("id", |at| {
                        at.refuse::<()>(
                            FaultCode::Duplicate,
                            format!("{id:?} is used twice; ids must differ"),
                        )
                    })
                })
            });
        }
    }
}

/// A campaign's rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rule {
    /// Of a SIMPLE campaign.
    Simple(Box<SimpleRule>),
    /// Of a QUEST.
    Quest(Box<QuestRule>),
}

impl Rule {
    /// Reads a rule document. Errors: all that is wrong with its form; [`crate::compile`] checks
    /// its expressions.
    pub fn read(value: &Value, kind: CampaignType) -> Result<Self, Faults> {
        match kind {
            CampaignType::Simple => crate::shape::read(value).map(|r| Self::Simple(Box::new(r))),
            CampaignType::Quest => crate::shape::read(value).map(|r| Self::Quest(Box::new(r))),
        }
    }

    /// The action patterns it listens to.
    pub fn patterns(&self) -> Vec<&ActionPattern> {
        match self {
            Self::Simple(rule) => rule.on.iter().collect(),
            Self::Quest(rule) => rule.steps.iter().flat_map(|s| s.on.iter()).collect(),
        }
    }

    /// What the top-level `actions` array holds: the actions it listens to, `*` when it has a
    /// pattern; sorted, each once.
    pub fn actions(&self) -> Vec<String> {
        let words =
            self.patterns().into_iter().map(|p| if p.is_pattern() { "*" } else { p.as_str() });
        words.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The document as it is stored: what was read, with `actions` filled in.
    pub fn to_stored(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        drop_nulls(&mut value);
        if let Value::Object(object) = &mut value {
            object.insert("actions".to_owned(), self.actions().into());
        }
        value
    }

    /// Its budgets.
    pub fn budgets(&self) -> &[Budget] {
        match self {
            Self::Simple(rule) => &rule.budgets,
            Self::Quest(rule) => &rule.budgets,
        }
    }

    /// Who takes part.
    pub fn cohorts(&self) -> Option<&CohortRule> {
        match self {
            Self::Simple(rule) => rule.cohorts.as_ref(),
            Self::Quest(rule) => rule.cohorts.as_ref(),
        }
    }
}

/// Takes out the fields that were left out in the document: nowhere in it does `null` mean more.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, inner| !inner.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

//! One campaign, compiled.

use rust_decimal::Decimal;

use crate::config::CampaignSource;
use crate::expr::{self, Expr, Fields, Want};
use crate::id::{CampaignId, CohortId, TenantId};
use crate::limit::{WINDOW_DAYS_MAX, Window, budget_key};
use crate::rule::{
    ActionPattern, Amount, AmountRule, Budget, BudgetScope, BudgetWindow, Goal as GoalRule,
    GoalKind, LadderLine, Measure, OnEdge, OnLimit, Order, Per, QuestRule, QuestWindow, Repeat,
    Reward, Rule, Schedule, SimpleRule,
};
use crate::shape::{Fault, FaultCode, Faults};
use crate::state::weight;
use crate::time::{Length, Period, Timestamp};

/// A campaign as it decides.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub id: CampaignId,
    pub number: u32,
    pub version: u32,
    pub start_at: Option<Timestamp>,
    pub end_at: Option<Timestamp>,
    /// In one of these, if there are any …
    pub include: Vec<CohortId>,
    /// … and in this one, if there is one …
    pub cohort: Option<CohortId>,
    /// … and in none of these.
    pub exclude: Vec<CohortId>,
    /// All cohorts that its rule asks about.
    pub asks: Vec<CohortId>,
    /// Most bytes that an event can add to the user's row; 0 when it keeps nothing there.
    pub growth_bytes: usize,
    pub schedule: Option<Schedule>,
    pub repeat: Repetition,
    pub offers: Vec<Offer>,
    /// The offers are the lines of a ladder.
    pub ladder: bool,
    pub budgets: Vec<BudgetSpec>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Simple(Simple),
    Quest(Quest),
}

#[derive(Debug)]
pub(crate) struct Simple {
    pub on: Vec<ActionPattern>,
    pub when: Option<Expr>,
    pub first_ever: bool,
    pub once_per: Option<Expr>,
}

#[derive(Debug)]
pub(crate) struct Quest {
    pub steps: Vec<Step>,
    /// Steps that complete it.
    pub enough: usize,
    pub order: Order,
    pub window: Option<QuestWindow>,
    pub on_limit: OnLimit,
    /// Progress made under another one does not count any more.
    pub progress_version: u32,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub id: String,
    pub on: Vec<ActionPattern>,
    pub when: Option<Expr>,
    pub goal: Goal,
    pub target: Decimal,
}

#[derive(Debug)]
pub(crate) enum Goal {
    Count,
    Sum(Expr),
}

impl Goal {
    pub fn kind(&self) -> GoalKind {
        match self {
            Self::Count => GoalKind::Count,
            Self::Sum(_) => GoalKind::Sum,
        }
    }
}

/// How often one user may be rewarded.
#[derive(Debug, Default)]
pub(crate) struct Repetition {
    pub max: Option<u64>,
    pub window: Option<Window>,
    pub cooldown: Option<Length>,
}

/// What may be granted: the first offer that matches is.
#[derive(Debug)]
pub(crate) struct Offer {
    pub when: Option<Expr>,
    pub cohort: Option<CohortId>,
    pub rewards: Vec<RewardSpec>,
}

#[derive(Debug)]
pub(crate) struct RewardSpec {
    pub reward: Reward,
    pub amount: AmountExpr,
}

#[derive(Debug)]
pub(crate) enum AmountExpr {
    Constant(Decimal),
    Percent { rate: Decimal, of: Expr },
    PerStep { give: Decimal, each: Decimal, of: Expr },
    Formula(Expr),
}

#[derive(Debug)]
pub(crate) struct BudgetSpec {
    pub id: String,
    /// Its row key in `limit_usage`; only for the scope CAMPAIGN.
    pub key: Option<(TenantId, String)>,
    /// The currency of an AMOUNT; a COUNT has none.
    pub currency: Option<String>,
    pub window: Window,
    pub max: Decimal,
    pub clamp: bool,
}

impl BudgetSpec {
    /// Days before an event's day whose buckets matter.
    pub fn lookback_days(&self) -> i32 {
        match self.window {
            Window::Ever => 0,
            // Late events reach back, so one more period than the longest is kept in view.
            Window::Period(_) | Window::Days(_) => i32::from(WINDOW_DAYS_MAX),
        }
    }
}

impl Campaign {
    pub fn patterns(&self) -> impl Iterator<Item = &ActionPattern> {
        let (simple, quest): (&[ActionPattern], &[Step]) = match &self.kind {
            Kind::Simple(simple) => (&simple.on, &[]),
            Kind::Quest(quest) => (&[], &quest.steps),
        };
        simple.iter().chain(quest.iter().flat_map(|s| &s.on))
    }
    /// True for a quest that pays later what a limit refused.
    pub fn retries(&self) -> bool {
        matches!(&self.kind, Kind::Quest(quest) if quest.on_limit == OnLimit::Retry)
    }
    /// All cohorts it asks about.
    fn cohorts(&self) -> impl Iterator<Item = CohortId> {
        let asked = self.expressions().into_iter().flat_map(|(_, e)| e.cohorts().to_vec());
        let lines = self.offers.iter().filter_map(|o| o.cohort);
        let own = self.include.iter().chain(&self.exclude).chain(&self.cohort).copied();
        own.chain(lines).chain(asked)
    }
    fn growth(&self) -> usize {
        let own = self.budgets.iter().filter(|b| b.key.is_none());
        let budgets: usize = own.map(|b| weight::budget_most(&b.id)).sum();
        let repeats = self.repeat.max.map_or(0, |_| weight::BUCKET_BYTES_MAX);
        let recent = self.repeat.cooldown.map_or(0, |_| weight::INSTANT_BYTES);
        let quest = match &self.kind {
            Kind::Simple(_) => 0,
            Kind::Quest(quest) => {
                let rewards = self.offers.first().map_or(0, |offer| offer.rewards.len());
                let steps: usize = quest.steps.iter().map(|s| weight::step_most(&s.id)).sum();
                let unpaid = if self.retries() { weight::unpaid_most(rewards) } else { 0 };
                weight::QUEST_BYTES + steps + unpaid
            }
        };
        match budgets + repeats + recent + quest {
            0 => 0,
            parts => weight::CAMPAIGN_BYTES + parts,
        }
    }
    /// All its expressions, each with its place in the rule document.
    pub fn expressions(&self) -> Vec<(String, &Expr)> {
        let mut all: Vec<(String, &Expr)> = Vec::new();
        match &self.kind {
            Kind::Simple(simple) => {
                all.extend(simple.when.iter().map(|e| ("/when".to_owned(), e)));
                all.extend(simple.once_per.iter().map(|e| ("/oncePer".to_owned(), e)));
            }
            Kind::Quest(quest) => {
                for (i, step) in quest.steps.iter().enumerate() {
                    all.extend(step.when.iter().map(|e| (format!("/steps/{i}/when"), e)));
                    if let Goal::Sum(of) = &step.goal {
                        all.push((format!("/steps/{i}/goal/sum/of"), of));
                    }
                }
            }
        }
        for (i, offer) in self.offers.iter().enumerate() {
            let at = if self.ladder { format!("/ladder/{i}") } else { String::new() };
            all.extend(offer.when.iter().map(|e| (format!("{at}/when"), e)));
            for (n, reward) in offer.rewards.iter().enumerate() {
                all.extend(
                    reward.amount.expression().map(|e| (format!("{at}/rewards/{n}/amount"), e)),
                );
            }
        }
        all
    }
}

impl AmountExpr {
    fn expression(&self) -> Option<&Expr> {
        match self {
            Self::Constant(_) => None,
            Self::Percent { of, .. } | Self::PerStep { of, .. } | Self::Formula(of) => Some(of),
        }
    }
}

/// Compiles rules of one tenant; collects every fault with its place.
pub(crate) struct Compiler<'f> {
    fields: &'f mut Fields,
    faults: Faults,
}

/// What a rule compiles to, without what only the campaign's row knows.
pub(crate) struct CompiledRule {
    kind: Kind,
    offers: Vec<Offer>,
    repeat: Repetition,
    schedule: Option<Schedule>,
    budgets: Vec<Budget>,
}

impl<'f> Compiler<'f> {
    pub fn new(fields: &'f mut Fields) -> Self {
        Self { fields, faults: Faults::default() }
    }

    pub fn campaign(
        self,
        tenant: TenantId,
        source: &CampaignSource,
        rule: &Rule,
    ) -> Result<Campaign, Faults> {
        let compiled = self.rule(rule)?;
        let (include, exclude) = rule
            .cohorts()
            .map_or_else(Default::default, |c| (c.include.to_vec(), c.exclude.to_vec()));
        let mut campaign = Campaign {
            id: source.id,
            number: source.number,
            version: source.version,
            start_at: source.start_at,
            end_at: source.end_at,
            include,
            cohort: source.cohort_id,
            exclude,
            asks: Vec::new(),
            growth_bytes: 0,
            schedule: compiled.schedule,
            repeat: compiled.repeat,
            offers: compiled.offers,
            ladder: matches!(rule, Rule::Simple(simple) if simple.ladder.is_some()),
            budgets: compiled.budgets.iter().map(|b| budget(tenant, source.id, b)).collect(),
            kind: compiled.kind,
        };
        if let Kind::Quest(quest) = &mut campaign.kind {
            quest.progress_version = source.progress_version;
        }
        campaign.asks = campaign.cohorts().collect();
        campaign.growth_bytes = campaign.growth();
        Ok(campaign)
    }

    pub fn rule(mut self, rule: &Rule) -> Result<CompiledRule, Faults> {
        let compiled = match rule {
            Rule::Simple(simple) => self.simple(simple),
            Rule::Quest(quest) => self.quest(quest),
        };
        match compiled {
            Some(compiled) if self.faults.is_empty() => Ok(compiled),
            _ => Err(self.faults),
        }
    }

    fn simple(&mut self, rule: &SimpleRule) -> Option<CompiledRule> {
        let when = self.optional(rule.when.as_deref(), "/when", Want::Condition);
        let once_per = self.optional(rule.once_per.as_deref(), "/oncePer", Want::Any);
        // What was rewarded is looked up before anything is known of the user.
        if let Some(Some(expr)) = &once_per
            && (expr.fields().iter().any(|slot| self.fields.is_user(*slot))
                || !expr.cohorts().is_empty())
        {
            let detail = "may only look at the event, not at the user or a cohort";
            let fault = Fault::new("/oncePer", FaultCode::Expression, detail);
            self.faults.push(fault.hint("put what concerns the user into when"));
        }
        let offers = match (&rule.rewards, &rule.ladder) {
            (Some(rewards), _) => self.rewards(rewards, "/rewards").map(|r| vec![plain_offer(r)]),
            (None, Some(ladder)) => self.ladder(ladder),
            (None, None) => None,
        };
        let on = rule.on.to_vec();
        Some(CompiledRule {
            kind: Kind::Simple(Simple {
                on,
                when: when?,
                first_ever: rule.first_ever,
                once_per: once_per?,
            }),
            offers: offers?,
            repeat: rule.repeat.as_ref().map(repetition).unwrap_or_default(),
            schedule: rule.schedule.clone(),
            budgets: rule.budgets.to_vec(),
        })
    }

    fn quest(&mut self, rule: &QuestRule) -> Option<CompiledRule> {
        let steps: Vec<Option<Step>> =
            rule.steps.iter().enumerate().map(|(i, s)| self.step(i, s)).collect();
        let rewards = self.rewards(&rule.rewards, "/rewards");
        let steps = steps.into_iter().collect::<Option<Vec<_>>>()?;
        let once = Repetition { max: Some(1), window: Some(Window::Ever), cooldown: None };
        Some(CompiledRule {
            kind: Kind::Quest(Quest {
                enough: rule.at_least.map_or(steps.len(), |n| n.as_u32() as usize),
                steps,
                order: rule.order,
                window: rule.window.clone(),
                on_limit: rule.on_limit,
                progress_version: 0,
            }),
            offers: vec![plain_offer(rewards?)],
            repeat: rule.repeat.as_ref().map_or(once, repetition),
            schedule: rule.schedule.clone(),
            budgets: rule.budgets.to_vec(),
        })
    }

    fn step(&mut self, i: usize, step: &crate::rule::Step) -> Option<Step> {
        let when =
            self.optional(step.when.as_deref(), &format!("/steps/{i}/when"), Want::Condition);
        let goal = match &step.goal {
            GoalRule::Count(n) => Some((Goal::Count, Decimal::from(n.get()))),
            GoalRule::Sum(sum) => {
                let of = self.expression(&sum.of, &format!("/steps/{i}/goal/sum/of"), Want::Number);
                of.map(|of| (Goal::Sum(of), sum.target))
            }
        };
        let (goal, target) = goal?;
        Some(Step {
            id: step.id.as_str().to_owned(),
            on: step.on.to_vec(),
            when: when?,
            goal,
            target,
        })
    }

    fn ladder(&mut self, lines: &[LadderLine]) -> Option<Vec<Offer>> {
        let mut offers = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            let when =
                self.optional(line.when.as_deref(), &format!("/ladder/{i}/when"), Want::Condition);
            let rewards = self.rewards(&line.rewards, &format!("/ladder/{i}/rewards"));
            if line.when.is_none() && line.cohort.is_none() && i + 1 < lines.len() {
                let detail = "always matches, so the lines below can never be reached";
                self.faults.push(Fault::new(&format!("/ladder/{i}"), FaultCode::Conflict, detail));
            }
            if let (Some(when), Some(rewards)) = (when, rewards) {
                offers.push(Offer { when, cohort: line.cohort, rewards });
            }
        }
        (offers.len() == lines.len()).then_some(offers)
    }

    fn rewards(&mut self, rewards: &[Reward], at: &str) -> Option<Vec<RewardSpec>> {
        let mut specs = Vec::new();
        for (i, reward) in rewards.iter().enumerate() {
            let at = format!("{at}/{i}/amount");
            let amount = match &reward.amount {
                Amount::Constant(amount) => Some(AmountExpr::Constant(*amount)),
                Amount::Rule(AmountRule::Percent(p)) => {
                    let of = self.expression(&p.of, &format!("{at}/percent/of"), Want::Number);
                    of.map(|of| AmountExpr::Percent { rate: p.rate, of })
                }
                Amount::Rule(AmountRule::PerStep(s)) => {
                    let of = self.expression(&s.of, &format!("{at}/perStep/of"), Want::Number);
                    of.map(|of| AmountExpr::PerStep { give: s.give, each: s.each, of })
                }
                Amount::Rule(AmountRule::Formula(text)) => self
                    .expression(text, &format!("{at}/formula"), Want::Number)
                    .map(AmountExpr::Formula),
            };
            specs.extend(amount.map(|amount| RewardSpec { reward: reward.clone(), amount }));
        }
        (specs.len() == rewards.len()).then_some(specs)
    }

    /// The outer `None` is a fault, the inner one an expression that is not there.
    fn optional(&mut self, text: Option<&str>, at: &str, want: Want) -> Option<Option<Expr>> {
        match text {
            None => Some(None),
            Some(text) => self.expression(text, at, want).map(Some),
        }
    }

    fn expression(&mut self, text: &str, at: &str, want: Want) -> Option<Expr> {
        match expr::compile(text, self.fields, want) {
            Ok(expr) => Some(expr),
            Err(errors) => {
                self.faults.extend(errors.into_iter().map(|error| error.into_fault(text, at)));
                None
            }
        }
    }
}

fn plain_offer(rewards: Vec<RewardSpec>) -> Offer {
    Offer { when: None, cohort: None, rewards }
}

fn repetition(repeat: &Repeat) -> Repetition {
    let window = match repeat.per {
        Per::Ever => Window::Ever,
        Per::Day => Window::Period(Period::Day),
        Per::Week => Window::Period(Period::Week),
        Per::Month => Window::Period(Period::Month),
        Per::Quarter => Window::Period(Period::Quarter),
        Per::Year => Window::Period(Period::Year),
    };
    Repetition {
        max: repeat.max.map(|n| n.as_u64()),
        window: Some(window),
        cooldown: repeat.cooldown,
    }
}

fn budget(tenant: TenantId, campaign: CampaignId, budget: &Budget) -> BudgetSpec {
    let window = match (budget.per, &budget.days) {
        (BudgetWindow::Total, _) => Window::Ever,
        (BudgetWindow::Rolling, days) => {
            Window::Days(days.as_ref().and_then(|d| u16::try_from(d.get()).ok()).unwrap_or(1))
        }
        (BudgetWindow::Day, _) => Window::Period(Period::Day),
        (BudgetWindow::Week, _) => Window::Period(Period::Week),
        (BudgetWindow::Month, _) => Window::Period(Period::Month),
        (BudgetWindow::Quarter, _) => Window::Period(Period::Quarter),
        (BudgetWindow::Year, _) => Window::Period(Period::Year),
    };
    let amount = budget.measure == Measure::Amount;
    BudgetSpec {
        id: budget.id.as_str().to_owned(),
        key: (budget.scope == BudgetScope::Campaign)
            .then(|| (tenant, budget_key(campaign, &budget.id))),
        currency: amount
            .then(|| budget.currency.as_ref().map_or_else(String::new, |c| c.as_str().to_owned())),
        window,
        max: budget.max,
        clamp: budget.on_edge == OnEdge::Clamp,
    }
}

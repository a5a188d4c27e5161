//! Dynamic cohorts: criteria over a user's attributes and over what the user did.

use rust_decimal::Decimal;

use crate::expr::{self, Expr, Facts, Fields, Scope, Want};
use crate::id::ActionCode;
use crate::payload::Payload;
use crate::rule::{ActionPattern, ExprText};
use crate::shape::{Fault, FaultCode, Faults, Many, Reader};
use crate::time::{Length, Timestamp, Zone};

crate::shape! {
    /// Bounds of a number, inclusive.
    pub struct Bounds {
        /// At least.
        "min" min: Option<Decimal>,
        /// At most.
        "max" max: Option<Decimal>,
    } check check_bounds;
}

fn check_bounds(bounds: &Bounds, at: &mut Reader<'_>) {
    match (bounds.min, bounds.max) {
        (None, None) => {
            at.refuse_with::<()>(FaultCode::Required, "says nothing", "give min, max or both");
        }
        (Some(min), Some(max)) if min > max => {
            at.field("min", |at| at.refuse::<()>(FaultCode::Conflict, "is above max"));
        }
        _ => {}
    }
}

impl Bounds {
    fn hold(&self, n: Decimal) -> bool {
        self.min.is_none_or(|min| n >= min) && self.max.is_none_or(|max| n <= max)
    }
}

crate::shape! {
    /// Bounds of a sum.
    pub struct SumBounds {
        /// What is added up, an expression over the event.
        "of" of: ExprText,
        /// At least.
        "min" min: Option<Decimal>,
        /// At most.
        "max" max: Option<Decimal>,
    } check check_sum_bounds;
}

fn check_sum_bounds(bounds: &SumBounds, at: &mut Reader<'_>) {
    check_bounds(&Bounds { min: bounds.min, max: bounds.max }, at);
}

crate::shape! {
    /// How long ago something happened, counted back from the moment of the computation.
    pub struct Ago {
        /// At most so long ago.
        "within" within: Option<Length>,
        /// At least so long ago.
        "before" before: Option<Length>,
    } check check_ago;
}

fn check_ago(ago: &Ago, at: &mut Reader<'_>) {
    match (ago.within, ago.before) {
        (None, None) => {
            at.refuse_with::<()>(
                FaultCode::Required,
                "says nothing",
                "give within, before or both",
            );
        }
        (Some(within), Some(before)) if within <= before => {
            let detail = "must be longer than before, or nothing lies between them";
            at.refuse_field("within", FaultCode::Conflict, detail);
        }
        _ => {}
    }
}

crate::shape! {
    /// What the user did. All that is given must hold; with no bounds at all, one event is enough.
    pub struct Activity {
        /// Actions, or patterns; any of them.
        "on" on: Many<ActionPattern, 1, 50>,
        /// Which of these events count.
        "when" when: Option<ExprText>,
        /// Only events at most so long before the computation, by event time.
        "within" within: Option<Length>,
        /// Only events from this moment on.
        "from" from: Option<Timestamp>,
        /// Only events before this moment.
        "to" to: Option<Timestamp>,
        /// How many there are.
        "count" count: Option<Bounds>,
        /// What they add up to.
        "sum" sum: Option<SumBounds>,
        /// When the first was.
        "first" first: Option<Ago>,
        /// When the last was.
        "last" last: Option<Ago>,
    } check check_activity;
}

fn check_activity(activity: &Activity, at: &mut Reader<'_>) {
    if let (Some(from), Some(to)) = (activity.from, activity.to)
        && from >= to
    {
        at.refuse_field("to", FaultCode::Conflict, "must be after from");
    }
}

crate::shape! {
    /// Who belongs to a dynamic cohort. All that is given must hold.
    pub struct Criteria {
        /// A condition over the user's attributes: `user.tier == "gold"`.
        "user" user: Option<ExprText>,
        /// What the user did.
        "activity" activity: Many<Activity, 0, 10> = Many::default(),
    } check check_criteria;
}

fn check_criteria(criteria: &Criteria, at: &mut Reader<'_>) {
    if criteria.user.is_none() && criteria.activity.is_empty() {
        at.refuse_with::<()>(FaultCode::Required, "says nothing", "give user, activity or both");
    }
}

/// What an expression asks for that is not there when criteria are computed: it would be unknown
/// for everybody.
fn out_of_place(expr: &Expr, fields: &Fields, at: &str, of_user: bool) -> Option<Fault> {
    let (stranger, hint) = match of_user {
        true => ("may only look at the user, not at an event", "ask for events in activity"),
        false => ("may only look at the event, not at the user", "ask for attributes in user"),
    };
    let detail = if !expr.cohorts().is_empty() {
        "cannot ask for another cohort"
    } else if expr.fields().iter().any(|slot| fields.is_user(*slot) != of_user) {
        stranger
    } else {
        return None;
    };
    Some(Fault::new(at, FaultCode::Expression, detail).hint(hint))
}

/// What one user did, as far as one activity asks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    count: u64,
    sum: Decimal,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

struct CompiledActivity {
    rule: Activity,
    when: Option<Expr>,
    sum_of: Option<Expr>,
}

/// Criteria, compiled: each event is added to its user's tallies, at the end the tallies tell.
pub struct CriteriaProgram {
    fields: Fields,
    user: Option<Expr>,
    activity: Vec<CompiledActivity>,
}

/// An event as criteria see it.
#[derive(Clone, Copy, Debug)]
pub struct PastEvent<'a> {
    /// Its action.
    pub action: &'a ActionCode,
    /// Its own time.
    pub ts: Timestamp,
    /// Its payload.
    pub payload: &'a Payload<'a>,
}

impl CriteriaProgram {
    /// Compiles criteria. Errors: every expression that is wrong, with its place.
    pub fn compile(criteria: &Criteria) -> Result<Self, Faults> {
        let mut fields = Fields::default();
        let mut faults = Faults::default();
        let mut compile = |text: Option<&ExprText>, at: String, want, of_user| {
            let text = text?;
            match expr::compile(text, &mut fields, want) {
                Ok(expr) => {
                    faults.extend(out_of_place(&expr, &fields, &at, of_user));
                    Some(expr)
                }
                Err(errors) => {
                    faults.extend(errors.into_iter().map(|error| error.into_fault(text, &at)));
                    None
                }
            }
        };
        let user = compile(criteria.user.as_ref(), "/user".to_owned(), Want::Condition, true);
        let mut activity = Vec::new();
        for (i, rule) in criteria.activity.iter().enumerate() {
            let at = format!("/activity/{i}");
            let when = compile(rule.when.as_ref(), format!("{at}/when"), Want::Condition, false);
            let of = rule.sum.as_ref().map(|s| &s.of);
            let sum_of = compile(of, format!("{at}/sum/of"), Want::Number, false);
            activity.push(CompiledActivity { rule: rule.clone(), when, sum_of });
        }
        faults.or_ok(Self { fields, user, activity })
    }

    /// Fresh tallies for one user.
    pub fn tallies(&self) -> Vec<Tally> {
        vec![Tally::default(); self.activity.len()]
    }

    /// True when the criteria look at attributes.
    pub fn asks_user(&self) -> bool {
        self.user.is_some()
    }

    /// True when the criteria look at events.
    pub fn asks_events(&self) -> bool {
        !self.activity.is_empty()
    }

    /// True when an event that counts at one moment may not count at a later one.
    pub fn slides(&self) -> bool {
        self.activity.iter().any(|activity| activity.rule.within.is_some())
    }

    /// Events before this moment, by event time, count for nothing.
    pub fn earliest(&self, as_of: Timestamp) -> Timestamp {
        let start = |activity: &CompiledActivity| {
            let within = activity.rule.within.map(|w| as_of.plus_micros(-w.micros()));
            within.max(activity.rule.from).unwrap_or_default()
        };
        self.activity.iter().map(start).min().unwrap_or(as_of)
    }

    /// Adds an event to its user's tallies.
    pub fn add(&self, tallies: &mut [Tally], event: PastEvent<'_>, zone: &Zone, as_of: Timestamp) {
        let (action, ts) = (event.action.as_str(), event.ts);
        let facts = Facts { payload: event.payload, user: None, action, ts, zone, cohorts: &[] };
        let scope = Scope::new(&self.fields, facts);
        for (activity, tally) in self.activity.iter().zip(tallies) {
            if activity.counts(event, as_of, &scope) {
                activity.add(tally, ts, &scope);
            }
        }
    }

    /// Whether a user with these tallies and attributes belongs to the cohort.
    pub fn holds(
        &self,
        tallies: &[Tally],
        attributes: Option<&Payload<'_>>,
        zone: &Zone,
        as_of: Timestamp,
    ) -> bool {
        let nothing = Payload::default();
        let user = self.user.as_ref().is_none_or(|condition| {
            let user = Some(attributes.unwrap_or(&nothing));
            let facts =
                Facts { payload: &nothing, user, action: "", ts: as_of, zone, cohorts: &[] };
            condition.holds(&Scope::new(&self.fields, facts)).holds()
        });
        user && self.activity.iter().zip(tallies).all(|(a, t)| a.holds(t, as_of))
    }
}

impl CompiledActivity {
    fn counts(&self, event: PastEvent<'_>, as_of: Timestamp, scope: &Scope<'_>) -> bool {
        let rule = &self.rule;
        let recent = rule.within.is_none_or(|w| event.ts > as_of.plus_micros(-w.micros()));
        recent
            && rule.from.is_none_or(|from| event.ts >= from)
            && rule.to.is_none_or(|to| event.ts < to)
            && rule.on.iter().any(|p| p.matches(event.action))
            && self.when.as_ref().is_none_or(|c| c.holds(scope).holds())
    }

    fn add(&self, tally: &mut Tally, ts: Timestamp, scope: &Scope<'_>) {
        tally.count += 1;
        if let Some(of) = &self.sum_of {
            // An event without the value adds nothing; a sum beyond 28 digits stays where it is.
            let more = of.number(scope).unwrap_or(Decimal::ZERO);
            tally.sum = tally.sum.checked_add(more).unwrap_or(tally.sum);
        }
        tally.first = Some(tally.first.map_or(ts, |first| first.min(ts)));
        tally.last = Some(tally.last.map_or(ts, |last| last.max(ts)));
    }

    fn holds(&self, tally: &Tally, as_of: Timestamp) -> bool {
        let rule = &self.rule;
        let bounded = rule.count.is_some()
            || rule.sum.is_some()
            || rule.first.is_some()
            || rule.last.is_some();
        if !bounded {
            return tally.count > 0;
        }
        let sum =
            rule.sum.as_ref().is_none_or(|s| Bounds { min: s.min, max: s.max }.hold(tally.sum));
        sum && rule.count.as_ref().is_none_or(|bounds| bounds.hold(tally.count.into()))
            && rule.first.as_ref().is_none_or(|ago| ago.holds(tally.first, as_of))
            && rule.last.as_ref().is_none_or(|ago| ago.holds(tally.last, as_of))
    }
}

impl Ago {
    fn holds(&self, at: Option<Timestamp>, as_of: Timestamp) -> bool {
        let Some(at) = at else { return false };
        self.within.is_none_or(|w| at > as_of.plus_micros(-w.micros()))
            && self.before.is_none_or(|b| at <= as_of.plus_micros(-b.micros()))
    }
}

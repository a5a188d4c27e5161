//! The evaluator: the only one, used by decisions, dry runs, explanations and constant folding.
//!
//! Logic is three-valued (Kleene): unknown means that a field is missing, has another type or that
//! arithmetic has no result. `false && unknown` is false and `true || unknown` is true in either
//! order; everything else that depends on an unknown is unknown. Nothing here allocates, except
//! for made lists and texts in another case.

use std::borrow::Cow;

use jiff::civil::{DateTime, Weekday};
use rust_decimal::Decimal;

use super::fields::{Scope, SlotId, Step, walk};
use super::functions::{call, is_among};
use super::types::{Comparison, Kind, Logic, Math, Node, Operator, Part, Quantifier, Test, Type};
use super::value::{Val, compare_numbers, equal, order};
use super::{Verdict, Why, WhyKind};
use crate::payload::{Value, member, same_text};
use crate::time::{SECOND_US, Zone};

/// A value, or why there is none.
pub(super) type Got<T> = Result<T, Why>;

/// Where a node is evaluated: the event, and the items of the lists being gone through.
#[derive(Clone, Copy)]
pub(super) struct Frame<'f, 's, 'a> {
    scope: &'s Scope<'a>,
    items: Option<&'f Item<'f, 's>>,
}

struct Item<'f, 's> {
    value: Val<'s>,
    outer: Option<&'f Item<'f, 's>>,
}

impl<'f, 's, 'a> Frame<'f, 's, 'a> {
    /// The frame of a whole expression, with its full allowance of work.
    pub(super) fn begin(scope: &'s Scope<'a>) -> Self {
        scope.begin();
        Self { scope, items: None }
    }
    pub(super) fn spend(self, steps: usize) -> Got<()> {
        self.scope.spend(steps)
    }
    /// Going through a text costs a step for each 64 bytes.
    pub(super) fn spend_text(self, text: &str) -> Got<()> {
        self.scope.spend(text.len() / 64)
    }
    fn item(self, up: usize, steps: &[Step]) -> Option<Val<'s>> {
        let mut item = self.items?;
        for _ in 0..up {
            item = item.outer?;
        }
        match (&item.value, steps) {
            (whole, []) => Some(whole.clone()),
            (Val::Object(members), [Step::Key(key), rest @ ..]) => {
                walk(member(members, key)?, rest).map(Val::of)
            }
            (Val::List(items), [Step::Index(index), rest @ ..]) => {
                walk(items.get(usize::try_from(*index).ok()?)?, rest).map(Val::of)
            }
            _ => None,
        }
    }
}

/// The value of a node has another type than the one that is needed.
#[cold]
pub(super) fn mismatch(node: &Node, wanted: Type) -> Why {
    Why::of(WhyKind::TypeMismatch(wanted), node.slot())
}

/// Whether a node is true. Comparing a field with a constant, by far the commonest condition, is
/// done here without a further call.
#[inline]
pub(super) fn truth<'s>(node: &'s Node, frame: Frame<'_, 's, '_>) -> Verdict {
    match &node.kind {
        Kind::Logic(Logic::Test(slot, test)) => test_field(*slot, test, frame),
        Kind::Logic(logic) => decide(logic, frame),
        _ => match eval(node, frame) {
            Ok(Val::Bool(holds)) => holds.into(),
            Ok(_) => Verdict::Unknown(mismatch(node, Type::Bool)),
            Err(why) => Verdict::Unknown(why),
        },
    }
}

/// The value of a node that must be a number.
pub(super) fn number<'s>(node: &'s Node, frame: Frame<'_, 's, '_>) -> Got<Decimal> {
    match &node.kind {
        Kind::Math(math) => calculate(math, frame),
        Kind::Const(Val::Number(n)) => Ok(*n),
        _ => match eval(node, frame)? {
            Val::Number(n) => Ok(n),
            _ => Err(mismatch(node, Type::Number)),
        },
    }
}

/// The value of a node that must be a text.
pub(super) fn text<'s>(node: &'s Node, frame: Frame<'_, 's, '_>) -> Got<Cow<'s, str>> {
    match eval(node, frame)? {
        Val::Text(text) => {
            frame.spend_text(&text)?;
            Ok(text)
        }
        _ => Err(mismatch(node, Type::Text)),
    }
}

/// The value of a node.
pub(super) fn eval<'s>(node: &'s Node, frame: Frame<'_, 's, '_>) -> Got<Val<'s>> {
    match &node.kind {
        Kind::Const(value) => Ok(borrowed(value)),
        Kind::Field(slot) => frame.scope.operand(*slot),
        Kind::Action => Ok(Val::Text(Cow::Borrowed(frame.scope.facts().action))),
        Kind::Ts => Ok(Val::Time(frame.scope.facts().ts)),
        Kind::Item { up, steps, name } => {
            let item = frame.item(*up, steps).ok_or(Why::of(WhyKind::FieldMissing, Some(*name)))?;
            if let Val::Made(copied) = &item {
                frame.spend(copied.len())?;
            }
            Ok(item)
        }
        Kind::Logic(_) => match truth(node, frame) {
            Verdict::True => Ok(Val::Bool(true)),
            Verdict::False => Ok(Val::Bool(false)),
            Verdict::Unknown(why) => Err(why),
        },
        Kind::Math(math) => calculate(math, frame).map(Val::Number),
        Kind::If(parts) => {
            let [condition, yes, no] = &**parts;
            match truth(condition, frame) {
                Verdict::True => eval(yes, frame),
                Verdict::False => eval(no, frame),
                Verdict::Unknown(why) => Err(why),
            }
        }
        Kind::Default(pair) => match eval(&pair[0], frame) {
            Ok(Val::Null) | Err(Why { kind: WhyKind::FieldMissing, .. }) => eval(&pair[1], frame),
            other => other,
        },
        Kind::List(parts) => {
            Ok(Val::Made(parts.iter().map(|part| eval(part, frame)).collect::<Got<_>>()?))
        }
        Kind::Call(function, args) => call(*function, args, frame),
        Kind::Calendar { part, at, zone } => calendar(*part, at, zone.as_ref(), frame),
        Kind::Gather { list, keep, to } => gather(list, keep.as_deref(), to.as_deref(), frame),
    }
}

/// A constant, without copying its text.
fn borrowed<'s>(value: &'s Val<'static>) -> Val<'s> {
    match value {
        Val::Text(text) => Val::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

fn decide<'s>(logic: &'s Logic, frame: Frame<'_, 's, '_>) -> Verdict {
    match logic {
        Logic::And(parts) => all(parts.iter().map(|part| truth(part, frame))),
        Logic::Or(parts) => any(parts.iter().map(|part| truth(part, frame))),
        Logic::Not(inner) => truth(inner, frame).negated(),
        Logic::Test(slot, test) => test_field(*slot, test, frame),
        Logic::Compare(comparison, pair) => compare(*comparison, pair, frame).into(),
        Logic::In(pair) => among(&pair[0], &pair[1], frame),
        Logic::Has(slot) => frame.scope.field(*slot).is_some().into(),
        Logic::ItemHas { up, steps } => frame.item(*up, steps).is_some().into(),
        Logic::InCohort(cohort) => frame.scope.facts().cohorts.contains(cohort).into(),
        Logic::Quantified { which, list, body } => quantified(*which, list, body, frame),
    }
}

/// Kleene's and: the first false decides, then the first unknown.
#[inline]
fn all(parts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut result = Verdict::True;
    for part in parts {
        match part {
            Verdict::False => return Verdict::False,
            Verdict::Unknown(_) if result == Verdict::True => result = part,
            _ => {}
        }
    }
    result
}

/// Kleene's or.
fn any(parts: impl Iterator<Item = Verdict>) -> Verdict {
    all(parts.map(Verdict::negated)).negated()
}

#[inline(always)]
fn test_field(slot: SlotId, test: &Test, frame: Frame<'_, '_, '_>) -> Verdict {
    let unknown = |kind| Verdict::Unknown(Why::of(kind, Some(slot)));
    let Some(value) = frame.scope.field(slot) else { return unknown(WhyKind::FieldMissing) };
    match (test, value) {
        (Test::Number(comparison, than), Value::Number(n)) => {
            comparison.accepts(compare_numbers(n, than)).into()
        }
        (Test::Text(equal, other), Value::Text(text)) => (same_text(text, other) == *equal).into(),
        (Test::TextIn(list), Value::Text(text)) => {
            list.iter().any(|item| same_text(item, text)).into()
        }
        // null differs from everything, and has no order.
        (Test::Number(Comparison::Equal, _) | Test::Text(true, _), Value::Null) => Verdict::False,
        (Test::Number(Comparison::NotEqual, _) | Test::Text(false, _), Value::Null) => {
            Verdict::True
        }
        (Test::TextIn(_), Value::Null) => Verdict::False,
        (Test::Number(..), _) => unknown(WhyKind::TypeMismatch(Type::Number)),
        (Test::Text(..) | Test::TextIn(_), _) => unknown(WhyKind::TypeMismatch(Type::Text)),
    }
}

fn compare<'s>(comparison: Comparison, pair: &'s [Node; 2], frame: Frame<'_, 's, '_>) -> Got<bool> {
    let (a, b) = (eval(&pair[0], frame)?, eval(&pair[1], frame)?);
    let result = if comparison.is_equality() {
        equal(&a, &b).map(|same| same == (comparison == Comparison::Equal))
    } else {
        order(&a, &b).map(|order| comparison.accepts(order))
    };
    // The side that is a field is the one to blame; two lists differ inside.
    let wanted = |other: Type| if a.type_of() == b.type_of() { Type::Any } else { other };
    result.ok_or_else(|| match pair[0].slot() {
        Some(_) => mismatch(&pair[0], wanted(b.type_of())),
        None => mismatch(&pair[1], wanted(a.type_of())),
    })
}

fn among<'s>(wanted: &'s Node, list: &'s Node, frame: Frame<'_, 's, '_>) -> Verdict {
    let value = match eval(wanted, frame) {
        Ok(value) => value,
        Err(why) => return Verdict::Unknown(why),
    };
    // A list in the text of the rule is compared where it stands, without making it.
    let Kind::List(parts) = &list.kind else {
        let found = eval(list, frame).and_then(|l| is_among(&value, &l, [wanted, list], frame));
        return found.into();
    };
    any(parts.iter().map(|part| match eval(part, frame) {
        Ok(item) => match equal(&value, &item) {
            Some(same) => same.into(),
            None => Verdict::Unknown(mismatch(wanted, item.type_of())),
        },
        Err(why) => Verdict::Unknown(why),
    }))
}

fn calculate<'s>(math: &'s Math, frame: Frame<'_, 's, '_>) -> Got<Decimal> {
    match math {
        // Not `-`, which would make a minus zero.
        Math::Negate(inner) => Ok(Decimal::ZERO - number(inner, frame)?),
        Math::Binary(operator, pair) => {
            let (a, b) = (number(&pair[0], frame)?, number(&pair[1], frame)?);
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide | Operator::Remainder if b.is_zero() => {
                    return Err(Why::of(WhyKind::DivisionByZero, pair[1].slot()));
                }
                // The library pads a quotient with zeros by chance.
                Operator::Divide => a.checked_div(b).map(|quotient| quotient.normalize()),
                Operator::Remainder => a.checked_rem(b),
            };
            result.ok_or(Why::of(WhyKind::Overflow, pair[0].slot().or(pair[1].slot())))
        }
        Math::Elapsed(pair) => match (eval(&pair[0], frame)?, eval(&pair[1], frame)?) {
            (Val::Time(later), Val::Time(earlier)) => {
                let micros = Decimal::from(later.micros() - earlier.micros());
                Ok((micros / Decimal::from(SECOND_US)).normalize())
            }
            (Val::Time(_), _) => Err(mismatch(&pair[1], Type::Time)),
            _ => Err(mismatch(&pair[0], Type::Time)),
        },
    }
}

fn calendar<'s>(
    part: Part,
    at: &'s Node,
    zone: Option<&Zone>,
    frame: Frame<'_, 's, '_>,
) -> Got<Val<'s>> {
    let civil = match (&at.kind, zone) {
        (Kind::Ts, None) => frame.scope.local_ts(),
        _ => match eval(at, frame)? {
            Val::Time(ts) => zone.unwrap_or(frame.scope.facts().zone).civil(ts),
            _ => return Err(mismatch(at, Type::Time)),
        },
    };
    Ok(match part {
        Part::Weekday => Val::Text(Cow::Borrowed(weekday(civil))),
        Part::Date => Val::Text(Cow::Owned(civil.date().to_string())),
        Part::Hour => Val::Number(Decimal::from(civil.hour())),
        Part::Minute => Val::Number(Decimal::from(civil.minute())),
        Part::DayOfMonth => Val::Number(Decimal::from(civil.day())),
        Part::Month => Val::Number(Decimal::from(civil.month())),
        Part::Year => Val::Number(Decimal::from(civil.year())),
        Part::DayOfYear => Val::Number(Decimal::from(civil.day_of_year())),
        Part::DaysInMonth => Val::Number(Decimal::from(civil.days_in_month())),
        Part::IsoWeek => Val::Number(Decimal::from(civil.date().iso_week_date().week())),
    })
}

fn weekday(civil: DateTime) -> &'static str {
    match civil.weekday() {
        Weekday::Monday => "MON",
        Weekday::Tuesday => "TUE",
        Weekday::Wednesday => "WED",
        Weekday::Thursday => "THU",
        Weekday::Friday => "FRI",
        Weekday::Saturday => "SAT",
        Weekday::Sunday => "SUN",
    }
}

fn quantified<'s>(
    which: Quantifier,
    list: &'s Node,
    body: &'s Node,
    frame: Frame<'_, 's, '_>,
) -> Verdict {
    let value = match eval(list, frame) {
        Ok(value) => value,
        Err(why) => return Verdict::Unknown(why),
    };
    let Some(items) = value.items() else {
        return Verdict::Unknown(mismatch(list, Type::List));
    };
    let each = items.iter().map(|item| match frame.spend(1) {
        Ok(()) => {
            let item = Item { value: item, outer: frame.items };
            truth(body, Frame { scope: frame.scope, items: Some(&item) })
        }
        Err(why) => Verdict::Unknown(why),
    });
    match which {
        Quantifier::All => all(each),
        Quantifier::Exists => any(each),
        Quantifier::ExistsOne => exactly_one(each),
    }
}

/// Two that hold decide; otherwise an unknown one could make the difference.
fn exactly_one(each: impl Iterator<Item = Verdict>) -> Verdict {
    let (mut held, mut unknown) = (0, None);
    for verdict in each {
        match verdict {
            Verdict::True if held == 1 => return Verdict::False,
            Verdict::True => held += 1,
            Verdict::Unknown(why) => unknown = unknown.or(Some(why)),
            Verdict::False => {}
        }
    }
    unknown.map_or((held == 1).into(), Verdict::Unknown)
}

fn gather<'s>(
    list: &'s Node,
    keep: Option<&'s Node>,
    to: Option<&'s Node>,
    frame: Frame<'_, 's, '_>,
) -> Got<Val<'s>> {
    let value = eval(list, frame)?;
    let items = value.items().ok_or_else(|| mismatch(list, Type::List))?;
    let mut made = Vec::new();
    for item in items.iter() {
        frame.spend(1)?;
        let item = Item { value: item, outer: frame.items };
        let inner = Frame { scope: frame.scope, items: Some(&item) };
        match keep.map_or(Verdict::True, |keep| truth(keep, inner)) {
            Verdict::True => made.push(match to {
                Some(to) => eval(to, inner)?,
                None => item.value,
            }),
            Verdict::False => {}
            Verdict::Unknown(why) => return Err(why),
        }
    }
    Ok(Val::Made(made))
}

//! The functions of the language: their names, what they take, what they do.
//!
//! To add one: a line in [`TABLE`], a variant in [`Function`], an arm in [`call`], rows in the
//! tests and a paragraph in `docs/rules.md`.

use std::borrow::Cow;

use rust_decimal::{Decimal, RoundingStrategy};

use super::eval::{Frame, Got, eval, mismatch, number, text};
use super::types::{Node, Part, Type};
use super::value::{Val, compare_numbers, equal};
use super::{Why, WhyKind};
use crate::time::Timestamp;

/// A function of values only. Calendar functions are [`Part`]s, as they need a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Floor,
    Ceil,
    /// With the number of places to keep.
    Round(u32),
    Abs,
    Size,
    Sum,
    StartsWith,
    EndsWith,
    Contains,
    Lower,
    Upper,
    Timestamp,
}

/// How a name is compiled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// Takes the given types, the last one again and again when `more`; gives the last type.
    Plain { function: Function, takes: &'static [Type], more: bool, gives: Type },
    /// `(ts)` or `(ts, "Zone")`.
    Calendar(Part, Type),
    /// `round(x)`, `round(x, 2)`.
    Round,
    /// `default(x, otherwise)`.
    Default,
    /// `inCohort("id")`.
    InCohort,
}

const fn plain(function: Function, takes: &'static [Type], gives: Type) -> Meaning {
    Meaning::Plain { function, takes, more: false, gives }
}

/// All names, each with an example for messages.
pub(super) const TABLE: &[(&str, Meaning, &str)] = {
    use Type::{Any, Bool, List, Number, Text, Time};
    const NUMBER: &[Type] = &[Number];
    const NUMBERS: &[Type] = &[Number, Number];
    const TEXT: &[Type] = &[Text];
    const TEXTS: &[Type] = &[Text, Text];
    let min = Meaning::Plain { function: Function::Min, takes: NUMBERS, more: true, gives: Number };
    let max = Meaning::Plain { function: Function::Max, takes: NUMBERS, more: true, gives: Number };
    &[
        ("min", min, "min(event.amount, 100)"),
        ("max", max, "max(event.amount, 10)"),
        ("floor", plain(Function::Floor, NUMBER, Number), "floor(event.amount / 10)"),
        ("ceil", plain(Function::Ceil, NUMBER, Number), "ceil(event.amount / 10)"),
        ("round", Meaning::Round, "round(event.amount, 2)"),
        ("abs", plain(Function::Abs, NUMBER, Number), "abs(event.balance)"),
        ("size", plain(Function::Size, &[Any], Number), "size(event.items)"),
        ("sum", plain(Function::Sum, &[List], Number), "sum(event.items.map(i, i.price))"),
        ("startsWith", plain(Function::StartsWith, TEXTS, Bool), "event.sku.startsWith(\"B-\")"),
        ("endsWith", plain(Function::EndsWith, TEXTS, Bool), "event.sku.endsWith(\"-XL\")"),
        ("contains", plain(Function::Contains, &[Any, Any], Bool), "event.tags.contains(\"new\")"),
        ("lower", plain(Function::Lower, TEXT, Text), "event.city.lower()"),
        ("upper", plain(Function::Upper, TEXT, Text), "event.code.upper()"),
        (
            "timestamp",
            plain(Function::Timestamp, TEXT, Time),
            "timestamp(\"2026-11-22T10:00:00Z\")",
        ),
        ("weekday", Meaning::Calendar(Part::Weekday, Text), "weekday(event.ts) == \"SAT\""),
        ("hour", Meaning::Calendar(Part::Hour, Number), "hour(event.ts) < 12"),
        ("minute", Meaning::Calendar(Part::Minute, Number), "minute(event.ts)"),
        ("dayOfMonth", Meaning::Calendar(Part::DayOfMonth, Number), "dayOfMonth(event.ts) == 1"),
        ("month", Meaning::Calendar(Part::Month, Number), "month(event.ts) == 12"),
        ("year", Meaning::Calendar(Part::Year, Number), "year(event.ts)"),
        ("dayOfYear", Meaning::Calendar(Part::DayOfYear, Number), "dayOfYear(event.ts)"),
        ("daysInMonth", Meaning::Calendar(Part::DaysInMonth, Number), "daysInMonth(event.ts)"),
        ("isoWeek", Meaning::Calendar(Part::IsoWeek, Number), "isoWeek(event.ts)"),
        ("date", Meaning::Calendar(Part::Date, Text), "date(event.ts) == \"2026-11-22\""),
        ("default", Meaning::Default, "default(event.quantity, 1)"),
        ("inCohort", Meaning::InCohort, "inCohort(\"0192f0c1-…\")"),
    ]
};

/// Names that other dialects of CEL know, and what to do instead.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("matches", "regular expressions are not supported; use startsWith, endsWith or contains"),
    ("int", "numbers are exact decimals; use floor, ceil or round"),
    ("uint", "numbers are exact decimals; use floor, ceil or round"),
    ("double", "numbers are exact decimals and need no conversion"),
    ("string", "values are not converted to texts; compare with a number instead"),
    ("bool", "compare with true or false instead"),
    ("type", "types are checked when the rule is saved; has() tells whether a field is there"),
    ("dyn", "fields need no conversion"),
    ("duration", "write lengths of time in seconds: event.ts - timestamp(…) < 3600"),
    ("lowerAscii", "write event.city.lower()"),
    ("upperAscii", "write event.code.upper()"),
    ("getDayOfWeek", "write weekday(event.ts), which gives \"MON\" to \"SUN\""),
    ("getDate", "write dayOfMonth(event.ts)"),
    ("getDayOfMonth", "write dayOfMonth(event.ts)"),
    ("getDayOfYear", "write dayOfYear(event.ts)"),
    ("getFullYear", "write year(event.ts)"),
    ("getMonth", "write month(event.ts), which gives 1 to 12"),
    ("getHours", "write hour(event.ts)"),
    ("getMinutes", "write minute(event.ts)"),
    ("now", "a decision knows no clock, so that it can be repeated; use event.ts"),
];

/// For calls that the compiler has refused long before.
const NO_ARGUMENT: Why = Why::of(WhyKind::FieldMissing, None);

/// Evaluates a call. The compiler has checked the number of arguments.
pub(super) fn call<'s>(
    function: Function,
    args: &'s [Node],
    frame: Frame<'_, 's, '_>,
) -> Got<Val<'s>> {
    let first = args.first().ok_or(NO_ARGUMENT)?;
    let rounded = |f: fn(&Decimal) -> Decimal| Ok(Val::Number(f(&number(first, frame)?)));
    match function {
        Function::Min => extreme(args, frame, std::cmp::Ordering::Less),
        Function::Max => extreme(args, frame, std::cmp::Ordering::Greater),
        Function::Floor => rounded(Decimal::floor),
        Function::Ceil => rounded(Decimal::ceil),
        Function::Abs => rounded(Decimal::abs),
        Function::Round(places) => {
            let half_up = RoundingStrategy::MidpointAwayFromZero;
            Ok(Val::Number(number(first, frame)?.round_dp_with_strategy(places, half_up)))
        }
        Function::Size => size(first, frame),
        Function::Sum => sum(first, frame),
        Function::StartsWith => texts(args, frame, |text, part| text.starts_with(part)),
        Function::EndsWith => texts(args, frame, |text, part| text.ends_with(part)),
        Function::Contains => contains(args, frame),
        Function::Lower => Ok(Val::Text(Cow::Owned(text(first, frame)?.to_lowercase()))),
        Function::Upper => Ok(Val::Text(Cow::Owned(text(first, frame)?.to_uppercase()))),
        Function::Timestamp => match text(first, frame)?.parse::<Timestamp>() {
            Ok(at) => Ok(Val::Time(at)),
            Err(_) => Err(Why::of(WhyKind::NotATime, first.slot())),
        },
    }
}

fn extreme<'s>(
    args: &'s [Node],
    frame: Frame<'_, 's, '_>,
    side: std::cmp::Ordering,
) -> Got<Val<'s>> {
    let mut best: Option<Decimal> = None;
    for arg in args {
        let next = number(arg, frame)?;
        if best.is_none_or(|best| compare_numbers(&next, &best) == side) {
            best = Some(next);
        }
    }
    Ok(best.map_or(Val::Null, Val::Number))
}

fn size<'s>(node: &'s Node, frame: Frame<'_, 's, '_>) -> Got<Val<'s>> {
    let value = eval(node, frame)?;
    let size = match &value {
        Val::Text(text) => {
            frame.spend_text(text)?;
            text.chars().count()
        }
        other => other.items().ok_or_else(|| mismatch(node, Type::List))?.len(),
    };
    Ok(Val::Number(Decimal::from(size)))
}

fn sum<'s>(node: &'s Node, frame: Frame<'_, 's, '_>) -> Got<Val<'s>> {
    let list = eval(node, frame)?;
    let items = list.items().ok_or_else(|| mismatch(node, Type::List))?;
    frame.spend(items.len())?;
    let mut total = Decimal::ZERO;
    for item in items.iter() {
        let Val::Number(item) = item else { return Err(mismatch(node, Type::Any)) };
        total = total.checked_add(item).ok_or(Why::of(WhyKind::Overflow, node.slot()))?;
    }
    Ok(Val::Number(total))
}

fn texts<'s>(
    args: &'s [Node],
    frame: Frame<'_, 's, '_>,
    test: fn(&str, &str) -> bool,
) -> Got<Val<'s>> {
    let [whole, part] = args else { return Err(NO_ARGUMENT) };
    let whole = text(whole, frame)?;
    Ok(Val::Bool(test(&whole, &text(part, frame)?)))
}

/// Of a list or a text, as the value turns out to be.
fn contains<'s>(args: &'s [Node], frame: Frame<'_, 's, '_>) -> Got<Val<'s>> {
    let [whole, part] = args else { return Err(NO_ARGUMENT) };
    let container = eval(whole, frame)?;
    if let Val::Text(container) = &container {
        frame.spend_text(container)?;
        return Ok(Val::Bool(container.contains(&*text(part, frame)?)));
    }
    if container.items().is_none() {
        return Err(mismatch(whole, Type::List));
    }
    let wanted = eval(part, frame)?;
    is_among(&wanted, &container, [part, whole], frame).map(Val::Bool)
}

/// Whether a list has an item equal to the value. As with `||`: one equal item decides; without
/// one, an item that cannot be compared leaves it unknown. The nodes are those of the value and
/// the list.
pub(super) fn is_among<'s>(
    wanted: &Val<'s>,
    list: &Val<'s>,
    [wanted_node, list_node]: [&Node; 2],
    frame: Frame<'_, 's, '_>,
) -> Got<bool> {
    let items = list.items().ok_or_else(|| mismatch(list_node, Type::List))?;
    frame.spend(items.len())?;
    let mut unknown = None;
    for item in items.iter() {
        match equal(wanted, &item) {
            Some(true) => return Ok(true),
            Some(false) => {}
            None => unknown = unknown.or(Some(item.type_of())),
        }
    }
    match unknown {
        None => Ok(false),
        Some(ty) if wanted_node.slot().is_some() => Err(mismatch(wanted_node, ty)),
        Some(_) => Err(mismatch(list_node, Type::Any)),
    }
}

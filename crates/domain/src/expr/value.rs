//! What an operand can be, and how operands compare.

use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;

use super::types::Type;
use crate::payload::{self, Members, Value};
use crate::time::Timestamp;

/// A value on its way through an expression. Borrowed wherever it can be.
#[derive(Clone, Debug)]
pub(super) enum Val<'s> {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(Cow<'s, str>),
    Time(Timestamp),
    /// A list that stands in the payload.
    List(&'s [Value<'s>]),
    /// A list that the expression made.
    Made(Vec<Val<'s>>),
    Object(&'s Members<'s>),
}

impl<'s> Val<'s> {
    #[inline]
    pub(super) fn of(value: &'s Value<'s>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Number(*n),
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::List(items) => Self::List(items),
            Value::Object(members) => Self::Object(members),
        }
    }

    pub(super) fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Number(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::Time(_) => Type::Time,
            Self::List(_) | Self::Made(_) => Type::List,
            Self::Object(_) => Type::Any,
        }
    }

    /// The items of a list, one by one; `None` for anything else.
    pub(super) fn items(&self) -> Option<Items<'_, 's>> {
        match self {
            Self::List(items) => Some(Items::Read(items)),
            Self::Made(items) => Some(Items::Made(items)),
            _ => None,
        }
    }

    /// The value as a payload holds it; a time becomes its text.
    pub(super) fn into_value(self) -> Value<'s> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::Text(text) => Value::Text(text),
            Self::Time(ts) => Value::Text(Cow::Owned(ts.to_string())),
            Self::List(items) => Value::List(items.to_vec()),
            Self::Made(items) => Value::List(items.into_iter().map(Val::into_value).collect()),
            Self::Object(members) => Value::Object(members.clone()),
        }
    }

    /// As JSON of at most about `max` bytes.
    pub(super) fn show(self, max: usize) -> String {
        payload::show(&self.into_value(), max)
    }
}

/// The items of either kind of list.
#[derive(Clone, Copy)]
pub(super) enum Items<'v, 's> {
    Read(&'s [Value<'s>]),
    Made(&'v [Val<'s>]),
}

impl<'v, 's> Items<'v, 's> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Read(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }
    pub(super) fn iter(self) -> impl Iterator<Item = Val<'s>> + 'v
    where
        's: 'v,
    {
        (0..self.len()).filter_map(move |i| match self {
            Self::Read(items) => items.get(i).map(Val::of),
            Self::Made(items) => items.get(i).cloned(),
        })
    }
}

/// Whether two values are equal; `None` where their types cannot be compared. `null` equals only
/// `null`; lists are compared item by item; objects not at all.
pub(super) fn equal(a: &Val<'_>, b: &Val<'_>) -> Option<bool> {
    match (a, b) {
        (Val::Null, Val::Null) => Some(true),
        (Val::Null, _) | (_, Val::Null) => Some(false),
        (Val::Bool(a), Val::Bool(b)) => Some(a == b),
        (Val::Number(a), Val::Number(b)) => Some(compare_numbers(a, b).is_eq()),
        (Val::Text(a), Val::Text(b)) => Some(a == b),
        (Val::Time(a), Val::Time(b)) => Some(a == b),
        _ => {
            let (a, b) = (a.items()?, b.items()?);
            if a.len() != b.len() {
                return Some(false);
            }
            // As with `&&`: one pair that differs decides, whatever the others are.
            let mut all = Some(true);
            for (a, b) in a.iter().zip(b.iter()) {
                match equal(&a, &b) {
                    Some(false) => return Some(false),
                    Some(true) => {}
                    None => all = None,
                }
            }
            all
        }
    }
}

/// The order of two numbers, texts (by their bytes) or times; `None` for anything else.
pub(super) fn order(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Number(a), Val::Number(b)) => Some(compare_numbers(a, b)),
        (Val::Text(a), Val::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Val::Time(a), Val::Time(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// The order of two decimals. The mantissa has 96 bits, so a difference of up to nine places is
/// evened out in 128 bits; that is several times faster than the general comparison.
#[inline(always)]
pub(super) fn compare_numbers(a: &Decimal, b: &Decimal) -> Ordering {
    const POWERS: [i128; 10] = {
        let mut powers = [1; 10];
        let mut i = 1;
        while i < 10 {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    let power = |places: u32| POWERS.get(places as usize);
    let (a_scale, b_scale) = (a.scale(), b.scale());
    if a_scale == b_scale {
        return a.mantissa().cmp(&b.mantissa());
    }
    if a_scale < b_scale {
        match power(b_scale - a_scale) {
            Some(power) => (a.mantissa() * power).cmp(&b.mantissa()),
            None => a.cmp(b),
        }
    } else {
        match power(a_scale - b_scale) {
            Some(power) => a.mantissa().cmp(&(b.mantissa() * power)),
            None => a.cmp(b),
        }
    }
}

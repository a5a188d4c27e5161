//! Text of a bounded length.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Described, FaultCode, Reader, Schemas, Shape, schema};

/// Longest plain `String`, in characters.
pub const TEXT_CHARS_MAX: usize = 10_000;

/// One line of text with `MIN` to `MAX` characters, none of them a control character. With a `MIN`
/// above 0 it must not be blank.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MIN: usize, const MAX: usize>(Box<str>);

/// Text of one or several lines with `MIN` to `MAX` characters, such as a formula or a description.
/// As [`Text`], but line feeds and tabs are allowed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lines<const MIN: usize, const MAX: usize>(Box<str>);

macro_rules! bounded_text {
    ($name:ident, $allowed:expr) => {
        impl<const MIN: usize, const MAX: usize> $name<MIN, MAX> {
            /// The text, if it keeps to the bounds.
            pub fn new(text: &str) -> Option<Self> {
                check(text, (MIN, MAX), $allowed).is_none().then(|| Self(text.into()))
            }
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// The text, owned.
            pub fn into_string(self) -> String {
                self.0.into()
            }
        }
        impl<const MIN: usize, const MAX: usize> Deref for $name<MIN, MAX> {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl<const MIN: usize, const MAX: usize> fmt::Display for $name<MIN, MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl<const MIN: usize, const MAX: usize> fmt::Debug for $name<MIN, MAX> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl<const MIN: usize, const MAX: usize> Serialize for $name<MIN, MAX> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl<const MIN: usize, const MAX: usize> Described for $name<MIN, MAX> {
            fn schema(_: &mut Schemas) -> Value {
                schema::text(MIN, MAX)
            }
        }
        impl<const MIN: usize, const MAX: usize> Shape for $name<MIN, MAX> {
            fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
                bounded(value, at, (MIN, MAX), $allowed).map(|text| Self(text.into()))
            }
        }
    };
}
bounded_text!(Text, &[]);
bounded_text!(Lines, &['\n', '\t', '\r']);

impl Described for String {
    fn schema(defs: &mut Schemas) -> Value {
        match defs.is_output() {
            true => serde_json::json!({ "type": "string" }),
            false => schema::text(0, TEXT_CHARS_MAX),
        }
    }
}
impl Shape for String {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        bounded(value, at, (0, TEXT_CHARS_MAX), &[]).map(str::to_owned)
    }
}

fn bounded<'v>(
    value: &'v Value,
    at: &mut Reader<'_>,
    bounds: (usize, usize),
    allowed: &[char],
) -> Option<&'v str> {
    let text = at.text(value)?;
    match check(text, bounds, allowed) {
        None => Some(text),
        Some((FaultCode::Syntax, detail)) => {
            at.refuse_with(FaultCode::Syntax, detail, "use printable characters")
        }
        Some((code, detail)) => at.refuse(code, detail),
    }
}

/// What is wrong with the text, if anything.
fn check(text: &str, (min, max): (usize, usize), allowed: &[char]) -> Option<(FaultCode, String)> {
    let length = text.chars().count();
    if length > max {
        let detail = format!("has {length} characters, at most {max} are allowed");
        return Some((FaultCode::TooLong, detail));
    }
    if min > 0 && text.trim().is_empty() {
        return Some((FaultCode::TooShort, "must not be blank".to_owned()));
    }
    if length < min {
        let detail = format!("has {length} characters, at least {min} are needed");
        return Some((FaultCode::TooShort, detail));
    }
    let control = text.chars().find(|c| c.is_control() && !allowed.contains(c))?;
    let detail = format!("holds the control character U+{:04X}", u32::from(control));
    Some((FaultCode::Syntax, detail))
}

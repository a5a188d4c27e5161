//! Numbers: whole ones in a range, exact decimals, and yes or no.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::{Number, Value, json};

use super::suggest::shown;
use super::{Described, FaultCode, Reader, Schemas, Shape};

impl Described for bool {
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "boolean" })
    }
}
impl Shape for bool {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        match value {
            Value::Bool(yes) => Some(*yes),
            _ => at.wrong_type("true or false", value),
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Whole<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    /// The least number of the range.
    pub const LEAST: Self = Self(MIN);

    /// The number, if it lies in the range.
    pub fn new(number: i64) -> Option<Self> {
        (MIN..=MAX).contains(&number).then_some(Self(number))
    }
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
    /// The number as a `u32`. Does not compile unless the whole range fits.
    pub fn as_u32(self) -> u32 {
        const { assert!(MIN >= 0 && MAX <= u32::MAX as i64, "the range must fit a u32") };
        u32::try_from(self.0).unwrap_or(0)
    }
    /// The number as a `u64`. Does not compile unless the whole range fits.
    pub fn as_u64(self) -> u64 {
        const { assert!(MIN >= 0, "the range must fit a u64") };
        self.0.unsigned_abs()
    }
}
impl<const MIN: i64, const MAX: i64> Serialize for Whole<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(self.0)
    }
}
impl<const MIN: i64, const MAX: i64> Described for Whole<MIN, MAX> {
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}
impl<const MIN: i64, const MAX: i64> Shape for Whole<MIN, MAX> {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        whole(value, at, i128::from(MIN), i128::from(MAX))
            .and_then(|number| i64::try_from(number).ok())
            .map(Self)
    }
}

macro_rules! integer {
    ($($type:ty),+) => {$(
        impl Described for $type {
            fn schema(_: &mut Schemas) -> Value {
                json!({ "type": "integer", "minimum": <$type>::MIN, "maximum": <$type>::MAX })
            }
        }
        impl Shape for $type {
            fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
                whole(value, at, i128::from(<$type>::MIN), i128::from(<$type>::MAX))
                    .and_then(|number| Self::try_from(number).ok())
            }
        }
    )+};
}
integer!(u8, u16, u32, u64, i32, i64);

/// A whole number in the range. `5.0` is whole, as JSON Schema has it.
fn whole(value: &Value, at: &mut Reader<'_>, min: i128, max: i128) -> Option<i128> {
    let Value::Number(number) = value else {
        let fault = at.wrong_type("a whole number", value);
        return fault;
    };
    let Some(found) = as_whole(number) else {
        return at.refuse(FaultCode::WrongType, format!("must be a whole number, not {number}"));
    };
    if (min..=max).contains(&found) {
        return Some(found);
    }
    at.refuse(FaultCode::OutOfRange, format!("must be from {min} to {max}, not {number}"))
}

fn as_whole(number: &Number) -> Option<i128> {
    if let Some(n) = number.as_i64() {
        return Some(i128::from(n));
    }
    if let Some(n) = number.as_u64() {
        return Some(i128::from(n));
    }
    let n = number.as_f64().filter(|n| n.fract() == 0.0)?;
    // Saturates far outside every range that is asked for.
    Some(n as i128)
}

impl Described for Decimal {
    fn schema(defs: &mut Schemas) -> Value {
        let kind = if defs.is_output() { json!("string") } else { json!(["string", "number"]) };
        json!({
            "type": kind,
            "format": "decimal",
            "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
            "examples": ["12.50"],
        })
    }
}
impl Shape for Decimal {
    /// From text, exactly; or from a number, through its shortest text, which is exact for every
    /// number that [`parse`](super::parse) lets through.
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        match value {
            Value::String(text) => decimal(text, at),
            Value::Number(number) => {
                let text = number.to_string();
                let read = match text.contains(['e', 'E']) {
                    true => Self::from_scientific(&text),
                    false => Self::from_str_exact(&text),
                };
                read.ok().or_else(|| beyond(&text, at))
            }
            _ => at.wrong_type("a decimal number", value),
        }
    }
}

fn decimal(text: &str, at: &mut Reader<'_>) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !numeric(whole) || !numeric(fraction) {
        let detail = format!("{} is not a decimal number", shown(text));
        return at.refuse_with(FaultCode::Syntax, detail, "write it as \"12.50\"");
    }
    let mut read = Decimal::from_str_exact(text).ok().or_else(|| beyond(&shown(text), at))?;
    if read.is_zero() {
        read.set_sign_positive(true);
    }
    Some(read)
}

fn beyond<T>(text: &str, at: &mut Reader<'_>) -> Option<T> {
    at.refuse(FaultCode::OutOfRange, format!("{text} does not fit into 28 digits"))
}

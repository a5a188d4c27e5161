//! Types of the platform as PostgreSQL binds and returns them.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use domain::time::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

type Fallible<T> = Result<T, Box<dyn Error + Sync + Send>>;

/// 2000-01-01 in microseconds since 1970: PostgreSQL counts from there.
const EPOCH_US: i64 = 946_684_800_000_000;
/// Decimal digits in a digit of `numeric`.
const GROUP: usize = 4;
const NEGATIVE: u16 = 0x4000;

/// An instant as `timestamptz`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(pub Timestamp);

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        out.put_i64(self.0.micros() - EPOCH_US);
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl FromSql<'_> for Instant {
    fn from_sql(_: &Type, raw: &[u8]) -> Fallible<Self> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp::from_stored(micros + EPOCH_US)))
    }
    accepts!(TIMESTAMPTZ);
}

/// A document as `jsonb` (a version byte, then its text) or as `text`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a>(pub &'a str);

impl ToSql for Document<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        if *ty == Type::JSONB {
            out.put_u8(1);
        }
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
    accepts!(JSONB, JSON, TEXT, VARCHAR);
    to_sql_checked!();
}

/// A document that was read, without the spaces that `jsonb` puts between its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompactDocument(pub String);

impl FromSql<'_> for CompactDocument {
    fn from_sql(_: &Type, raw: &[u8]) -> Fallible<Self> {
        let text = raw.strip_prefix(&[1]).ok_or("a jsonb value of an unknown version")?;
        Ok(Self(compact(std::str::from_utf8(text)?)))
    }
    accepts!(JSONB);
}

/// JSON text without white space between its parts.
fn compact(json: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        let is_space = !in_string && c.is_ascii_whitespace();
        if is_escaped {
            is_escaped = false;
        } else if *c == '"' {
            in_string = !in_string;
        } else {
            is_escaped = in_string && *c == '\\';
        }
        !is_space
    };
    json.chars().filter(keep).collect()
}

/// An amount as `numeric`, its scale kept: 12.50 stays 12.50.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount(pub Decimal);

impl ToSql for Amount {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        let text = self.0.abs().to_string();
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let whole = format!("{whole:0>width$}", width = whole.len().next_multiple_of(GROUP));
        let part_padded = format!("{part:0<width$}", width = part.len().next_multiple_of(GROUP));
        let mut weight = i16::try_from(whole.len() / GROUP)? - 1;
        let digits = format!("{whole}{part_padded}");
        let groups = digits.as_bytes().chunks(GROUP);
        let value = |g: &[u8]| g.iter().fold(0_i16, |n, d| n * 10 + i16::from(d - b'0'));
        let groups: Vec<i16> = groups.map(value).collect();
        let leading = groups.iter().take_while(|g| **g == 0).count();
        let trailing = groups[leading..].iter().rev().take_while(|g| **g == 0).count();
        weight -= i16::try_from(leading)?;
        let groups = &groups[leading..groups.len() - trailing];
        out.put_i16(i16::try_from(groups.len())?);
        out.put_i16(if groups.is_empty() { 0 } else { weight });
        let is_negative = self.0.is_sign_negative() && !groups.is_empty();
        out.put_u16(if is_negative { NEGATIVE } else { 0 });
        out.put_i16(i16::try_from(part.len())?);
        groups.iter().for_each(|g| out.put_i16(*g));
        Ok(IsNull::No)
    }
    accepts!(NUMERIC);
    to_sql_checked!();
}

impl FromSql<'_> for Amount {
    fn from_sql(_: &Type, raw: &[u8]) -> Fallible<Self> {
        Ok(Self(numeric_text(raw)?.parse()?))
    }
    accepts!(NUMERIC);
}

/// A `numeric` as decimal text.
pub(crate) fn numeric_text(raw: &[u8]) -> Fallible<String> {
    let number = |i: usize| {
        let bytes = raw.get(i * 2..i * 2 + 2).ok_or("a numeric that breaks off")?;
        Ok::<_, Box<dyn Error + Sync + Send>>(i16::from_be_bytes(bytes.try_into()?))
    };
    let (count, weight, scale) = (usize::try_from(number(0)?)?, number(1)?, number(3)?);
    let sign = number(2)?.cast_unsigned();
    if sign != 0 && sign != NEGATIVE {
        return Err("a numeric that is no number".into());
    }
    let scale = usize::try_from(scale)?;
    let mut whole = String::new();
    let mut part = String::new();
    for place in (0..=weight.max(0)).rev() {
        let i = usize::try_from(weight - place).ok().filter(|i| *i < count);
        let group = i.map_or(Ok(0), |i| number(4 + i))?;
        whole.push_str(&format!("{group:04}"));
    }
    let mut place = -1;
    while part.len() < scale {
        let i = usize::try_from(weight - place).ok().filter(|i| *i < count);
        let group = i.map_or(Ok(0), |i| number(4 + i))?;
        part.push_str(&format!("{group:04}"));
        place -= 1;
    }
    part.truncate(scale);
    let whole = whole.trim_start_matches('0');
    let sign = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if scale > 0 { "." } else { "" };
    Ok(format!("{sign}{whole}{point}{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_comes_back_with_its_scale() {
        for text in [
            "0",
            "0.00",
            "1",
            "12.50",
            "-12.50",
            "0.0001",
            "0.00010",
            "10000",
            "99999999.9999",
            "123456789012345678.123456789",
            "-0.000000001",
            "100000000",
            "0.10",
            "5000.05",
        ] {
            let mut raw = BytesMut::new();
            let amount: Decimal = text.parse().expect("a decimal");
            Amount(amount).to_sql(&Type::NUMERIC, &mut raw).expect("writes");
            assert_eq!(numeric_text(&raw).expect("reads"), text);
        }
        // 12.50 as the server sends it.
        let raw = [0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x13, 0x88];
        assert_eq!(numeric_text(&raw).expect("reads"), "12.50");
        let nan = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        assert!(numeric_text(&nan).is_err());
    }

    #[test]
    fn spaces_go_from_between_parts_and_stay_in_texts() {
        let text = r#"{"a b": [1, 2.50, "x \" , y"], "c": "\\" }"#;
        assert_eq!(compact(text), r#"{"a b":[1,2.50,"x \" , y"],"c":"\\"}"#);
    }
}

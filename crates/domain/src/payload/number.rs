//! Exact decimals from the text of a JSON number.

use rust_decimal::Decimal;

use super::DIGITS_MAX;

/// Why the text of a number is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not in the syntax of JSON numbers.
    #[error("a number is written as in 42, -0.5 or 1.5e3, without a leading zero, + or bare point")]
    Syntax,
    /// More significant digits than a decimal holds.
    #[error("a number has more than {DIGITS_MAX} significant digits; round it or send it as text")]
    Digits,
    /// Too large or too close to zero.
    #[error(
        "a number lies outside what is held exactly: below 10^28, at most 28 digits after the \
         point; send it as text"
    )]
    Range,
}

/// The exact value of a JSON number. Trailing zeros are kept where they fit.
/// Errors: [`NumberError`]; nothing is ever rounded.
pub fn exact_decimal(text: &str) -> Result<Decimal, NumberError> {
    let (number, end) = scan(text.as_bytes(), 0)?;
    if end == text.len() { Ok(number) } else { Err(NumberError::Syntax) }
}

/// Reads the number that begins at `start`; gives it and the offset behind it.
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<(Decimal, usize), NumberError> {
    let negative = bytes.get(start) == Some(&b'-');
    let whole_start = start + usize::from(negative);
    let whole_end = digits_end(bytes, whole_start);
    let whole = whole_end - whole_start;
    if whole == 0 || (whole > 1 && bytes[whole_start] == b'0') {
        return Err(NumberError::Syntax);
    }
    let mut end = whole_end;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        end = digits_end(bytes, whole_end + 1);
        fraction = end - whole_end - 1;
        if fraction == 0 {
            return Err(NumberError::Syntax);
        }
    }
    // 18 digits fit in 64 bits; nearly every amount is read here.
    if whole + fraction <= 18 && !matches!(bytes.get(end), Some(b'e' | b'E')) {
        let mantissa =
            digits(&bytes[whole_end.min(end)..end], digits(&bytes[whole_start..whole_end], 0));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves of 64 bits, and at most 18"
        )]
        let number = Decimal::from_parts(
            mantissa as u32,
            (mantissa >> 32) as u32,
            0,
            negative && mantissa != 0,
            fraction as u32,
        );
        return Ok((number, end));
    }
    let (exponent, end) = exponent(bytes, end)?;
    let text = &bytes[whole_start..whole_end + usize::from(fraction > 0) + fraction];
    Ok((scaled(text, fraction, exponent, negative)?, end))
}

fn digits_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Appends digits to a number; anything else in between (the point) is passed over.
fn digits(bytes: &[u8], onto: u64) -> u64 {
    bytes.iter().filter(|b| b.is_ascii_digit()).fold(onto, |n, b| n * 10 + u64::from(b - b'0'))
}

/// Reads `e+12` if there is one. Absurd exponents saturate; they are out of range either way.
fn exponent(bytes: &[u8], at: usize) -> Result<(i64, usize), NumberError> {
    if !matches!(bytes.get(at), Some(b'e' | b'E')) {
        return Ok((0, at));
    }
    let sign = bytes.get(at + 1).copied();
    let from = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
    let end = digits_end(bytes, from);
    if end == from {
        return Err(NumberError::Syntax);
    }
    let size = bytes[from..end]
        .iter()
        .fold(0i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    Ok((if sign == Some(b'-') { -size } else { size }, end))
}

/// The value of the digits (with at most one point among them) times ten to the exponent.
fn scaled(
    text: &[u8],
    fraction: usize,
    exponent: i64,
    negative: bool,
) -> Result<Decimal, NumberError> {
    const PLACES_MAX: i64 = 28;
    let mut digits: Vec<u8> =
        text.iter().filter(|b| b.is_ascii_digit()).skip_while(|b| **b == b'0').copied().collect();
    if digits.is_empty() {
        return Ok(Decimal::ZERO);
    }
    // The value is the digits as a whole number times ten to the power.
    let mut power = exponent.saturating_sub(i64::try_from(fraction).unwrap_or(i64::MAX));
    // The writer's trailing zeros are kept where they fit.
    while (digits.len() > DIGITS_MAX || power < -PLACES_MAX) && digits.last() == Some(&b'0') {
        digits.pop();
        power = power.saturating_add(1);
    }
    if digits.len() > DIGITS_MAX {
        return Err(NumberError::Digits);
    }
    while power > 0 && digits.len() < DIGITS_MAX {
        digits.push(b'0');
        power -= 1;
    }
    if !(-PLACES_MAX..=0).contains(&power) {
        return Err(NumberError::Range);
    }
    let mantissa = digits.iter().fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
    let scale = u32::try_from(-power).unwrap_or(0);
    Decimal::try_from_i128_with_scale(if negative { -mantissa } else { mantissa }, scale)
        .map_err(|_| NumberError::Range)
}

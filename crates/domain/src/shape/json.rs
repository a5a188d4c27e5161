//! From JSON text to a value, refusing what `serde_json` lets pass: equal keys, of which it takes the
//! last, and numbers that change on the way (it reads `10e90` as `9.999999999999999e90`, and never
//! shows the text of a number to a visitor, so that no visitor could tell).
//!
//! Other than [`crate::payload`], which scans events on the hot path and stops at the first error,
//! this goes on and collects the faults. Texts with escapes are left to `serde_json`.

use serde_json::{Map, Number, Value};

use super::fault::{FaultCode, Faults};
use super::suggest::{SHOWN_BYTES_MAX, clipped};
use super::{DEPTH_MAX, Reader};

/// Where and why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct JsonError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Why a text cannot be read as a document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON at all.
    #[error("the text is not JSON: {0}")]
    Json(#[from] JsonError),
    /// It is JSON, but not the document that is wanted.
    #[error("{0}")]
    Faults(#[from] Faults),
}

/// A JSON text as a value in which every number is exact. Errors: not JSON, or duplicate keys and
/// inexact numbers, each with its place.
pub fn parse(text: &[u8]) -> Result<Value, ReadError> {
    let mut faults = Faults::default();
    let value = parse_into(text, &mut faults)?;
    Ok(faults.or_ok(value)?)
}

/// The same, adding the faults to these; the value is then good enough to look for more.
pub(super) fn parse_into(text: &[u8], faults: &mut Faults) -> Result<Value, JsonError> {
    let text = match std::str::from_utf8(text) {
        // Some editors put a byte order mark in front; RFC 8259 §8.1 lets us ignore it.
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let valid = &text[..error.valid_up_to()];
            let valid = std::str::from_utf8(valid).unwrap_or_default();
            return Err(error_at(valid, valid.len(), "is not UTF-8 from here on"));
        }
    };
    let mut parser = Parser { text, at: 0, depth: 0, reader: Reader::new(faults) };
    let value = parser.value()?;
    parser.space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => parser.fail("expected the end of the text"),
    }
}

fn error_at(text: &str, at: usize, problem: &str) -> JsonError {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    JsonError {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        problem: problem.to_owned(),
    }
}

struct Parser<'t, 'f> {
    text: &'t str,
    at: usize,
    depth: usize,
    reader: Reader<'f>,
}

impl<'t> Parser<'t, '_> {
    fn value(&mut self) -> Result<Value, JsonError> {
        self.space();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b'\'') => self.fail("expected a value; text stands in double quotes"),
            _ => self.fail("expected a value"),
        }
    }

    fn nested(
        &mut self,
        inner: fn(&mut Self) -> Result<Value, JsonError>,
    ) -> Result<Value, JsonError> {
        if self.depth == DEPTH_MAX {
            return self.fail(&format!("nested deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        self.at += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, JsonError> {
        let mut fields = Map::new();
        self.space();
        if self.skip(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.fail("expected the name of a field in double quotes");
            }
            let name = self.string()?;
            self.space();
            if !self.skip(b':') {
                return self.fail("expected a colon after the name of a field");
            }
            let mark = self.reader.enter_field(&name);
            let value = self.value()?;
            if fields.insert(name, value).is_some() {
                self.reader.refuse::<()>(FaultCode::Duplicate, "stands twice in its object");
            }
            self.reader.leave(mark);
            self.space();
            if self.skip(b'}') {
                return Ok(Value::Object(fields));
            }
            if !self.skip(b',') {
                return self.fail("expected a comma or } after a field");
            }
        }
    }

    fn list(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.space();
        if self.skip(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let mark = self.reader.enter_item(items.len());
            items.push(self.value()?);
            self.reader.leave(mark);
            self.space();
            if self.skip(b']') {
                return Ok(Value::Array(items));
            }
            if !self.skip(b',') {
                return self.fail("expected a comma or ] after an item");
            }
        }
    }

    /// A text. We stand at its opening quote.
    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => {
                    return self.fail("a control character in a text; write it as an escape");
                }
                Some(_) => self.at += 1,
                None => {
                    self.at = start;
                    return self.fail("the text that begins here has no closing quote");
                }
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        if !escaped {
            return Ok(quoted[1..quoted.len() - 1].to_owned());
        }
        serde_json::from_str(quoted).or_else(|_| {
            self.at = start;
            self.fail("the text that begins here holds an escape that does not exist")
        })
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        if self.rest().starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        self.fail("expected a value")
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.skip(b'-');
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            self.at = start;
            return self.fail("a number must not begin with 0");
        }
        let mut integer = true;
        if self.skip(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            integer = false;
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        Ok(Value::Number(self.exact(text, integer)))
    }

    /// The number, or the nearest one after a fault.
    fn exact(&mut self, text: &str, integer: bool) -> Number {
        if integer {
            if let Ok(whole) = text.parse::<i64>() {
                return whole.into();
            }
            if let Ok(whole) = text.parse::<u64>() {
                return whole.into();
            }
        }
        // Parsing a JSON number as a double cannot fail; it gives infinity when it is too large.
        let double: f64 = text.parse().unwrap_or(f64::INFINITY);
        let Some(number) = Number::from_f64(double) else {
            let detail = format!("{} is too large a number", clipped(text, SHOWN_BYTES_MAX));
            self.reader.refuse::<()>(FaultCode::OutOfRange, detail);
            return u64::MAX.into();
        };
        // A double carries every decimal of up to 15 digits. The rest is compared with the text in
        // which the number will be seen: a double may have several shortest texts, and not every
        // formatter picks the same.
        let short = text.len() <= 16 && !text.contains(['e', 'E']);
        if !short && Digits::of(text) != Digits::of(&number.to_string()) {
            let text = clipped(text, SHOWN_BYTES_MAX);
            let detail = format!("{text} cannot be carried exactly as a number");
            let hint = format!("write it as text: {text:?}");
            self.reader.refuse_with::<()>(FaultCode::Inexact, detail, hint);
        }
        number
    }

    fn digits(&mut self) -> Result<&'t str, JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "" => self.fail("expected a digit"),
            digits => Ok(digits),
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
    fn fail<T>(&self, problem: &str) -> Result<T, JsonError> {
        let problem = match self.rest().chars().next() {
            Some(found) if problem.starts_with("expected") => format!("{problem}, found {found:?}"),
            None => format!("{problem}, but the text ends here"),
            Some(_) => problem.to_owned(),
        };
        Err(error_at(self.text, self.at, &problem))
    }
}

/// The significant digits of a number and the power of ten of the first: two numbers are equal if
/// these are.
#[derive(PartialEq)]
struct Digits {
    significant: String,
    power: i64,
}

impl Digits {
    fn of(text: &str) -> Self {
        let text = text.trim_start_matches('-');
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let leading = all.len() - all.trim_start_matches('0').len();
        let significant = all.trim_matches('0').to_owned();
        if significant.is_empty() {
            return Self { significant, power: 0 };
        }
        // A power beyond 64 bits is far beyond any double; the comparison then fails as it should.
        let power: i64 = power.parse().unwrap_or(i64::MAX / 2);
        let point = i64::try_from(whole.len()).unwrap_or(0) - i64::try_from(leading).unwrap_or(0);
        Self { significant, power: power.saturating_add(point) }
    }
}

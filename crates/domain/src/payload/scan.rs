//! The scanner: one pass over the bytes of a JSON text.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::{
    DEPTH_MAX, Members, PayloadError, PayloadErrorKind as Kind, STRING_BYTES_MAX, TEXT_BYTES_MAX,
    Value, number,
};

/// Errors are boxed inside the recursion, so that the way of success moves few bytes.
type Scanned<T> = Result<T, Box<PayloadError>>;

/// Parses one value and nothing behind it.
pub(super) fn value(text: &str) -> Result<Value<'_>, PayloadError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(PayloadError::at(0, Kind::TooLong(text.len())));
    }
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    let mut value = Value::Null;
    scanner.skip_space();
    scanner.value(1, &mut value).map_err(|fault| *fault)?;
    scanner.skip_space();
    if scanner.at < text.len() {
        return Err(PayloadError::at(scanner.at, Kind::Trailing));
    }
    Ok(value)
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Reads the value that begins here; a list or object in it is at level `depth`. Values are
    /// written where they will stay: handing them back through results, each moved several times,
    /// took half of the time.
    fn value(&mut self, depth: usize, into: &mut Value<'a>) -> Scanned<()> {
        *into = match self.peek() {
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b'{' | b'[') if depth > DEPTH_MAX => return fail(self.at, Kind::TooDeep),
            Some(b'{') => Value::Object(self.object(depth)?),
            Some(b'[') => Value::List(self.list(depth)?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return self.unexpected("a JSON value"),
        };
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Scanned<Members<'a>> {
        let start = self.at;
        self.at += 1;
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Vec::new());
        }
        // Most payloads and most objects inside them are then one allocation each.
        let mut members: Members<'a> = Vec::with_capacity(if depth == 1 { 16 } else { 4 });
        loop {
            if self.peek() != Some(b'"') {
                return self.unexpected("a key in double quotes");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return self.unexpected("a colon after the key");
            }
            self.skip_space();
            members.push((key, Value::Null));
            if let Some((key, value)) = members.last_mut() {
                self.value(depth + 1, value).map_err(|e| e.inside(key))?;
            }
            self.skip_space();
            if self.eat(b'}') {
                return match duplicate_key(&members) {
                    None => Ok(members),
                    Some(key) => fail(start, Kind::DuplicateKey(key.to_owned()))
                        .map_err(|e: Box<PayloadError>| e.inside(key)),
                };
            }
            if !self.eat(b',') {
                return self.unexpected("a comma or } in an object");
            }
            self.skip_space();
        }
    }

    fn list(&mut self, depth: usize) -> Scanned<Vec<Value<'a>>> {
        self.at += 1;
        self.skip_space();
        let mut items = Vec::new();
        if self.eat(b']') {
            return Ok(items);
        }
        loop {
            let index = items.len();
            items.push(Value::Null);
            if let Some(item) = items.last_mut() {
                self.value(depth + 1, item).map_err(|e| e.inside(&index.to_string()))?;
            }
            self.skip_space();
            if self.eat(b']') {
                return Ok(items);
            }
            if !self.eat(b',') {
                return self.unexpected("a comma or ] in a list");
            }
            self.skip_space();
        }
    }

    fn number(&mut self) -> Scanned<Decimal> {
        match number::scan(self.bytes, self.at) {
            Ok((number, end)) => {
                self.at = end;
                Ok(number)
            }
            Err(e) => fail(self.at, e.into()),
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Scanned<Value<'a>> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            self.unexpected("a JSON value (true, false and null are the only bare words)")
        }
    }

    /// Reads a string, borrowed as long as no escape shows up.
    fn string(&mut self) -> Scanned<Cow<'a, str>> {
        let start = self.at + 1;
        let end = self.plain_end(start)?;
        self.check_length(start, end - start)?;
        let plain = &self.text[start..end];
        if self.bytes[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped_string(start, plain.to_owned()).map(Cow::Owned)
    }

    /// The offset of the next quote or backslash.
    fn plain_end(&self, from: usize) -> Scanned<usize> {
        let mut at = from;
        // Eight bytes at a time, until one of them ends the plain part.
        while let Some(eight) = self.bytes.get(at..at + 8).and_then(|b| b.try_into().ok()) {
            let ends = ends_among(u64::from_le_bytes(eight));
            if ends != 0 {
                at += ends.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        loop {
            match self.bytes.get(at) {
                Some(b'"' | b'\\') => return Ok(at),
                Some(0) => return fail(at, Kind::Nul),
                Some(control @ ..0x20) => return fail(at, Kind::Control(u32::from(*control))),
                Some(_) => at += 1,
                None => return fail(at, Kind::Ends("the closing quote of a string")),
            }
        }
    }

    /// Goes on with a string whose first escape comes after `so_far`.
    fn escaped_string(&mut self, start: usize, so_far: String) -> Scanned<String> {
        let mut out = so_far;
        self.at = start + out.len();
        while self.bytes[self.at] == b'\\' {
            out.push(self.escape()?);
            let end = self.plain_end(self.at)?;
            out.push_str(&self.text[self.at..end]);
            self.check_length(start, out.len())?;
            self.at = end;
        }
        self.at += 1;
        Ok(out)
    }

    /// Reads one escape, or two that make one character, and stands behind it.
    fn escape(&mut self) -> Scanned<char> {
        let start = self.at;
        let Some(letter) = self.bytes.get(start + 1) else {
            return fail(self.bytes.len(), Kind::Ends("the rest of an escape"));
        };
        self.at += 2;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(start),
            _ => return fail(start, Kind::Escape),
        })
    }

    fn unicode_escape(&mut self, start: usize) -> Scanned<char> {
        let first = self.hex4(start)?;
        let code = match first {
            0 => return fail(start, Kind::Nul),
            0xD800..=0xDBFF if self.bytes[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                match self.hex4(start)? {
                    second @ 0xDC00..=0xDFFF => {
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => return fail(start, Kind::LoneSurrogate),
                }
            }
            _ => first,
        };
        // What is no character now is a surrogate without its other half.
        char::from_u32(code).map_or_else(|| fail(start, Kind::LoneSurrogate), Ok)
    }

    fn hex4(&mut self, start: usize) -> Scanned<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or(&[]);
        let value = digits
            .iter()
            .try_fold(0, |n, b| char::from(*b).to_digit(16).map(|digit| n * 16 + digit));
        match value {
            Some(value) if digits.len() == 4 => {
                self.at += 4;
                Ok(value)
            }
            _ => fail(start, Kind::Escape),
        }
    }

    fn check_length(&self, start: usize, length: usize) -> Scanned<()> {
        if length > STRING_BYTES_MAX { fail(start, Kind::StringTooLong) } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Between tokens `at` is always on a character boundary: all that we step over is ASCII.
    fn unexpected<T>(&self, expected: &'static str) -> Scanned<T> {
        match self.text[self.at..].chars().next() {
            Some(found) => fail(self.at, Kind::Syntax { expected, found }),
            None => fail(self.at, Kind::Ends(expected)),
        }
    }
}

/// The high bit of each byte that is a quote, a backslash or a control character. Bytes above the
/// first such one may be marked wrongly, by a borrow; the first one is exact.
fn ends_among(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |x: u64| x.wrapping_sub(EACH) & !x;
    let quotes = zero_bytes(eight ^ (EACH * b'"' as u64));
    let backslashes = zero_bytes(eight ^ (EACH * b'\\' as u64));
    let controls = eight.wrapping_sub(EACH * 0x20) & !eight;
    (quotes | backslashes | controls) & HIGH
}

#[cold]
fn fail<T>(offset: usize, kind: Kind) -> Scanned<T> {
    Err(Box::new(PayloadError::at(offset, kind)))
}

/// The first key that stands twice. Small objects, nearly all, are compared pair by pair; an
/// object with many keys must not cost their square.
fn duplicate_key<'m>(members: &'m Members<'_>) -> Option<&'m str> {
    const PAIRWISE_MAX: usize = 16;
    if members.len() > PAIRWISE_MAX {
        let mut seen = BTreeSet::new();
        return members.iter().map(|(key, _)| key.as_ref()).find(|key| !seen.insert(*key));
    }
    members.iter().enumerate().map(|(i, (key, _))| (i, key.as_ref())).find_map(|(i, key)| {
        let twice = members[..i].iter().any(|(earlier, _)| earlier.as_ref() == key);
        twice.then_some(key)
    })
}

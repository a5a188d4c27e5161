//! The scanner: one pass over the bytes of a JSON text.

use std::borrow::Cow;
use std::collections::BTreeSet;

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
    scanner.skip_space();
    let value = scanner.value(1).map_err(|fault| *fault)?;
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
    /// Reads the value that begins here; a list or object in it is at level `depth`.
    fn value(&mut self, depth: usize) -> Scanned<Value<'a>> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{' | b'[') if depth > DEPTH_MAX => fail(self.at, Kind::TooDeep),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.unexpected("a JSON value"),
        }
    }

    fn object(&mut self, depth: usize) -> Scanned<Value<'a>> {
        let start = self.at;
        self.at += 1;
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Value::Object(Vec::new()));
        }
        let mut members: Members<'a> = Vec::with_capacity(8);
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
            let value = self.value(depth + 1).map_err(|e| e.inside(&key))?;
            members.push((key, value));
            self.skip_space();
            if self.eat(b'}') {
                return match duplicate_key(&members) {
                    None => Ok(Value::Object(members)),
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

    fn list(&mut self, depth: usize) -> Scanned<Value<'a>> {
        self.at += 1;
        self.skip_space();
        let mut items = Vec::new();
        if self.eat(b']') {
            return Ok(Value::List(items));
        }
        loop {
            let item = self.value(depth + 1).map_err(|e| e.inside(&items.len().to_string()))?;
            items.push(item);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Value::List(items));
            }
            if !self.eat(b',') {
                return self.unexpected("a comma or ] in a list");
            }
            self.skip_space();
        }
    }

    fn number(&mut self) -> Scanned<Value<'a>> {
        match number::scan(self.bytes, self.at) {
            Ok((number, end)) => {
                self.at = end;
                Ok(Value::Number(number))
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
        let rest = &self.bytes[from..];
        match rest.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20) {
            Some(length) if rest[length] >= 0x20 => Ok(from + length),
            Some(length) if rest[length] == 0 => fail(from + length, Kind::Nul),
            Some(length) => fail(from + length, Kind::Control(u32::from(rest[length]))),
            None => fail(self.bytes.len(), Kind::Ends("the closing quote of a string")),
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
    let twice = |i: usize| members[..i].iter().any(|(earlier, _)| *earlier == members[i].0);
    (1..members.len()).find(|i| twice(*i)).map(|i| members[i].0.as_ref())
}

//! An event's payload (and a user's attributes): a JSON object whose numbers are exact decimals.
//!
//! The scanner is our own: a JSON library reads `42.10` as the nearest binary float, or keeps the
//! text of each number in an allocation of its own. This one makes one pass over the bytes, turns
//! each number into a [`Decimal`] where it stands, and borrows every text that has no escape.
//! What it cannot represent exactly it refuses, so that no rule ever sees a rounded amount.

mod number;
mod scan;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use rust_decimal::Decimal;

pub use number::{NumberError, exact_decimal};
pub use write::show;

/// Longest JSON text, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Longest string or key once its escapes are resolved, in bytes.
pub const STRING_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting: the root object is level 1.
pub const DEPTH_MAX: usize = 32;
/// Most significant digits of a number.
pub const DIGITS_MAX: usize = 28;

/// The members of an object, in the order of the text, keys unique.
pub type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// A JSON value that borrows from the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An exact decimal; trailing zeros are kept (`42.10`) and do not count in comparisons.
    Number(Decimal),
    /// A text, borrowed unless it had an escape.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object.
    Object(Members<'a>),
}

impl<'a> Value<'a> {
    /// Converts a value of `serde_json`, borrowing its texts. A float is taken as the shortest
    /// decimal that reads back as that float, which is what its writer meant.
    /// Errors: the bounds of this module, as for text; the offset is 0.
    pub fn from_json(json: &'a serde_json::Value) -> Result<Self, PayloadError> {
        from_json(json, 1).map_err(|fault| *fault)
    }

    /// The member of an object; `None` where there is none or this is no object.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Self::Object(members) => member(members, key),
            _ => None,
        }
    }

    /// The name of its type, for messages: `a number`, `a list`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The same value without ties to the text it was read from.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::Text(t) => Value::Text(Cow::Owned(t.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(members) => Value::Object(owned_members(members)),
        }
    }
}

fn owned_members(members: Members<'_>) -> Members<'static> {
    members.into_iter().map(|(k, v)| (Cow::Owned(k.into_owned()), v.into_owned())).collect()
}

/// Looks a key up. Objects are small, so going through them beats hashing.
#[inline(always)]
pub(crate) fn member<'v, 'a>(members: &'v Members<'a>, key: &str) -> Option<&'v Value<'a>> {
    members.iter().find(|(k, _)| same_text(k, key)).map(|(_, v)| v)
}

/// Equality of short texts without a call: the first and the last bytes, which overlap, are all.
#[inline(always)]
pub(crate) fn same_text(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0..4 => a.iter().zip(b).all(|(a, b)| a == b),
        4..8 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        _ => a == b,
    }
}

/// A parsed JSON object. Two payloads are equal when they have the same members in the same order;
/// use [`Payload::content_hash`] to compare content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload<'a> {
    members: Members<'a>,
}

impl<'a> Payload<'a> {
    /// Parses an object. Errors: [`PayloadError`] with the place and how to mend it.
    pub fn parse(text: &'a str) -> Result<Self, PayloadError> {
        match scan::value(text)? {
            Value::Object(members) => Ok(Self { members }),
            other => Err(PayloadError::at(0, PayloadErrorKind::NotAnObject(other.kind()))),
        }
    }

    /// Parses any JSON value, such as one attribute. Errors: as [`Self::parse`].
    pub fn parse_value(text: &'a str) -> Result<Value<'a>, PayloadError> {
        scan::value(text)
    }

    /// Converts an object of `serde_json`. Errors: as [`Value::from_json`].
    pub fn from_json(json: &'a serde_json::Value) -> Result<Self, PayloadError> {
        match Value::from_json(json)? {
            Value::Object(members) => Ok(Self { members }),
            other => Err(PayloadError::at(0, PayloadErrorKind::NotAnObject(other.kind()))),
        }
    }

    /// The value of a top-level key.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        member(&self.members, key)
    }

    /// The value at a path of keys: `["basket", "total"]`.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Value<'a>> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.get(first.as_ref())?, |value, key| value.get(key.as_ref()))
    }

    /// Its members in the order of the text.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        &self.members
    }

    /// True for `{}`.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The same payload without ties to the text it was read from.
    pub fn into_owned(self) -> Payload<'static> {
        Payload { members: owned_members(self.members) }
    }

    /// Appends the shortest JSON text of the same content, keys in their order. Trailing zeros of
    /// numbers are kept; an exponent is written out.
    pub fn write_compact(&self, out: &mut String) {
        write::object(&self.members, write::Form::Compact, out);
    }

    /// Appends the canonical text: keys sorted by their bytes, numbers without trailing zeros.
    /// Texts with the same content have the same canonical text.
    pub fn write_canonical(&self, out: &mut String) {
        write::object(&self.members, write::Form::Canonical, out);
    }

    /// 128 bits of a hash over the given parts and the canonical text: the same whatever white
    /// space, order of keys or way to write a number was used.
    pub fn content_hash(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut text = String::with_capacity(256);
        self.write_canonical(&mut text);
        let mut all = parts.to_vec();
        all.push(text.as_bytes());
        crate::id::hash_parts(&all)
    }
}

impl<'a> TryFrom<Value<'a>> for Payload<'a> {
    type Error = PayloadError;
    fn try_from(value: Value<'a>) -> Result<Self, PayloadError> {
        match value {
            Value::Object(members) => Ok(Self { members }),
            other => Err(PayloadError::at(0, PayloadErrorKind::NotAnObject(other.kind()))),
        }
    }
}

impl fmt::Display for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_compact(&mut text);
        f.write_str(&text)
    }
}

/// Why a text is not an acceptable payload, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {offset}{})", if pointer.is_empty() { String::new() } else { format!(", {pointer}") })]
pub struct PayloadError {
    /// JSON Pointer (RFC 6901) to the value at fault; empty for the root.
    pub pointer: String,
    /// Byte offset in the text.
    pub offset: usize,
    /// What is wrong.
    pub kind: PayloadErrorKind,
}

impl PayloadError {
    pub(crate) fn at(offset: usize, kind: PayloadErrorKind) -> Self {
        Self { pointer: String::new(), offset, kind }
    }

    /// Puts one step in front of the pointer, as the error travels outwards.
    pub(crate) fn inside(mut self: Box<Self>, step: &str) -> Box<Self> {
        let step = step.replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &step);
        self.pointer.insert(0, '/');
        self
    }
}

/// What is wrong with a payload. Each message says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadErrorKind {
    /// Over [`TEXT_BYTES_MAX`].
    #[error(
        "the JSON text has {0} bytes, at most {TEXT_BYTES_MAX} are allowed; send less per event"
    )]
    TooLong(usize),
    /// Over [`DEPTH_MAX`].
    #[error("values are nested more than {DEPTH_MAX} levels deep; flatten them")]
    TooDeep,
    /// A string or key over [`STRING_BYTES_MAX`].
    #[error("a string is longer than {STRING_BYTES_MAX} bytes; shorten it")]
    StringTooLong,
    /// The root is something else.
    #[error("the payload must be a JSON object, not {0}; wrap it as {{\"value\": …}}")]
    NotAnObject(&'static str),
    /// Not JSON.
    #[error("expected {expected}, found {found:?}")]
    Syntax {
        /// What may stand here.
        expected: &'static str,
        /// What stands here.
        found: char,
    },
    /// The text stops early.
    #[error("the JSON text ends where {0} should follow; send it complete")]
    Ends(&'static str),
    /// More text after the value.
    #[error("there is more text after the JSON value; send exactly one value")]
    Trailing,
    /// A number that a decimal cannot hold exactly.
    #[error("{0}")]
    Number(#[from] NumberError),
    /// The same key twice in one object.
    #[error("the key {0:?} stands twice in one object; keep one of them")]
    DuplicateKey(String),
    /// U+0000, which PostgreSQL cannot store.
    #[error("a string holds the character U+0000; remove it")]
    Nul,
    /// A control character that is not escaped.
    #[error("a string holds an unescaped control character U+{0:04X}; write it as \\u{0:04X}")]
    Control(u32),
    /// A backslash before something else than an escape.
    #[error(
        "a string holds an unknown escape; allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"
    )]
    Escape,
    /// Half of a surrogate pair, which is no character.
    #[error(
        "a string holds half of a surrogate pair; write the character itself or both \\u halves"
    )]
    LoneSurrogate,
}

fn from_json(json: &serde_json::Value, depth: usize) -> Result<Value<'_>, Box<PayloadError>> {
    let fail = |kind| Err(Box::new(PayloadError::at(0, kind)));
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match exact_decimal(&n.to_string()) {
            Ok(exact) => Value::Number(exact),
            Err(e) => return fail(e.into()),
        },
        serde_json::Value::String(text) => Value::Text(Cow::Borrowed(checked_text(text)?)),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) if depth > DEPTH_MAX => {
            return fail(PayloadErrorKind::TooDeep);
        }
        serde_json::Value::Array(items) => Value::List(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| from_json(item, depth + 1).map_err(|e| e.inside(&i.to_string())))
                .collect::<Result<_, _>>()?,
        ),
        serde_json::Value::Object(map) => {
            let mut members = Vec::with_capacity(map.len());
            for (key, value) in map {
                let key = checked_text(key)?;
                let value = from_json(value, depth + 1).map_err(|e| e.inside(key))?;
                members.push((Cow::Borrowed(key), value));
            }
            Value::Object(members)
        }
    })
}

fn checked_text(text: &str) -> Result<&str, Box<PayloadError>> {
    let fail = |kind| Err(Box::new(PayloadError::at(0, kind)));
    if text.len() > STRING_BYTES_MAX {
        return fail(PayloadErrorKind::StringTooLong);
    }
    if text.contains('\0') {
        return fail(PayloadErrorKind::Nul);
    }
    Ok(text)
}

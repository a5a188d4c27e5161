//! Writing values: compact, canonical, and cut to length for people.

use std::fmt::Write as _;

use super::{Members, Value};

/// How to write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Keys in their order, numbers with their trailing zeros.
    Compact,
    /// Keys sorted by bytes, numbers without trailing zeros: equal content, equal text.
    Canonical,
}

/// The value as JSON of at most about `max` bytes, for explanations; what is cut ends in `…`.
pub fn show(value: &Value<'_>, max: usize) -> String {
    let mut out = String::new();
    write_value(value, Form::Compact, &mut out);
    if out.len() > max {
        let whole = (0..=max).rev().find(|i| out.is_char_boundary(*i)).unwrap_or(0);
        out.truncate(whole);
        out.push('…');
    }
    out
}

impl Value<'_> {
    /// Appends the canonical text: equal content, equal text.
    pub fn write_canonical(&self, out: &mut String) {
        write_value(self, Form::Canonical, out);
    }
}

fn write_value(value: &Value<'_>, form: Form, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        // A decimal can carry a minus in front of its zero.
        Value::Number(n) if n.is_zero() && form == Form::Canonical => out.push('0'),
        // Writing to a String does not fail.
        Value::Number(n) => match form {
            Form::Compact => _ = write!(out, "{n}"),
            Form::Canonical => _ = write!(out, "{}", n.normalize()),
        },
        Value::Text(text) => string(text, out),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, form, out);
            }
            out.push(']');
        }
        Value::Object(members) => object(members, form, out),
    }
}

pub(super) fn object(members: &Members<'_>, form: Form, out: &mut String) {
    let mut order: Vec<_> = members.iter().collect();
    if form == Form::Canonical {
        order.sort_unstable_by_key(|(key, _)| key.as_bytes());
    }
    out.push('{');
    for (i, (key, value)) in order.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(key, out);
        out.push(':');
        write_value(value, form, out);
    }
    out.push('}');
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain_from = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain_from..i]);
        plain_from = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => _ = write!(out, "\\u{byte:04x}"),
        }
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

//! What differs between what is and what should be.

use serde_json::Value;

/// A difference: where, what is, what should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// JSON Pointer.
    pub pointer: String,
    /// What is; `None` = nothing.
    pub old: Option<Value>,
    /// What should be; `None` = nothing.
    pub new: Option<Value>,
}

impl Difference {
    /// As a line: `/rule/when  "a" → "b"`.
    pub fn line(&self) -> String {
        let shown = |value: &Option<Value>| match value {
            None | Some(Value::Null) => "nothing".to_owned(),
            Some(value) => clipped(&value.to_string()),
        };
        format!("{}  {} → {}", self.pointer, shown(&self.old), shown(&self.new))
    }
}

/// Longest value in a line, in characters.
const SHOWN_CHARS: usize = 100;

fn clipped(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS).chain(['…']).collect()
}

/// All differences, in the order of the new document. Null and nothing are the same; so are
/// numbers and texts of equal value (`5`, `"5.0"`), as exact decimals are texts on the wire.
pub fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(old), Some(new), &mut found);
    found
}

fn compare(pointer: String, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let gone = a.keys().filter(|name| !b.contains_key(*name));
            for name in b.keys().chain(gone) {
                compare(format!("{pointer}/{}", escaped(name)), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for i in 0..a.len().max(b.len()) {
                compare(format!("{pointer}/{i}"), a.get(i), b.get(i), found);
            }
        }
        (a, b) if same(a, b) => {}
        (a, b) => found.push(Difference { pointer, old: a.cloned(), new: b.cloned() }),
    }
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    a == b || decimal(a).is_some_and(|x| decimal(b) == Some(x))
}

fn decimal(value: &Value) -> Option<rust_decimal::Decimal> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn only_what_differs_is_told() {
        let old =
            json!({"a": 1, "b": {"c/d": "5.0", "e": [1, 2, 3]}, "gone": true, "nothing": null});
        let new = json!({"a": 1, "b": {"c/d": 5, "e": [1, 4]}, "more": "x"});
        let lines: Vec<String> =
            differences(&old, &new).iter().map(super::Difference::line).collect();
        assert_eq!(
            lines,
            [
                "/b/e/1  2 → 4",
                "/b/e/2  3 → nothing",
                "/more  nothing → \"x\"",
                "/gone  true → nothing",
            ]
        );
        assert!(differences(&old, &old).is_empty());
    }
}

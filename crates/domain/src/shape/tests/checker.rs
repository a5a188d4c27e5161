//! A tiny JSON Schema validator for exactly the keywords that we emit; it does not know others.

use serde_json::{Map, Value};

/// What is wrong with a value, by the schema document it stands in. Empty if it matches.
pub(super) fn check(document: &Value, value: &Value) -> Result<(), String> {
    Checker { document }.matches(document, value)
}

struct Checker<'d> {
    document: &'d Value,
}

impl Checker<'_> {
    fn matches(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Value::Object(keywords) = schema else { panic!("no schema: {schema}") };
        for (keyword, limit) in keywords {
            let good = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "description" | "default" | "examples" | "format" => {
                    true
                }
                "required" | "properties" => true, // with additionalProperties, below
                "$ref" => self.matches(self.target(limit), value).map(|()| true)?,
                "type" => types(limit).iter().any(|kind| is(value, kind)),
                "enum" => limit.as_array().is_some_and(|words| words.contains(value)),
                "anyOf" => self.how_many(limit, value) >= 1,
                "oneOf" => self.how_many(limit, value) == 1,
                "additionalProperties" => self.object(keywords, value).map(|()| true)?,
                "maxProperties" => value.as_object().is_none_or(|o| o.len() <= size(limit)),
                "items" => self.items(limit, value).map(|()| true)?,
                "minItems" => value.as_array().is_none_or(|list| list.len() >= size(limit)),
                "maxItems" => value.as_array().is_none_or(|list| list.len() <= size(limit)),
                "minLength" => value.as_str().is_none_or(|t| t.chars().count() >= size(limit)),
                "maxLength" => value.as_str().is_none_or(|t| t.chars().count() <= size(limit)),
                "minimum" => {
                    value.as_f64().is_none_or(|n| limit.as_f64().is_some_and(|min| n >= min))
                }
                "maximum" => {
                    value.as_f64().is_none_or(|n| limit.as_f64().is_some_and(|max| n <= max))
                }
                "pattern" => value.as_str().is_none_or(|text| follows(text, limit)),
                _ => panic!("the checker does not know {keyword}"),
            };
            if !good {
                return Err(format!("{value} breaks {keyword}: {limit}"));
            }
        }
        Ok(())
    }

    fn target(&self, reference: &Value) -> &Value {
        let pointer =
            reference.as_str().and_then(|r| r.strip_prefix('#')).expect("a local reference");
        self.document.pointer(pointer).expect("the definition exists")
    }

    fn how_many(&self, schemas: &Value, value: &Value) -> usize {
        let schemas = schemas.as_array().expect("a list of schemas");
        schemas.iter().filter(|schema| self.matches(schema, value).is_ok()).count()
    }

    fn object(&self, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
        let Value::Object(fields) = value else { return Ok(()) };
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (name, field) in fields {
            match (known.get(name), &schema["additionalProperties"]) {
                (Some(known), _) => self.matches(known, field)?,
                (None, Value::Bool(true)) => {}
                (None, Value::Bool(false)) => return Err(format!("{name} is not known")),
                (None, others) => self.matches(others, field)?,
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("{name} is missing"));
            }
        }
        Ok(())
    }

    fn items(&self, schema: &Value, value: &Value) -> Result<(), String> {
        value.as_array().into_iter().flatten().try_for_each(|item| self.matches(schema, item))
    }
}

fn types(limit: &Value) -> Vec<&str> {
    match limit {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        only => only.as_str().into_iter().collect(),
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no such type: {kind}"),
    }
}

fn size(limit: &Value) -> usize {
    limit.as_u64().and_then(|n| usize::try_from(n).ok()).expect("a size")
}

fn follows(text: &str, pattern: &Value) -> bool {
    match pattern.as_str() {
        Some(r"^-?[0-9]+(\.[0-9]+)?$") => {
            let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            let text = text.strip_prefix('-').unwrap_or(text);
            text.split_once('.').map_or(digits(text), |(a, b)| digits(a) && digits(b))
        }
        Some(r"^[A-Za-z0-9._:$-]+$") => {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:$-".contains(c))
        }
        _ => panic!("the checker does not know the pattern {pattern}"),
    }
}

#[test]
fn the_checker_refuses_what_it_should() {
    let document = super::schema::document::<super::Sample>("x");
    let base = serde_json::json!({"name": "A", "startAt": "2026-01-01T00:00:00Z"});
    assert_eq!(check(&document, &base), Ok(()));
    let bad = [
        ("name", serde_json::json!(1)),
        ("name", "".into()),
        ("name", "123456789012345678901".into()),
        ("other", Value::Null),
        ("price", "x".into()),
        ("weight", serde_json::json!(1.5)),
        ("weight", serde_json::json!(-1)),
        ("kind", "other".into()),
        ("goals", serde_json::json!([{"count": 1, "sum": 1}])),
        ("goals", serde_json::json!([{}, {}, {}, {}])),
        ("labels", serde_json::json!({"a": 1})),
        ("inner", serde_json::json!({})),
        ("on", serde_json::json!(["a b"])),
    ];
    for (name, value) in bad {
        let mut changed = base.clone();
        changed[name] = value;
        assert!(check(&document, &changed).is_err(), "{changed}");
    }
}

//! What handlers take from a call: parameters of the path and the query, and the body. All three
//! are documents read by [`domain::shape`], so unknown, missing and bad ones are all reported at once.

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use domain::shape::{self, Described, FaultCode, Faults, Schemas, Shape};
use serde_json::{Map, Value};

use super::Call;
use crate::openapi::Operation;
use crate::problem::{Code, Part, Problem};

/// Something a handler may take from its call.
pub trait Take: Sized {
    /// Writes it into the operation.
    fn describe(operation: &mut Operation, defs: &mut Schemas);
    /// Takes it. Errors: it is not there or not valid.
    fn take(call: &Call) -> Result<Self, Problem>;
}

/// The body: a JSON document.
#[derive(Debug)]
pub struct Document<T>(pub T);

impl<T: Shape> Take for Document<T> {
    fn describe(operation: &mut Operation, defs: &mut Schemas) {
        operation.takes(T::schema(defs));
    }
    fn take(call: &Call) -> Result<Self, Problem> {
        check_json(call)?;
        Ok(Self(shape::read_json(&call.sent.body)?))
    }
}

/// The problem of a text that `serde_json` refuses.
pub fn malformed(error: serde_json::Error) -> Problem {
    match error.is_data() {
        true => Problem::invalid_field("", FaultCode::WrongType, "must be an object"),
        false => Problem::new(Code::MalformedJson, format!("The body is not JSON: {error}.")),
    }
}

/// Clients that send no type at all mean JSON; one that says otherwise is told. Errors: 415.
pub fn check_json(call: &Call) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::new(Code::UnsupportedMediaType, what));
    if let Some(encoding) = call.sent.headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return refused("Compressed bodies are not taken; send the body as it is.");
    }
    let Some(media_type) = call.sent.headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = media_type.to_str().ok().and_then(|text| text.split(';').next());
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    // What curl sends when it is given a body and no type.
    let curl = "application/x-www-form-urlencoded";
    if essence == "application/json" || essence.ends_with("+json") || essence == curl {
        return Ok(());
    }
    refused("Send the body with Content-Type: application/json.")
}

/// The parameters of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: Shape> Take for Path<T> {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.parameters("path", parameters::<T>());
    }
    fn take(call: &Call) -> Result<Self, Problem> {
        let pairs = call.sent.path.iter().map(|(name, value)| (name.to_string(), value.clone()));
        // An id that cannot be one names nothing.
        read::<T>(pairs).map(Self).map_err(|faults| {
            let problem =
                Problem::not_found("such address: an id in the path is malformed, and nothing");
            problem.with_faults(Part::Path, &faults)
        })
    }
}

/// The parameters of the query.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: Shape> Take for Query<T> {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.parameters("query", parameters::<T>());
    }
    fn take(call: &Call) -> Result<Self, Problem> {
        let pairs = pairs(call.sent.query.as_deref().unwrap_or_default());
        let pairs = pairs.map_err(|why| Problem::new(Code::InvalidParameter, why))?;
        let mut faults = Faults::default();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                let detail = "stands twice in the query";
                faults.push(shape::Fault::new(&format!("/{name}"), FaultCode::Duplicate, detail));
            }
        }
        match (read::<T>(pairs.into_iter()), faults.is_empty()) {
            (Ok(query), true) => Ok(Self(query)),
            (Ok(_), false) => Err(Problem::invalid_parameters(Part::Query, &faults)),
            (Err(more), _) => {
                faults.extend(more.list().iter().cloned());
                Err(Problem::invalid_parameters(Part::Query, &faults))
            }
        }
    }
}

/// The pairs of a query, decoded. Errors: not UTF-8 once decoded.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, &'static str> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let bytes = percent_encoding::percent_decode_str(&text);
        let decoded = bytes.decode_utf8().map(std::borrow::Cow::into_owned);
        decoded.map_err(|_| "The query is not UTF-8 once it is decoded.")
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Reads parameters as a document. Their texts become numbers where the schema wants numbers.
fn read<T: Shape>(pairs: impl Iterator<Item = (String, String)>) -> Result<T, Faults> {
    let schema = parameters::<T>();
    let document: Map<String, Value> = pairs
        .map(|(name, text)| {
            let value = typed(&schema["properties"][&name]["type"], &text);
            (name, value.unwrap_or(Value::String(text)))
        })
        .collect();
    shape::read(&Value::Object(document))
}

fn typed(kind: &Value, text: &str) -> Option<Value> {
    let is = |name: &str| match kind {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    match text {
        "true" | "false" if is("boolean") => Some(Value::Bool(text == "true")),
        _ if is("integer") => text.parse::<i64>().ok().map(Value::from),
        _ => None,
    }
}

/// The schema of a type that is declared for parameters: an object without references.
fn parameters<T: Described>() -> Value {
    let mut defs = Schemas::document();
    let reference = T::schema(&mut defs);
    let mut definitions = defs.into_definitions();
    let name = reference["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let mut schema = name.and_then(|name| definitions.remove(name)).unwrap_or(reference);
    inline(&mut schema, &definitions);
    schema
}

fn inline(schema: &mut Value, definitions: &Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            let name =
                fields.get("$ref").and_then(Value::as_str).and_then(|p| p.rsplit('/').next());
            if let Some(definition) = name.and_then(|name| definitions.get(name)).cloned() {
                fields.remove("$ref");
                if let Value::Object(definition) = definition {
                    for (key, value) in definition {
                        fields.entry(key).or_insert(value);
                    }
                }
            }
            fields.values_mut().for_each(|inner| inline(inner, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| inline(inner, definitions)),
        _ => {}
    }
}

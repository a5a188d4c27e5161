//! JSON Schema 2020-12, for a document of its own and for the components of OpenAPI 3.1.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Described, Shape};

/// Collects the named definitions that a schema refers to.
#[derive(Debug)]
pub struct Schemas {
    prefix: &'static str,
    output: bool,
    definitions: BTreeMap<&'static str, Definition>,
    clashes: Vec<String>,
}

#[derive(Debug)]
struct Definition {
    /// Path of the Rust type, to notice two types of one name.
    of: &'static str,
    schema: Value,
}

impl Schemas {
    /// For a stand-alone document: definitions in `$defs`.
    pub fn document() -> Self {
        Self::with_prefix("#/$defs/")
    }
    /// For OpenAPI: definitions in `components/schemas`.
    pub fn openapi() -> Self {
        Self::with_prefix("#/components/schemas/")
    }
    /// With another place for the definitions, such as `common.json#/$defs/`.
    pub fn with_prefix(prefix: &'static str) -> Self {
        Self { prefix, output: false, definitions: BTreeMap::new(), clashes: Vec::new() }
    }
    /// Registers what comes in as a named definition and gives the reference to it. A type may
    /// refer to itself.
    pub fn define<T: ?Sized>(
        &mut self,
        name: &'static str,
        build: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        self.define_in::<T>(name, false, build)
    }
    /// The same for what only goes out: there, for example, a decimal is always text.
    pub fn define_output<T: ?Sized>(
        &mut self,
        name: &'static str,
        build: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        self.define_in::<T>(name, true, build)
    }
    fn define_in<T: ?Sized>(
        &mut self,
        name: &'static str,
        output: bool,
        build: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        let of = std::any::type_name::<T>();
        match self.definitions.get(name) {
            Some(known) if known.of != of => {
                self.clashes.push(format!("{name} is both {} and {of}", known.of));
            }
            Some(_) => {}
            None => {
                self.definitions.insert(name, Definition { of, schema: Value::Null });
                let outer = std::mem::replace(&mut self.output, output);
                let schema = build(self);
                self.output = outer;
                self.definitions.insert(name, Definition { of, schema });
            }
        }
        json!({ "$ref": format!("{}{name}", self.prefix) })
    }
    /// True while the schema of something that only goes out is built.
    pub fn is_output(&self) -> bool {
        self.output
    }
    /// Types of the same name, of which only the first was taken. A test should see that there are
    /// none.
    pub fn clashes(&self) -> &[String] {
        &self.clashes
    }
    /// The definitions by name.
    pub fn into_definitions(self) -> Map<String, Value> {
        self.definitions.into_iter().map(|(name, d)| (name.to_owned(), d.schema)).collect()
    }
}

/// A stand-alone JSON Schema 2020-12 document with this `$id`.
pub fn document<T: Described>(id: &str) -> Value {
    let mut defs = Schemas::document();
    let root = T::schema(&mut defs);
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("$id".into(), id.into());
    if let Value::Object(root) = root {
        schema.extend(root);
    }
    let definitions = defs.into_definitions();
    if !definitions.is_empty() {
        schema.insert("$defs".into(), Value::Object(definitions));
    }
    Value::Object(schema)
}

/// The schema with a description, unless the text is empty.
pub fn described(mut schema: Value, description: &str) -> Value {
    let description = flowed(description);
    if let (Value::Object(fields), false) = (&mut schema, description.is_empty()) {
        fields.insert("description".into(), description.into());
    }
    schema
}

/// The schema or `null`.
pub fn nullable(mut schema: Value) -> Value {
    if schema == anything() {
        return schema;
    }
    let simple = schema.get("enum").is_none() && schema.get("const").is_none();
    match schema.get_mut("type") {
        Some(Value::String(only)) if simple => {
            let both = json!([only, "null"]);
            schema["type"] = both;
            schema
        }
        Some(Value::Array(kinds)) if simple => {
            if !kinds.contains(&json!("null")) {
                kinds.push("null".into());
            }
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// Exactly one of these.
pub fn one_of(schemas: impl IntoIterator<Item = Value>) -> Value {
    json!({ "oneOf": schemas.into_iter().collect::<Vec<_>>() })
}

/// Text of so many characters.
pub fn text(min: usize, max: usize) -> Value {
    match min {
        0 => json!({ "type": "string", "maxLength": max }),
        _ => json!({ "type": "string", "minLength": min, "maxLength": max }),
    }
}

/// Text in a named format, with an example.
pub fn formatted(format: &str, example: &str) -> Value {
    json!({ "type": "string", "format": format, "examples": [example] })
}

/// One of these words.
pub fn words(known: &[&str]) -> Value {
    json!({ "type": "string", "enum": known })
}

/// An object with named fields and no others.
#[derive(Debug, Default)]
pub struct ObjectSchema {
    description: String,
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl ObjectSchema {
    /// An object without fields yet.
    pub fn new(description: &str) -> Self {
        Self { description: description.to_owned(), ..Self::default() }
    }
    /// Adds a field that must be there.
    #[must_use]
    pub fn required(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.required.push(name.into());
        self.optional(name, description, schema)
    }
    /// Adds a field that may be left out.
    #[must_use]
    pub fn optional(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.properties.insert(name.to_owned(), described(schema, description));
        self
    }
    /// Adds a field that takes this value when it is left out.
    #[must_use]
    pub fn with_default(
        self,
        name: &str,
        description: &str,
        mut schema: Value,
        default: Value,
    ) -> Self {
        if let Value::Object(fields) = &mut schema {
            fields.insert("default".into(), default);
        }
        self.optional(name, description, schema)
    }
    /// Adds a field of a type that is read, as the `shape!` macro declares it.
    #[must_use]
    pub fn input<T: Shape + Serialize>(
        self,
        defs: &mut Schemas,
        name: &str,
        description: &str,
        default: Option<fn() -> T>,
    ) -> Self {
        let schema = T::schema(defs);
        match default.map(|make| serde_json::to_value(make())) {
            Some(Ok(default)) => self.with_default(name, description, schema, default),
            Some(Err(_)) => self.optional(name, description, schema),
            None if T::absent().is_some() => self.optional(name, description, schema),
            None => self.required(name, description, schema),
        }
    }
    /// The schema.
    pub fn finish(self) -> Value {
        let mut schema = json!({
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema["required"] = Value::Array(self.required);
        }
        described(schema, &self.description)
    }
}

/// The text of a doc comment as one line a paragraph, without the marks of Rust's links.
fn flowed(doc: &str) -> String {
    let mut out = String::with_capacity(doc.len());
    for line in doc.trim().lines().map(str::trim) {
        match line {
            "" => out.push_str("\n\n"),
            _ if out.is_empty() || out.ends_with('\n') => out.push_str(line),
            _ => {
                out.push(' ');
                out.push_str(line);
            }
        }
    }
    out.replace("[`", "`").replace("`]", "`")
}

/// Whatever JSON there is.
pub fn anything() -> Value {
    json!({})
}

/// One of these words, each with its meaning.
pub fn choice(description: &str, words: &[(&str, &str)]) -> Value {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let mut text = flowed(description);
    for (word, meaning) in words.iter().map(|(word, meaning)| (word, flowed(meaning))) {
        if !meaning.is_empty() {
            text.push_str(&format!("\n- {word}: {meaning}"));
        }
    }
    let mut schema = self::words(&known);
    if !text.is_empty() {
        schema["description"] = text.into();
    }
    schema
}

//! The place in a document that is being read, and the faults found so far.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::fault::{Fault, FaultCode, Faults};
use super::suggest::{shown, suggest};
use super::{DEPTH_MAX, Shape};

/// Knows where in the document we are and collects what is wrong with it.
///
/// A reader of a type records each fault with one of the `refuse` methods, which give `None`, and
/// goes on with the next field, so that all bad fields are reported in one answer.
#[derive(Debug)]
pub struct Reader<'f> {
    path: String,
    depth: usize,
    faults: &'f mut Faults,
}

impl<'f> Reader<'f> {
    /// A reader at the root of a document.
    pub fn new(faults: &'f mut Faults) -> Self {
        Self { path: String::new(), depth: 0, faults }
    }
    /// Where we are: a JSON Pointer (RFC 6901).
    pub fn pointer(&self) -> &str {
        &self.path
    }
    /// Runs `step` one level down, at a field of the object we are at.
    pub fn field<R>(&mut self, name: &str, step: impl FnOnce(&mut Self) -> R) -> R {
        let mark = self.enter_field(name);
        let result = step(self);
        self.leave(mark);
        result
    }
    /// Runs `step` one level down, at an item of the list we are at, counted from 0.
    pub fn item<R>(&mut self, index: usize, step: impl FnOnce(&mut Self) -> R) -> R {
        let mark = self.enter_item(index);
        let result = step(self);
        self.leave(mark);
        result
    }
    pub(super) fn enter_field(&mut self, name: &str) -> usize {
        let mark = self.path.len();
        self.path.push('/');
        if name.contains(['~', '/']) {
            self.path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        } else {
            self.path.push_str(name);
        }
        self.depth += 1;
        mark
    }
    pub(super) fn enter_item(&mut self, index: usize) -> usize {
        self.enter_field(&index.to_string())
    }
    pub(super) fn leave(&mut self, mark: usize) {
        self.path.truncate(mark);
        self.depth -= 1;
    }
    /// Reads the value as a `T`, or refuses it because it lies too deep.
    pub fn read<T: Shape>(&mut self, value: &Value) -> Option<T> {
        if self.depth > DEPTH_MAX {
            return self
                .refuse(FaultCode::TooDeep, format!("is nested deeper than {DEPTH_MAX} levels"));
        }
        T::read(value, self)
    }

    /// Records a fault at this place. Gives `None`, so that a reader can end with it.
    pub fn refuse<T>(&mut self, code: FaultCode, detail: impl Into<String>) -> Option<T> {
        let fault = Fault::new(&self.path, code, detail);
        self.faults.push(fault);
        None
    }
    /// The same with a hint how to mend it.
    pub fn refuse_with<T>(
        &mut self,
        code: FaultCode,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        let fault = Fault::new(&self.path, code, detail).hint(hint);
        self.faults.push(fault);
        None
    }
    /// Records a fault at a field of the object we are at, as a `check` function does.
    pub fn refuse_field(&mut self, name: &str, code: FaultCode, detail: impl Into<String>) {
        self.field(name, |at| at.refuse::<()>(code, detail));
    }
    /// Takes over the faults of a document that stands here and was read or checked on its own.
    pub fn refuse_all(&mut self, faults: Faults) {
        self.faults.merge(faults.under(&self.path));
    }
    /// Refuses a value of the wrong type: "must be text, not a number".
    pub fn wrong_type<T>(&mut self, expected: &str, value: &Value) -> Option<T> {
        self.refuse(FaultCode::WrongType, format!("must be {expected}, not {}", kind(value)))
    }
    /// Refuses a word that is none of the known ones, with the nearest of them as a hint.
    pub fn not_in_set<T>(&mut self, text: &str, known: &[&str]) -> Option<T> {
        let detail = format!("{} is none of {}", shown(text), known.join(", "));
        match self.did_you_mean(text, known.iter().copied()) {
            Some(hint) => self.refuse_with(FaultCode::NotInSet, detail, hint),
            None => self.refuse(FaultCode::NotInSet, detail),
        }
    }
    /// "did you mean …?", if one of the words is near. Not looked for once the faults are only
    /// counted: a document with thousands of them must not cost us.
    pub(super) fn did_you_mean<'k>(
        &self,
        text: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<String> {
        match self.faults.is_full() {
            true => None,
            false => suggest(text, known).map(|word| format!("did you mean {word}?")),
        }
    }

    /// The value as text.
    pub fn text<'v>(&mut self, value: &'v Value) -> Option<&'v str> {
        match value {
            Value::String(text) => Some(text),
            _ => self.wrong_type("text", value),
        }
    }
    /// The value as text in the syntax of `T`: "… is not a time of day (write it as 22:00)".
    pub fn parsed<T: FromStr>(&mut self, value: &Value, what: &str, example: &str) -> Option<T> {
        let text = self.text(value)?;
        text.parse().ok().or_else(|| {
            let detail = format!("{} is not {what}", shown(text));
            self.refuse_with(FaultCode::Syntax, detail, format!("write it as {example}"))
        })
    }
    /// The value as a list.
    pub fn list<'v>(&mut self, value: &'v Value) -> Option<&'v [Value]> {
        match value {
            Value::Array(items) => Some(items),
            _ => self.wrong_type("a list", value),
        }
    }
    /// The value as an object with these fields. Refuses each field that is not among them, and
    /// goes on.
    pub fn object<'r, 'v>(
        &'r mut self,
        value: &'v Value,
        known: &[&str],
    ) -> Option<Object<'r, 'f, 'v>> {
        let Value::Object(fields) = value else {
            return self.wrong_type("an object", value);
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            self.field(name, |at| at.unknown_field(name, known));
        }
        Some(Object { fields, at: self })
    }
    fn unknown_field(&mut self, name: &str, known: &[&str]) {
        let hint = match self.did_you_mean(name, known.iter().copied()) {
            Some(hint) => hint,
            None if known.is_empty() => "no fields are known here".to_owned(),
            None if self.faults.is_full() => String::new(),
            None => format!("known fields: {}", known.join(", ")),
        };
        self.refuse_with::<()>(FaultCode::UnknownField, "is not a known field", hint);
    }
    /// Reads one field of an object without a look at the others: the one that says what the object
    /// is, and so which fields it may have.
    pub fn tag<T: Shape>(&mut self, value: &Value, name: &str) -> Option<T> {
        match value {
            Value::Object(fields) => Object { fields, at: self }.required(name),
            _ => self.wrong_type("an object", value),
        }
    }
}

/// An object being read. Its fields are asked for by name.
#[derive(Debug)]
pub struct Object<'r, 'f, 'v> {
    fields: &'v Map<String, Value>,
    at: &'r mut Reader<'f>,
}

impl<'f, 'v> Object<'_, 'f, 'v> {
    /// A field that must be there, unless its type can be absent (`Option`). `None` after a fault.
    pub fn required<T: Shape>(&mut self, name: &str) -> Option<T> {
        self.field(name, None)
    }
    /// A field that may be left out or `null`. The outer `None` after a fault.
    pub fn optional<T: Shape>(&mut self, name: &str) -> Option<Option<T>> {
        self.field(name, None)
    }
    /// A field that is given this value when it is left out. `None` after a fault.
    pub fn or<T: Shape>(&mut self, name: &str, default: fn() -> T) -> Option<T> {
        self.field(name, Some(default))
    }
    /// A field with or without a default: what the `shape!` macro calls.
    pub fn field<T: Shape>(&mut self, name: &str, default: Option<fn() -> T>) -> Option<T> {
        let absent = || default.map(|make| make()).or_else(T::absent);
        match self.fields.get(name) {
            Some(value) => self.at.field(name, |at| at.read(value)),
            None => absent().or_else(|| self.refuse(name, FaultCode::Required, "is required")),
        }
    }
    /// True if the field is there and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// The field as it stands, unless it is absent or `null`.
    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }
    /// Which one of these fields is there. Refuses none and several. Here `null` counts as there,
    /// for the schema of such an object knows no field but the chosen one.
    pub fn exactly_one_of<'n>(&mut self, names: &[&'n str]) -> Option<&'n str> {
        let mut present = names.iter().copied().filter(|name| self.fields.contains_key(*name));
        let Some(first) = present.next() else {
            let detail = format!("must have one of the fields {}", names.join(", "));
            return self.at.refuse(FaultCode::Required, detail);
        };
        let others: Vec<&str> = present.collect();
        for other in &others {
            let detail = format!("cannot stand beside {first}");
            let hint = format!("give only one of {}", names.join(", "));
            self.at.field(other, |at| at.refuse_with::<()>(FaultCode::Conflict, detail, hint));
        }
        others.is_empty().then_some(first)
    }
    /// Refuses these fields where they are there, even as `null`: "belongs to …".
    pub fn forbid(&mut self, names: &[&str], reason: &str) {
        for name in names {
            if self.fields.contains_key(*name) {
                self.refuse::<()>(name, FaultCode::Conflict, reason);
            }
        }
    }
    /// Records a fault at one of the fields. Gives `None`.
    pub fn refuse<T>(
        &mut self,
        name: &str,
        code: FaultCode,
        detail: impl Into<String>,
    ) -> Option<T> {
        self.at.field(name, |at| at.refuse(code, detail))
    }
    /// The reader at this object, to record faults that concern several fields.
    pub fn reader(&mut self) -> &mut Reader<'f> {
        self.at
    }
}

/// What a value is, in plain words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

//! Lists, maps, any JSON, and what may be absent.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Described, FaultCode, Reader, Schemas, Shape, schema};

/// Most items of a plain `Vec`, and most entries of a map.
pub const ITEMS_MAX: usize = 1000;

impl<T: Described> Described for Option<T> {
    fn schema(defs: &mut Schemas) -> Value {
        schema::nullable(T::schema(defs))
    }
}
impl<T: Shape> Shape for Option<T> {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            _ => T::read(value, at).map(Some),
        }
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl Described for Value {
    fn schema(_: &mut Schemas) -> Value {
        schema::anything()
    }
}
impl Shape for Value {
    fn read(value: &Value, _: &mut Reader<'_>) -> Option<Self> {
        Some(value.clone())
    }
}

macro_rules! pointers {
    ($($pointer:ident),+) => {$(
        impl<T: Described> Described for $pointer<T> {
            fn schema(defs: &mut Schemas) -> Value {
                T::schema(defs)
            }
        }
        impl<T: Shape> Shape for $pointer<T> {
            fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
                T::read(value, at).map($pointer::new)
            }
            fn absent() -> Option<Self> {
                T::absent().map($pointer::new)
            }
        }
    )+};
}
pointers!(Box, Arc);

/// A list of `MIN` to `MAX` items.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Many<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> Many<T, MIN, MAX> {
    /// The list, if its length lies in the range.
    pub fn new(items: Vec<T>) -> Option<Self> {
        (MIN..=MAX).contains(&items.len()).then_some(Self(items))
    }
    /// The items.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}
impl<T, const MAX: usize> Default for Many<T, 0, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
impl<T, const MIN: usize, const MAX: usize> Deref for Many<T, MIN, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}
impl<'a, T, const MIN: usize, const MAX: usize> IntoIterator for &'a Many<T, MIN, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
impl<T, const MIN: usize, const MAX: usize> IntoIterator for Many<T, MIN, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
impl<T: Described, const MIN: usize, const MAX: usize> Described for Many<T, MIN, MAX> {
    fn schema(defs: &mut Schemas) -> Value {
        let items = T::schema(defs);
        match MIN {
            0 => json!({ "type": "array", "items": items, "maxItems": MAX }),
            _ => json!({ "type": "array", "items": items, "minItems": MIN, "maxItems": MAX }),
        }
    }
}
impl<T: Shape, const MIN: usize, const MAX: usize> Shape for Many<T, MIN, MAX> {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        items(value, at, MIN, MAX).map(Self)
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema(defs: &mut Schemas) -> Value {
        match defs.is_output() {
            true => json!({ "type": "array", "items": T::schema(defs) }),
            false => Many::<T, 0, ITEMS_MAX>::schema(defs),
        }
    }
}
impl<T: Shape> Shape for Vec<T> {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        items(value, at, 0, ITEMS_MAX)
    }
}

fn items<T: Shape>(value: &Value, at: &mut Reader<'_>, min: usize, max: usize) -> Option<Vec<T>> {
    let list = at.list(value)?;
    let length = list.len();
    if length > max {
        // Not read further: the bound also bounds our work.
        let detail = format!("has {length} items, at most {max} are allowed");
        return at.refuse(FaultCode::TooLong, detail);
    }
    if length < min {
        let detail = match length {
            0 => "must not be empty".to_owned(),
            _ => format!("has {length} items, at least {min} are needed"),
        };
        return at.refuse(FaultCode::TooShort, detail);
    }
    let read: Vec<Option<T>> =
        list.iter().enumerate().map(|(index, item)| at.item(index, |at| at.read(item))).collect();
    read.into_iter().collect()
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn schema(defs: &mut Schemas) -> Value {
        let values = T::schema(defs);
        match defs.is_output() {
            true => json!({ "type": "object", "additionalProperties": values }),
            false => json!({
                "type": "object",
                "additionalProperties": values,
                "maxProperties": ITEMS_MAX,
            }),
        }
    }
}
impl<T: Shape> Shape for BTreeMap<String, T> {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let Value::Object(fields) = value else {
            return at.wrong_type("an object", value);
        };
        if fields.len() > ITEMS_MAX {
            let detail = format!("has {} fields, at most {ITEMS_MAX} are allowed", fields.len());
            return at.refuse(FaultCode::TooLong, detail);
        }
        let read: Vec<Option<(String, T)>> = fields
            .iter()
            .map(|(name, value)| {
                at.field(name, |at| at.read(value)).map(|value| (name.clone(), value))
            })
            .collect();
        read.into_iter().collect()
    }
}

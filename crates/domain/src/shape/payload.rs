//! An event's payload and a user's attributes, standing in a larger document.

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Described, Fault, FaultCode, Faults, Reader, Schemas, Shape};
use crate::payload::{NumberError, Payload, PayloadErrorKind as Kind};

/// Numbers as they are, exactly.
impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(to)
    }
}

impl Described for Payload<'_> {
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "object", "additionalProperties": true })
    }
}

impl Shape for Payload<'static> {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        if !value.is_object() {
            return at.wrong_type("an object", value);
        }
        match Payload::from_json(value) {
            Ok(payload) => Some(payload.into_owned()),
            Err(error) => {
                let text = error.kind.to_string();
                let (detail, hint) = text.split_once("; ").unwrap_or((&text, "change it"));
                let fault = Fault::new(&error.pointer, code(&error.kind), detail).hint(hint);
                at.refuse_all(Faults::one(fault));
                None
            }
        }
    }
}

fn code(kind: &Kind) -> FaultCode {
    match kind {
        Kind::TooLong(_) | Kind::StringTooLong => FaultCode::TooLong,
        Kind::TooDeep => FaultCode::TooDeep,
        Kind::NotAnObject(_) => FaultCode::WrongType,
        Kind::Number(NumberError::Digits) => FaultCode::Inexact,
        Kind::Number(_) => FaultCode::OutOfRange,
        Kind::DuplicateKey(_) => FaultCode::Duplicate,
        _ => FaultCode::Syntax,
    }
}

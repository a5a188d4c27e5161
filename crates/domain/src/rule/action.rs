//! Which actions a rule listens to.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::id::{ACTION_BYTES_MAX, ActionCode, IdError};
use crate::shape::{Described, FaultCode, Reader, Schemas, Shape};

/// An action code, or a pattern in which `*` stands for any text: `order.*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ActionPattern(String);

impl ActionPattern {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// True when it holds a `*`.
    pub fn is_pattern(&self) -> bool {
        self.0.contains('*')
    }
    /// True when the action is one it names. The platform's own actions (`$…`) match only by name.
    pub fn matches(&self, action: &ActionCode) -> bool {
        if !self.is_pattern() {
            return self.0 == action.as_str();
        }
        if action.is_reserved() && !self.0.starts_with('$') {
            return false;
        }
        let mut parts = self.0.split('*');
        let mut rest = action.as_str();
        // A split always has a first part.
        let first = parts.next().unwrap_or_default();
        let Some(after) = rest.strip_prefix(first) else { return false };
        rest = after;
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(i) => rest = &rest[i + part.len()..],
                None => return false,
            }
        }
        rest.is_empty()
    }
}

impl fmt::Display for ActionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ActionPattern {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        // A star stands for any text, so it must itself be a legal place in a code.
        ActionCode::new(&text.replace('*', "x"))?;
        Ok(Self(text.to_owned()))
    }
}

impl Described for ActionPattern {
    fn schema(_: &mut Schemas) -> Value {
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": ACTION_BYTES_MAX,
            "pattern": r"^[A-Za-z0-9._:$*-]+$",
            "examples": ["purchase", "order.*"],
        })
    }
}
impl Shape for ActionPattern {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        text.parse()
            .map_err(|why: IdError| at.refuse::<()>(FaultCode::Syntax, why.to_string()))
            .ok()
    }
}

//! What is wrong with a document: each fault with the place, a stable code and how to mend it.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::suggest::clipped;
use super::{Described, Schemas};

/// Most faults kept for one document; the rest is only counted.
pub const FAULTS_MAX: usize = 50;
/// Longest pointer kept, in bytes: a key may be as long as the whole body.
const POINTER_BYTES_MAX: usize = 1024;

crate::choice! {
    /// What kind of fault it is. Stable: programs may decide on it.
    pub enum FaultCode {
        /// A field that must be there is missing.
        Required = "REQUIRED",
        /// A field that is not known here.
        UnknownField = "UNKNOWN_FIELD",
        /// Text where a number belongs, and the like.
        WrongType = "WRONG_TYPE",
        /// A number or time outside its range.
        OutOfRange = "OUT_OF_RANGE",
        /// Text or a list with too much in it.
        TooLong = "TOO_LONG",
        /// Text or a list with too little in it.
        TooShort = "TOO_SHORT",
        /// None of the allowed words.
        NotInSet = "NOT_IN_SET",
        /// Text that does not follow its format.
        Syntax = "SYNTAX",
        /// The same thing twice.
        Duplicate = "DUPLICATE",
        /// Fields that contradict each other.
        Conflict = "CONFLICT",
        /// A condition or formula that does not parse or type-check.
        Expression = "EXPRESSION",
        /// A number that cannot be carried exactly.
        Inexact = "INEXACT",
        /// Nested too deep.
        TooDeep = "TOO_DEEP",
        /// Refers to something that does not exist.
        NotFound = "NOT_FOUND",
        /// Possible elsewhere, but not here or not now.
        NotAllowed = "NOT_ALLOWED",
    }
}

crate::view! {
    /// One thing that is wrong with a document.
    pub struct Fault {
        /// Where: a JSON Pointer (RFC 6901), empty for the whole document.
        "pointer" pointer: String,
        /// What kind of fault it is; stable.
        "code" code: FaultCode,
        /// What is wrong, in plain words. Completes "the value …".
        "detail" detail: String,
        /// How to mend it, where we know.
        "hint" hint: Option<String>,
    }
}

impl Fault {
    /// A fault without a hint.
    pub fn new(pointer: &str, code: FaultCode, detail: impl Into<String>) -> Self {
        Self {
            pointer: clipped(pointer, POINTER_BYTES_MAX),
            code,
            detail: detail.into(),
            hint: None,
        }
    }
    /// The same with a hint how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place} {}", self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with one document: the first [`FAULTS_MAX`] faults and the number of the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// Just one.
    pub fn one(fault: Fault) -> Self {
        Self { list: vec![fault], more: 0 }
    }
    /// Adds one. A second fault of the same code at the same place says nothing new and is left
    /// out, unless it is about another part of an expression.
    pub fn push(&mut self, fault: Fault) {
        let says_nothing_new = |known: &Fault| {
            known.code == fault.code
                && known.pointer == fault.pointer
                && (fault.code != FaultCode::Expression || known.detail == fault.detail)
        };
        if self.list.iter().any(says_nothing_new) {
            return;
        }
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        } else {
            self.more += 1;
        }
    }
    /// True when further faults are only counted, so that no more work need go into a hint.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= FAULTS_MAX
    }
    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// The faults kept, in the order in which they were found.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }
    /// How many more there are.
    pub fn more(&self) -> usize {
        self.more
    }
    /// The same faults for a document that stands inside another at `pointer`.
    #[must_use]
    pub fn under(mut self, pointer: &str) -> Self {
        for fault in &mut self.list {
            fault.pointer = clipped(&format!("{pointer}{}", fault.pointer), POINTER_BYTES_MAX);
        }
        self
    }
    /// Takes over the faults of others, and the number of those that they did not keep.
    pub fn merge(&mut self, others: Self) {
        self.extend(others.list);
        self.more += others.more;
    }
    /// Nothing wrong: the value. Otherwise the faults.
    pub fn or_ok<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl Extend<Fault> for Faults {
    fn extend<I: IntoIterator<Item = Fault>>(&mut self, faults: I) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }
}

/// As the list of the faults kept, such as `errors` in a problem document.
impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(to)
    }
}

impl Described for Faults {
    fn schema(defs: &mut Schemas) -> Value {
        json!({ "type": "array", "items": Fault::schema(defs), "maxItems": FAULTS_MAX })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.list.iter().enumerate() {
            if n > 0 {
                f.write_char('\n')?;
            }
            fault.fmt(f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Faults {}
